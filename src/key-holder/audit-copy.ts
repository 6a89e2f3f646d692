// A copy of an audit log as its checkpoint describes it: the same files, without what came later. Verifies nothing but the checkpoint;
// whoever writes the copy verifies that.
import { readCheckpoint } from './audit-verification.ts'
import { LogFiles } from './log-files.ts'
import { TILE_WIDTH } from './merkle.ts'
import { tilePath } from './tiles.ts'

export interface AuditCopy {
  /** The checkpoint: the last file to be written, for a copy without it is not whole. */
  readonly checkpoint: { readonly name: string; readonly bytes: Uint8Array }
  /** Number of records. */
  readonly size: number
  /** All other files by path below the folder, one at a time, and how many records they hold up to there. */
  readonly files: Iterable<readonly [path: string, bytes: Uint8Array, copied: number]>
}

/** @throws KeyHolderError AUDIT_LOG_DAMAGED, AUDIT_LOG_UNREADABLE, here and while the files are read */
export function copyAuditLog(folder: string, verifierKey: string): AuditCopy {
  const files = new LogFiles(folder)
  const { signed, note } = readCheckpoint(files, verifierKey)
  return {
    checkpoint: { name: 'checkpoint', bytes: Buffer.from(note) },
    size: signed.size,
    files: filesOf(files, signed.size, verifierKey),
  }
}

function* filesOf(files: LogFiles, size: number, verifierKey: string): AuditCopy['files'] {
  yield ['verifier-key', Buffer.from(`${verifierKey}\n`), 0]
  for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
    for (let index = 0; index * TILE_WIDTH < count; index++) {
      const width = Math.min(TILE_WIDTH, count - index * TILE_WIDTH)
      const copied = level > 0 ? size : index * TILE_WIDTH + width
      if (level === 0) {
        yield [tilePath('entries', index, width), files.bundle(index, width).bytes, copied]
      }
      yield [tilePath(level, index, width), Buffer.concat(files.tile(level, index, width).hashes), copied]
    }
  }
}
