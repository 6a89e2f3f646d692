// The codes with which the store refuses. Every one means that nothing was written.
import { CodedError } from '@countersign/tuf'

export const STORE_ERROR_CODES = [
  'STORE_MISSING',
  'STORE_EXISTS',
  'STORE_NOT_OURS',
  'STORE_SCHEMA_NEWER',
  'STORE_DAMAGED',
  'STORE_UNWRITABLE',
] as const

export type StoreErrorCode = (typeof STORE_ERROR_CODES)[number]

/** The database cannot be used as asked. */
export class StoreError extends CodedError<StoreErrorCode> {}
