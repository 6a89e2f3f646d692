// What PKCS#11 results mean here. Pure. PKCS #11 2.40 and 3.0, section 5.1.
import type { TokenFailure } from './calls.ts'

/** CK_TOKEN_INFO.flags. */
const USER_PIN_FINAL_TRY = 0x2_0000
const USER_PIN_LOCKED = 0x4_0000

/** What a token says of its PIN before anybody tries one: the last try is left to a person who knows the PIN. */
export function pinTrouble(tokenFlags: number): TokenFailure | undefined {
  if ((tokenFlags & USER_PIN_LOCKED) !== 0) return 'pin-locked'
  return (tokenFlags & USER_PIN_FINAL_TRY) === 0 ? undefined : 'pin-last-try'
}

/** By the name of the result. What is not known is taken for a lost session: a new one is tried, with a pause. */
export function failureOf(result: string): TokenFailure {
  switch (result) {
    case 'CKR_PIN_INCORRECT':
    case 'CKR_PIN_INVALID':
    case 'CKR_PIN_LEN_RANGE':
    case 'CKR_PIN_EXPIRED':
    case 'CKR_USER_PIN_NOT_INITIALIZED':
      return 'pin-incorrect'
    case 'CKR_PIN_LOCKED':
      return 'pin-locked'
    case 'CKR_MECHANISM_INVALID':
    case 'CKR_CURVE_NOT_SUPPORTED':
    case 'CKR_DOMAIN_PARAMS_INVALID':
      return 'mechanism-missing'
    default:
      return 'lost'
  }
}

/**
 * Results of C_Login after which the PIN was certainly not judged: the session or the token had gone before. After every other one, also an
 * unknown one, another try might be one of the few that a token grants.
 */
const NOT_JUDGED: ReadonlySet<string> = new Set([
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_SESSION_CLOSED',
  'CKR_DEVICE_REMOVED',
  'CKR_TOKEN_NOT_PRESENT',
  'CKR_TOKEN_NOT_RECOGNIZED',
  'CKR_SLOT_ID_INVALID',
  'CKR_CRYPTOKI_NOT_INITIALIZED',
])

/** What a failed C_Login means. */
export function loginFailureOf(result: string): 'lost' | 'pin-incorrect' | 'pin-locked' {
  if (NOT_JUDGED.has(result)) return 'lost'
  return result === 'CKR_PIN_LOCKED' ? 'pin-locked' : 'pin-incorrect'
}
