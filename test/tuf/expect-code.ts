// Asserts the code of an error, never its sentence.
import { expect } from 'chai'
import { TufError, type TufErrorCode } from '@countersign/tuf'

/** Runs the action, and expects it to throw a TufError with this code. Answers the error. */
export function expectCode(code: TufErrorCode, action: () => unknown): TufError {
  const error = codeOf(action)
  expect(error?.code).to.equal(code)
  return error!
}

/** The TufError that the action throws; undefined where it throws none. Any other error passes through. */
export function codeOf(action: () => unknown): TufError | undefined {
  try {
    action()
  } catch (error) {
    if (error instanceof TufError) return error
    throw error
  }
  return undefined
}
