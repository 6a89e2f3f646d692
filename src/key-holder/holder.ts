// The parts that operations work with, and the one commit point that all of them use.
import type { FileCache } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type {
  Attachments,
  OperationName,
  OperationRequest,
  OperationResponse,
  SocketName,
} from '../key-holder-protocol/operations.ts'
import type { AuditLog, LogStep } from './audit-log.ts'
import type { BackupCopies } from './backup-copies.ts'
import type { StateDatabase } from './database.ts'
import type { Custody, NewKey } from './custody.ts'
import type { FileCustodian } from './file-custodian.ts'
import type { ImportSessions } from './import-sessions.ts'
import type { KeyTable } from './key-table.ts'
import type { Limits } from './limits.ts'
import type { PayloadTable } from './payloads.ts'
import type { Rates } from './rates.ts'
import type { RecordBatch } from './record-batch.ts'
import type { RepositoryTable } from './repositories.ts'
import type { ServedTable } from './served-repositories.ts'
import type { ServerKeyTable } from './server-key-table.ts'
import type { UnlockSources } from './unlock.ts'
import type { VersionTable } from './versions.ts'

/** Points at which tests may stop the process. What lies between two of them is said where they are passed. */
export type Step =
  | 'checked'
  | 'planned'
  | 'keys-made'
  | 'committed'
  | LogStep
  | 'log-published'
  | 'log-ahead'
  | 'signed'
  | 'stored'
  | 'erased'
  | 'token-destroyed'

export interface Holder {
  readonly database: StateDatabase
  readonly repositories: RepositoryTable
  readonly keys: KeyTable
  readonly versions: VersionTable
  readonly payloads: PayloadTable
  readonly served: ServedTable
  readonly serverKeys: ServerKeyTable
  readonly rates: Rates
  readonly log: AuditLog
  readonly daemonRecords: RecordBatch<AuditRecord>
  /** Of keys that lie sealed here. */
  readonly custodian: FileCustodian
  /** Of all keys. */
  readonly custody: Custody
  readonly unlock: UnlockSources
  readonly imports: ImportSessions
  readonly backups: BackupCopies
  readonly limits: Limits
  /** Parsed metadata by content: spares work, and decides nothing. Empty after a start. */
  readonly cache: FileCache
  readonly identity: {
    readonly uid: number
    readonly pid: number
    readonly version: string
    readonly startedAt: string
  }
  now(): Date
  step(step: Step): void
}

/** One request, checked for shape; attachments are exactly those that it lists. */
export interface Call<N extends OperationName> {
  readonly socket: SocketName
  readonly request: OperationRequest<N>
  readonly attachments: Attachments
}

export interface Answer<N extends OperationName> {
  readonly response: OperationResponse<N>
  readonly attachments?: Attachments
}

/** What happened, for the audit log; `at` is added. Holds no secrets. */
export type AuditRecord = Readonly<Record<string, unknown>> & {
  readonly kind: string
  readonly by: SocketName | 'key-holder'
}

/**
 * The commit point: the change and its records become durable together, then the log is published. No key may be used for the
 * change before this returns. A crash before the commit leaves nothing; a crash after it leaves a log that the next start
 * publishes, and a change that the same request finds and finishes.
 * @throws KeyHolderError STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE; whatever `change` throws
 */
export function commit<T>(holder: Holder, records: readonly AuditRecord[], change: () => T): T {
  const result = commitUnpublished(holder, records, change)
  holder.log.publish()
  holder.step('log-published')
  return result
}

/**
 * `commit` for a change that begins with new keys. A crash before the commit forgets them: what is sealed is gone, what is in a token is
 * destroyed by the next start.
 * @throws as `commit`
 */
export function commitWithKeys<T>(
  holder: Holder,
  records: readonly AuditRecord[],
  keys: readonly NewKey[],
  change: () => T,
): T {
  let result: T
  try {
    result = commitUnpublished(holder, records, () => {
      for (const key of keys) holder.custody.keep(key)
      return change()
    })
  } catch (error) {
    holder.custody.forget(keys)
    throw error
  }
  holder.log.publish()
  holder.step('log-published')
  return result
}

/**
 * `commit` for a change that destroys secrets: nothing of what it overwrites stays in the database's files. A crash after the commit
 * leaves the old pages in the write-ahead log, which the next start empties.
 * @throws as `commit`
 */
export function commitErasing<T>(holder: Holder, records: readonly AuditRecord[], change: () => T): T {
  const result = holder.database.erasing(() => commit(holder, records, change))
  holder.database.emptyWriteAheadLog()
  return result
}

/**
 * The same without holding up other operations while the log is written: for a change that is signed next.
 * @param onDurable follows the change at once, also where the log then cannot be written
 * @returns a size of the log that has the records
 * @throws as `commit`
 */
export async function commitToSign(
  holder: Holder,
  records: readonly AuditRecord[],
  change: () => void,
  onDurable?: () => void,
): Promise<number> {
  commitUnpublished(holder, records, change, onDurable)
  const { size } = holder.log.tree
  await holder.log.publishUpTo(size)
  holder.step('log-published')
  return size
}

/**
 * The same for snapshots and timestamps, which are signed next: the records are as durable, and are written to the log's folder; its files
 * and checkpoint follow within a moment, flushed together with those of other changes (decision 0024).
 * @throws as `commit`
 */
export function commitAhead(holder: Holder, records: readonly AuditRecord[], change: () => void): void {
  commitUnpublished(holder, records, change)
  holder.log.writeAhead()
  holder.step('log-ahead')
}

/**
 * The same for a change that no key is used for: the records are as durable, and the log's files follow within a moment.
 * @throws KeyHolderError STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE where the log could not be written before; whatever `change` throws
 */
export function commitForLater<T>(holder: Holder, records: readonly AuditRecord[], change: () => T): T {
  const result = commitUnpublished(holder, records, change)
  holder.log.publishSoon()
  return result
}

function commitUnpublished<T>(
  holder: Holder,
  records: readonly AuditRecord[],
  change: () => T,
  onDurable: () => void = () => undefined,
): T {
  const at = holder.now().toISOString()
  const result = holder.database.write(() => {
    const changed = change()
    for (const record of records) holder.log.tree.append({ v: 1, at, ...record })
    return changed
  })
  onDurable()
  holder.step('committed')
  return result
}

/** Marks a broken promise of our own code. */
export function internal(message: string): KeyHolderError {
  return new KeyHolderError('KEY_HOLDER_INTERNAL', message)
}
