// Strict JSON reading for signed metadata: what two readers could understand differently is refused, not repaired.
// It must not write JSON (canonical.ts, normal-form.ts) and knows no field names (members.ts).
import { TufError } from './errors.ts'

/** A JSON value. Objects are Maps in wire order, so `__proto__`, `constructor`, `10` and `9` are ordinary names. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export type JsonObject = ReadonlyMap<string, JsonValue>

/** Limits of one document: its length in bytes and how deep arrays and objects may nest. */
export interface JsonLimits {
  readonly maxBytes: number
  readonly maxDepth: number
}

/** Objects and arrays in one document. An empty one takes two bytes to send and hundreds to hold. */
const MAX_CONTAINERS = 1_000_000

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads one JSON document; white space around it is allowed, as Go allows it.
 * Stricter than Go (docker/go canonical/json decode.go): Go repairs invalid UTF-8 and lone surrogates to U+FFFD, lets the last
 * duplicate win and rounds numbers through float64. Each of these is refused here.
 * @throws TufError JSON_TOO_LARGE, JSON_UTF8, JSON_SYNTAX, JSON_TRAILING_BYTES, JSON_TOO_DEEP, JSON_DUPLICATE_NAME, JSON_NUMBER, JSON_SURROGATE
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): JsonValue {
  if (bytes.byteLength > limits.maxBytes) {
    throw new TufError('JSON_TOO_LARGE', 'The document is larger than allowed', {
      bytes: bytes.byteLength,
      maxBytes: limits.maxBytes,
    })
  }
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch (cause) {
    throw new TufError('JSON_UTF8', 'The document is not valid UTF-8', {}, { cause })
  }
  return new Reader(text, limits.maxDepth).document()
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map
}

export function isJsonArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value)
}

const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const UPPER_E = 0x45
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const LOWER_E = 0x65
const LOWER_U = 0x75
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

const SIMPLE_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

/** One pass over the text by index. Hot: a targets file of ten thousand tags has about sixty thousand strings. */
class Reader {
  private readonly text: string
  private readonly maxDepth: number
  private at = 0
  private depth = 0
  private containers = 0

  constructor(text: string, maxDepth: number) {
    this.text = text
    this.maxDepth = maxDepth
  }

  document(): JsonValue {
    const value = this.value()
    this.skipSpace()
    if (this.at < this.text.length) {
      throw new TufError('JSON_TRAILING_BYTES', 'Something follows the JSON document', { offset: this.at })
    }
    return value
  }

  private value(): JsonValue {
    const code = this.skipSpace()
    switch (code) {
      case QUOTE:
        return this.string()
      case OPEN_BRACE:
        return this.object()
      case OPEN_BRACKET:
        return this.array()
      default:
        if (code === MINUS || (code >= ZERO && code <= NINE)) return this.number()
        return this.literal()
    }
  }

  private object(): JsonObject {
    this.enter()
    const members = new Map<string, JsonValue>()
    if (this.skipSpace() === CLOSE_BRACE) {
      this.leave()
      return members
    }
    for (let count = 1; ; count++) {
      if (this.skipSpace() !== QUOTE) throw this.syntax()
      const name = this.string()
      if (this.skipSpace() !== COLON) throw this.syntax()
      this.at++
      members.set(name, this.value())
      // Go lets the last one win, in its map and in its struct alike (docker/go canonical/json decode.go); refused here.
      if (members.size !== count) {
        throw new TufError('JSON_DUPLICATE_NAME', 'An object has two members with the same name', { offset: this.at })
      }
      const code = this.skipSpace()
      if (code === CLOSE_BRACE) break
      if (code !== COMMA) throw this.syntax()
      this.at++
    }
    this.leave()
    return members
  }

  private array(): readonly JsonValue[] {
    this.enter()
    const items: JsonValue[] = []
    if (this.skipSpace() === CLOSE_BRACKET) {
      this.leave()
      return items
    }
    for (;;) {
      items.push(this.value())
      const code = this.skipSpace()
      if (code === CLOSE_BRACKET) break
      if (code !== COMMA) throw this.syntax()
      this.at++
    }
    this.leave()
    return items
  }

