// Imports that were begun: a one-time key pair and a challenge each, in memory alone. One is good for one key and for a few minutes.
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { transportKeyOf } from '../key-holder-protocol/key-transport.ts'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'

const LIFETIME_MS = 5 * 60_000
/** More than one command line needs; the oldest goes. */
const MAX_SESSIONS = 64
const CHALLENGE_BYTES = 32

interface ImportSession {
  readonly privateKey: KeyObject
  /** Base64. */
  readonly challenge: string
  readonly expiresAt: Date
}

export class ImportSessions {
  readonly #sessions = new Map<string, ImportSession>()

  begin(now: Date): OperationResponse<'begin-key-import'> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const session = randomBytes(16).toString('hex')
    const challenge = randomBytes(CHALLENGE_BYTES).toString('base64')
    const expiresAt = new Date(now.getTime() + LIFETIME_MS)
    this.#sessions.set(session, { privateKey, challenge, expiresAt })
    const [oldest] = this.#sessions.keys()
    if (this.#sessions.size > MAX_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest)
    return { session, transportKey: transportKeyOf(publicKey), challenge, expiresAt: expiresAt.toISOString() }
  }

  /** Once. @throws KeyHolderError KEY_IMPORT_SESSION_UNKNOWN */
  take(session: string, now: Date): ImportSession {
    const found = this.#sessions.get(session)
    this.#sessions.delete(session)
    if (found !== undefined && now.getTime() < found.expiresAt.getTime()) return found
    throw new KeyHolderError('KEY_IMPORT_SESSION_UNKNOWN', 'This import was not begun, or was used or forgotten.')
  }
}
