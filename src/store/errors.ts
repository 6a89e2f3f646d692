// The codes with which the store refuses.
export { STORE_ERROR_CODES, StoreError, type StoreErrorCode } from '../sqlite/errors.ts'