  private enter(): void {
    this.depth++
    if (this.depth > this.maxDepth) {
      throw new TufError('JSON_TOO_DEEP', 'Arrays and objects nest too deeply', { maxDepth: this.maxDepth })
    }
    this.containers++
    if (this.containers > MAX_CONTAINERS) {
      throw new TufError('JSON_TOO_LARGE', 'The document has too many objects and lists', {
        maxContainers: MAX_CONTAINERS,
      })
    }
    this.at++
  }

  private leave(): void {
    this.depth--
    this.at++
  }

  private string(): string {
    const { text } = this
    const start = ++this.at
    for (let at = start; ; at++) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) {
        this.at = at + 1
        return text.slice(start, at)
      }
      if (code === BACKSLASH) return this.escapedString(start, at)
      // NaN, past the end, fails the comparison as well.
      if (!(code >= SPACE)) throw this.syntax(at)
    }
  }

  private escapedString(start: number, firstEscape: number): string {
    const { text } = this
    let out = text.slice(start, firstEscape)
    this.at = firstEscape
    for (;;) {
      const code = text.charCodeAt(this.at)
      if (code === QUOTE) {
        this.at++
        return out
      }
      if (code === BACKSLASH) {
        out += this.escape()
      } else if (code >= SPACE) {
        out += text.charAt(this.at++)
      } else {
        throw this.syntax()
      }
    }
  }

  private escape(): string {
    const { text } = this
    if (text.charCodeAt(this.at + 1) !== LOWER_U) {
      const simple = SIMPLE_ESCAPES.get(text.charAt(this.at + 1))
      if (simple === undefined) throw this.syntax(this.at + 1)
      this.at += 2
      return simple
    }
    const unit = this.escapedUnit()
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit)
    const paired = unit < 0xdc00 && text.startsWith('\\u', this.at)
    const low = paired ? this.escapedUnit() : 0
    if (low < 0xdc00 || low > 0xdfff) {
      throw new TufError('JSON_SURROGATE', 'A string has a surrogate without its pair', { offset: this.at })
    }
    return String.fromCharCode(unit, low)
  }

  private escapedUnit(): number {
    const digits = this.text.slice(this.at + 2, this.at + 6)
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.syntax(this.at + 2)
    this.at += 6
    return Number.parseInt(digits, 16)
  }

  private number(): number {
    const { text } = this
    const start = this.at
    let at = start
    if (text.charCodeAt(at) === MINUS) at++
    const firstDigit = text.charCodeAt(at)
    if (!(firstDigit >= ZERO && firstDigit <= NINE)) throw this.syntax(at)
    at++
    // A digit after a leading zero is left over, and then fails as syntax.
    if (firstDigit !== ZERO) while (isDigit(text.charCodeAt(at))) at++
    const next = text.charCodeAt(at)
    if (next === POINT || next === LOWER_E || next === UPPER_E) throw this.badNumber()
    // The longest safe integers have 16 digits and a sign.
    if (at - start > 17) throw this.badNumber()
    const value = Number(text.slice(start, at))
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw this.badNumber()
    this.at = at
    return value
  }

  private literal(): null | boolean {
    const { text, at } = this
    if (text.startsWith('null', at)) {
      this.at += 4
      return null
    }
    if (text.startsWith('true', at)) {
      this.at += 4
      return true
    }
    if (text.startsWith('false', at)) {
      this.at += 5
      return false
    }
    throw this.syntax()
  }

  /** Moves past white space and answers the code at that place; NaN at the end. */
  private skipSpace(): number {
    for (;;) {
      const code = this.text.charCodeAt(this.at)
      if (code > SPACE) return code
      if (code !== SPACE && code !== LINE_FEED && code !== CARRIAGE_RETURN && code !== TAB) return code
      this.at++
    }
  }

  private syntax(offset = this.at): TufError {
    return new TufError('JSON_SYNTAX', 'The document is not valid JSON', { offset })
  }

  private badNumber(): TufError {
    return new TufError('JSON_NUMBER', 'Only whole numbers up to 2^53-1, written plainly, are allowed', {
      offset: this.at,
    })
  }
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE
}
