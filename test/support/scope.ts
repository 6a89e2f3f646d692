// What a test started and must end: servers, processes, folders. Closed in reverse order, each step even where an earlier one failed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Ending = () => void | Promise<void>

const folders = new Set<string>()
// After an interruption no scope closes; the folders go nevertheless.
process.on('exit', () => {
  for (const folder of folders) remove(folder)
})

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  } catch {
    // Something is still mounted there or written to; the rest is removed.
  }
  folders.delete(folder)
}

export class Scope {
  readonly #endings: Ending[] = []
  #closing: Promise<void> | undefined

  /** Runs `ending` when the scope closes. */
  add(ending: Ending): void {
    this.#endings.push(ending)
  }

  /** A new folder, mode 0700, removed when the scope closes. The name stays short: Unix socket paths have about 100 bytes. */
  folder(name = 't'): string {
    const path = mkdtempSync(join(tmpdir(), `cs-${name}-`))
    folders.add(path)
    this.add(() => {
      folders.delete(path)
      rmSync(path, { recursive: true, force: true, maxRetries: 3 })
    })
    return path
  }

  /**
   * Whoever asks while it closes waits for the same end: two at once would remove the folders of what has not ended.
   * @throws AggregateError with everything that failed to end
   */
  close(): Promise<void> {
    this.#closing ??= this.#end().finally(() => {
      this.#closing = undefined
    })
    return this.#closing
  }

  async #end(): Promise<void> {
    const failures: unknown[] = []
    for (let ending = this.#endings.pop(); ending !== undefined; ending = this.#endings.pop()) {
      try {
        await ending()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'Not everything that the test started could be ended.')
  }
}
