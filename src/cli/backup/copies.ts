// Copies of the databases of daemon and trust server. Each is an open file without a name as soon as it is made, so that nothing of it stays
// when the command ends, however it ends.
import { existsSync, statSync } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { copyDatabase } from '../../sqlite/copy.ts'
import { CliError } from '../errors.ts'
import { isSafe, makeWorkFolder } from '../work-folder.ts'

export interface Copy {
  readonly file: FileHandle
  readonly bytes: number
}

export interface Source {
  readonly database: string
  /** As the command line names it. */
  readonly folder: string
}

export class Copies {
  readonly #beside: string
  readonly #files: FileHandle[] = []

  /** @param beside the backup: there is room for the copies where there is for it */
  constructor(beside: string) {
    this.#beside = dirname(resolve(beside))
  }

  /**
   * The database as it is now. While it is copied the copy has a name, beside the backup, or in the folder for temporary files where others
   * can rename what is beside it. Never beside the original: its folder is another user's, where root makes backups.
   * @param folder in which the database is; whoever owns it owns the database, or we do
   * @throws CliError FILE_UNREADABLE, FILE_UNWRITABLE; StoreError STORE_NOT_OURS, STORE_UNWRITABLE, STORE_DAMAGED
   */
  async of({ database, folder }: Source): Promise<Copy> {
    if (!existsSync(database)) {
      throw new CliError('FILE_UNREADABLE', `There is no ${database}.`, { facts: { file: database } })
    }
    const isBeside = await isSafe(this.#beside).catch(() => true)
    const work = await makeWorkFolder(isBeside ? this.#beside : tmpdir(), 'backup')
    try {
      const path = join(work, 'copy.db')
      copyDatabase(database, path, ownersOf(folder))
      const file = await open(path, 'r')
      this.#files.push(file)
      return { file, bytes: (await file.stat()).size }
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close()
  }
}

/** In a folder of root that a group may write in, as Kubernetes makes them, the database is ours; root would take anybody's for its own. */
function ownersOf(folder: string): number[] {
  const uid = process.getuid?.() ?? 0
  return uid === 0 ? [statSync(folder).uid] : [statSync(folder).uid, uid]
}
