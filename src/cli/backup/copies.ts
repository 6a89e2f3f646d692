// Copies of the databases of daemon and trust server. Each is an open file without a name as soon as it is made, so that nothing of it stays
// when the command ends, however it ends.
import { existsSync } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { copyDatabase } from '../../sqlite/copy.ts'
import { CliError } from '../errors.ts'
import { makeWorkFolder } from '../work-folder.ts'

export interface Copy {
  readonly file: FileHandle
  readonly bytes: number
}

export class Copies {
  readonly #files: FileHandle[] = []

  /**
   * The database as it is now. While it is copied the copy has a name, beside the original: there is room, and nobody else can read there.
   * A command that is killed in that moment leaves it to the next one.
   * @throws CliError FILE_UNREADABLE, FILE_UNWRITABLE; StoreError STORE_UNWRITABLE, STORE_DAMAGED
   */
  async of(database: string | undefined): Promise<Copy | undefined> {
    if (database === undefined) return undefined
    if (!existsSync(database)) {
      throw new CliError('FILE_UNREADABLE', `There is no ${database}.`, { facts: { file: database } })
    }
    const folder = await makeWorkFolder(dirname(database), 'backup')
    try {
      const path = join(folder, 'copy.db')
      copyDatabase(database, path)
      const file = await open(path, 'r')
      this.#files.push(file)
      return { file, bytes: (await file.stat()).size }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close()
  }
}
