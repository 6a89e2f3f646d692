// What the key holder asks the process that has a PKCS#11 module loaded, and what that answers. Types alone.
import type { TokenUri } from './uri.ts'

/** Bytes travel as they are (structured clone). */
export type TokenCall =
  /** Loads the module, finds the token, opens a session. No PIN is judged. */
  | { readonly kind: 'open'; readonly module: string; readonly token: TokenUri }
  /** The one call that has a PIN judged: each failure may bring the token nearer to its lock. */
  | { readonly kind: 'login'; readonly pin: Uint8Array }
  /** Whether token and session are there. The answer is the token's serial number, in UTF-8. */
  | { readonly kind: 'probe' }
  /** A new key pair, ECDSA on P-256, that stays in the token of this serial number. The answer is its public point. */
  | { readonly kind: 'generate'; readonly keyId: Uint8Array; readonly label: string; readonly serial: string }
  /** The public point of a key. */
  | { readonly kind: 'point'; readonly keyId: Uint8Array }
  /** Raw ECDSA (r, s) over a SHA-256 hash. `pin` for a key that wants it at each signature; the login has shown that it is right. */
  | { readonly kind: 'sign'; readonly keyId: Uint8Array; readonly hash: Uint8Array; readonly pin?: Uint8Array }
  /** Destroys both halves, in the token of this serial number where one is given. */
  | { readonly kind: 'destroy'; readonly keyId: Uint8Array; readonly serial: string | undefined }

/**
 * Why not. `lost`: module, token or session do not work now, and a new process may find them. All others are answers: asking again would
 * bring the same. `other-token`: one with the same label, whose serial number is another.
 */
export type TokenFailure =
  | 'lost'
  | 'not-installed'
  | 'pin-incorrect'
  | 'pin-last-try'
  | 'pin-locked'
  | 'key-missing'
  | 'other-token'
  | 'mechanism-missing'

export type TokenAnswer =
  | { readonly bytes: Uint8Array }
  /** `detail`: the name of a PKCS#11 result (CKR_...), or a few words of ours. */
  | { readonly failure: TokenFailure; readonly detail: string }

export interface TokenRequestMessage {
  readonly id: number
  readonly call: TokenCall
}

export interface TokenAnswerMessage {
  readonly id: number
  readonly answer: TokenAnswer
}
