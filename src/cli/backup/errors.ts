// What is wrong with a backup file, in one code, and with the disk.
import { CodedError } from '@countersign/tuf'
import { CliError } from '../errors.ts'

/** `why` ends the sentence "FILE cannot be used: ...". */
export function damagedBackup(file: string, why: string, cause?: unknown): CliError {
  return new CliError('BACKUP_DAMAGED', `${file} cannot be used: ${why}.`, {
    next: 'Nothing was restored. Take another backup, or another copy of this one.',
    facts: { file, why },
    cause,
  })
}

/**
 * Does the work; where the file system fails in it, a full disk most of all, with a code of ours.
 * @throws CliError FILE_UNREADABLE, FILE_UNWRITABLE; what `work` throws
 */
export async function withFileCodes<T>(
  { file, folder }: { readonly file: string; readonly folder: string },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause) || cause instanceof CodedError) throw cause
    const reason = 'code' in cause ? String(cause.code) : 'unknown reason'
    const [code, path, what] =
      cause.syscall === 'read'
        ? (['FILE_UNREADABLE', file, 'read'] as const)
        : (['FILE_UNWRITABLE', folder, 'written'] as const)
    throw new CliError(code, `${path} cannot be ${what}: ${reason}.`, { facts: { file, folder }, cause })
  }
}
