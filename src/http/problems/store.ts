// Rows for the codes of the store. Each means that nothing was written.
import type { StoreErrorCode } from '../../store/errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

const OPERATOR = 'Call an operator: the log names the file.'

export const STORE_PROBLEMS = {
  STORE_MISSING: refuse(500, 'The database is missing', OPERATOR),
  STORE_EXISTS: refuse(500, 'There is a database already', OPERATOR),
  STORE_NOT_OURS: refuse(500, 'The database belongs to another program', OPERATOR),
  STORE_SCHEMA_NEWER: refuse(500, 'A newer version wrote the database', OPERATOR),
  STORE_DAMAGED: refuse(500, 'The database is damaged', OPERATOR),
  STORE_UNWRITABLE: retry(
    503,
    'The database cannot be written now',
    'Send the request again; an operator may have to free the disk.',
  ),
} as const satisfies Record<StoreErrorCode, ProblemRow>
