// What is wrong with a backup file, in one code.
import { CliError } from '../errors.ts'

/** `why` ends the sentence "FILE cannot be used: ...". */
export function damagedBackup(file: string, why: string, cause?: unknown): CliError {
  return new CliError('BACKUP_DAMAGED', `${file} cannot be used: ${why}.`, {
    next: 'Nothing was restored. Take another backup, or another copy of this one.',
    facts: { file, why },
    cause,
  })
}
