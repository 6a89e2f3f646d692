// One line from standard input: the answer to a question.
import type { Terminal } from './terminal.ts'

/** Characters; an answer is a word. */
const MAX_LINE = 1000

/** Up to the end of the line or of the input; empty after Ctrl-C. */
export async function readLine({ stdin, interrupted }: Terminal): Promise<string> {
  let text = ''
  for await (const chunk of stdin) {
    if (interrupted.aborted) return ''
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')
    const end = text.indexOf('\n')
    if (end >= 0) return text.slice(0, end)
    if (text.length > MAX_LINE) return ''
  }
  return text
}
