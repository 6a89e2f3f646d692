// The first administrator's token: made once, when there is no token at all, and written to a file that only its owner can read.
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import type { TokenService } from '../service/services.ts'

/**
 * Makes the token and writes it to `file`. Returns whether it did: not where there is a token already.
 * The file is reserved first, so that no token is made whose secret cannot be kept. A crash between leaves an empty file.
 * @throws Error where the file exists or cannot be written; KeyHolderError, StoreError
 */
export async function writeFirstToken(tokens: Pick<TokenService, 'createFirst'>, file: string): Promise<boolean> {
  const descriptor = openSync(file, 'wx', 0o600)
  try {
    const first = await tokens.createFirst('first administrator')
    if (first === undefined) {
      rmSync(file)
      return false
    }
    writeSync(descriptor, `${first.secret}\n`)
    fsyncSync(descriptor)
    return true
  } catch (error) {
    rmSync(file, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}
