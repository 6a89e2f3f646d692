// What can be wrong with an audit log, and where. `fault` is API: scripts and people branch on it, so a kind is never renamed.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'

/** The kinds, as docs/operations.md describes them. They stand in the fact `fault` of `AUDIT_LOG_DAMAGED`. */
export const AUDIT_FAULTS = [
  'key-malformed',
  'key-file-changed',
  'wrong-key',
  'checkpoint-malformed',
  'checkpoint-signature',
  'file-missing',
  'record-changed',
  'record-missing',
  'record-added',
  'record-moved',
  'records-replaced',
  'tile-changed',
  'root-mismatch',
  'truncated',
  'forked',
] as const

export type AuditFault = (typeof AUDIT_FAULTS)[number]

/** Records by index, both included. */
export interface RecordRange {
  /** The first one that is touched. */
  readonly index: number
  /** The last one; absent where `index` is the only one. */
  readonly to?: number
}

/** Where it is: which records, which file below the log's folder, and what the kind has besides. */
export type AuditPlace = Partial<RecordRange> & Readonly<Record<string, string | number>>

/** Something is wrong with the log itself. `what` completes the sentence "The audit log is damaged: ...". */
export function damaged(fault: AuditFault, what: string, place: AuditPlace = {}): KeyHolderError {
  return new KeyHolderError('AUDIT_LOG_DAMAGED', `The audit log is damaged: ${what}.`, { fault, what, ...place })
}

/** The log could not be looked at, which says nothing about it. */
export function unreadable(path: string, cause: unknown): KeyHolderError {
  const reason = errorCodeOf(cause)
  return new KeyHolderError(
    'AUDIT_LOG_UNREADABLE',
    `A file of the audit log cannot be read: ${path}: ${reason}.`,
    { path, reason },
    { cause },
  )
}

/** `ENOENT` and its like. */
export function errorCodeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'unknown reason'
}

/** "record 7", or "records 7 to 9". */
export function recordsInWords({ index, to = index }: RecordRange): string {
  return to === index ? `record ${index}` : `records ${index} to ${to}`
}

export function isDamage(error: unknown): error is KeyHolderError {
  return error instanceof KeyHolderError && error.code === 'AUDIT_LOG_DAMAGED'
}
