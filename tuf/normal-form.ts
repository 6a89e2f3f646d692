// Notary's normal form: the only bytes that survive the trust server's own decoding and encoding unchanged. A file in any other
// form is accepted by a stock server and then cannot be found by its hash.
import { canonicalText } from './canonical.ts'
import type { JsonValue } from './json.ts'

const ESCAPED = /[<>&\u2028\u2029]/g

/**
 * Canonical text with the five characters escaped that Go's envelope encoder rewrites (Go encoding/json compact with
 * escapeHTML). Signatures cover the canonical text, not this one.
 * @throws TufError CANONICAL_*
 */
export function normalFormText(value: JsonValue): string {
  return canonicalText(value).replace(ESCAPED, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
