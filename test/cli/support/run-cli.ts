// Runs the command line in-process, with injected streams, environment, clock and Ctrl-C.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../../src/cli/program.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'

export const TOKEN = `cs_${'t'.repeat(43)}`

export interface Ran {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
  /** Standard output as JSON. */
  json(): unknown
  /** The codes of the lines `countersign: CODE: ...` on standard error. */
  codes(): string[]
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly isTTY?: boolean
  readonly stdin?: string
  readonly askSecret?: Terminal['askSecret']
  readonly interrupted?: AbortSignal
  readonly pause?: Terminal['pause']
  readonly now?: () => Date
}

/** A folder of its own for each test: home folder, token file, output files. */
export class Workplace {
  readonly folder = mkdtempSync(join(tmpdir(), 'countersign-cli-'))
  readonly #env: Record<string, string>

  /** With `server`: the environment names it and a token file. */
  constructor(server?: string) {
    this.#env = {}
    if (server === undefined) return
    this.#env['COUNTERSIGN_SERVER'] = server
    this.#env['COUNTERSIGN_TOKEN_FILE'] = this.file('token', `${TOKEN}\n`)
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  file(name: string, content: string, mode = 0o600): string {
    const path = this.path(name)
    writeFileSync(path, content, { mode })
    return path
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const out: string[] = []
    const err: string[] = []
    const exit = await run(argv, {
      stdout: { write: (text) => out.push(text), isTTY: options.isTTY },
      stderr: { write: (text) => err.push(text), isTTY: options.isTTY },
      stdin: stream(options.stdin ?? ''),
      ...(options.askSecret !== undefined && { askSecret: options.askSecret }),
      env: { ...this.#env, ...options.env },
      homeFolder: this.folder,
      interrupted: options.interrupted ?? new AbortController().signal,
      now: options.now ?? (() => new Date()),
      pause: options.pause ?? (() => Promise.resolve()),
    })
    const stdout = out.join('')
    const stderr = err.join('')
    return {
      exit,
      stdout,
      stderr,
      json: () => JSON.parse(stdout) as unknown,
      codes: () => [...stderr.matchAll(/^countersign: ([A-Z][A-Z0-9_]+): /gm)].map((match) => match[1] ?? ''),
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

async function* stream(text: string): AsyncGenerator<string> {
  await Promise.resolve()
  yield text
}
