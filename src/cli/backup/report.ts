// What is in a backup, as a table for people.
import type { Session } from '../session.ts'
import type { BackupManifest } from './content.ts'

const MEGABYTE = 1_000_000

export function describeBackup({ output }: Session, { madeAt, version, keyHolder, ...rest }: BackupManifest): void {
  const { log } = keyHolder
  output.table(
    ['BACKUP', ''],
    [
      ['made', `${madeAt}, by Countersign ${version}`],
      ['keys', `${keyHolder.keys} of ${keyHolder.repositories} repositories`],
      ['audit log', `${log.origin}, ${log.size} records or more`],
      ['key holder', megabytes(keyHolder.bytes)],
      ['daemon', rest.daemon === undefined ? 'not in it' : megabytes(rest.daemon.bytes)],
      ['trust server', rest.trustServer === undefined ? 'not in it' : megabytes(rest.trustServer.bytes)],
    ],
  )
}

function megabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`
}
