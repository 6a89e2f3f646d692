// Asserts the stable code of an error, never its sentence.
import { CodedError } from '@countersign/tuf'
import { AssertionError } from 'chai'

/** The error, for further looks at its facts. */
export function expectCode(code: string, work: () => unknown): CodedError<string> {
  try {
    work()
  } catch (error) {
    return checked(code, error)
  }
  throw new AssertionError(`expected ${code}, but nothing was thrown`)
}

export async function expectCodeAsync(code: string, work: () => Promise<unknown>): Promise<CodedError<string>> {
  try {
    await work()
  } catch (error) {
    return checked(code, error)
  }
  throw new AssertionError(`expected ${code}, but nothing was thrown`)
}

function checked(code: string, error: unknown): CodedError<string> {
  if (!(error instanceof CodedError)) throw error
  if (error.code !== code) {
    throw new AssertionError(`expected ${code}, but got ${String(error.code)}: ${error.message}`, {}, undefined)
  }
  return error as CodedError<string>
}
