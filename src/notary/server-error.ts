// The error document of a Notary server. Pure: bytes in, code and words out. The words are for people; only codes are acted on.
// notary v0.7.0 server/errors/errors.go; the detail of validation errors: tuf/validation/errors.go.
import { isJsonArray, isJsonObject, parseJson, type JsonValue } from '@countersign/tuf'

export interface ServerError {
  /** `VERSION`, `UPDATING`, `INVALID_UPDATE`, ... */
  readonly code: string
  /** Of a validation error: `ErrBadTargets`, ... */
  readonly name?: string
  /** The role that could not be loaded, where the detail is one. */
  readonly role?: string
  /** The server's words, cut and without control characters. */
  readonly words: string
}

const LIMITS = { maxBytes: 64 * 1024, maxDepth: 16 }
const MAX_WORDS = 300
/** What codes and names look like; anything else is not repeated. */
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/
const NAME = /^[A-Za-z]{1,64}$/

/** Undefined: not an error document of a Notary server. */
export function parseServerError(body: Uint8Array): ServerError | undefined {
  let document: JsonValue
  try {
    document = parseJson(body, LIMITS)
  } catch {
    return undefined
  }
  const errors = member(document, 'errors')
  const first = isJsonArray(errors) ? errors[0] : undefined
  const code = text(member(first, 'code'))
  if (code === undefined || !CODE.test(code)) return undefined
  const detail = member(first, 'detail')
  const inner = member(detail, 'Error')
  const name = text(member(detail, 'Name'))
  const role = text(member(detail, 'Role'))
  const words = text(member(inner, 'Msg')) ?? text(member(first, 'message')) ?? ''
  return {
    code,
    words: printable(words),
    ...(name !== undefined && NAME.test(name) && { name }),
    ...(role !== undefined && { role: printable(role) }),
  }
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return isJsonObject(value) ? value.get(name) : undefined
}

function text(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function printable(words: string): string {
  return words.slice(0, MAX_WORDS).replace(/[^\x20-\x7e]/g, '?')
}
