// Asks a person for a secret without showing it.
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

/** Undefined where input or error output is no terminal, or the person pressed Ctrl-C or Ctrl-D. */
export async function askSecret(question: string): Promise<string | undefined> {
  const { stdin, stderr } = process
  if (!stdin.isTTY || !stderr.isTTY) return undefined
  // What is typed is echoed into nothing.
  const output = new Writable({
    write: (_chunk, _encoding, done) => {
      done()
    },
  })
  const lines = createInterface({ input: stdin, output, terminal: true })
  stderr.write(question)
  try {
    return await new Promise((resolve) => {
      lines.once('close', () => {
        resolve(undefined)
      })
      lines.question('', resolve)
    })
  } finally {
    lines.close()
    stderr.write('\n')
  }
}
