// Typed access to the members of JSON objects whose names are known. Knows no metadata, only how Go would read names.
import { TufError } from './errors.ts'
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts'

const ASCII_LETTERS = /[A-Z]/g
const LONG_S = /\u017f/g
const KELVIN = /\u212a/g

/**
 * Refuses members whose name Go would take for one of the known names although the spelling differs.
 * Go's typed decoder folds case (docker/go canonical/json decode.go, fold.go: ASCII letters, and U+017F, U+212A for s and k),
 * its signature check does not, so such a file means two things. Stricter than Docker.
 * @throws TufError METADATA_NAME_CASE
 */
export function refuseCaseVariants(object: JsonObject, known: ReadonlySet<string>): void {
  for (const name of object.keys()) {
    if (known.has(name)) continue
    const folded = name
      .replace(ASCII_LETTERS, (letter) => letter.toLowerCase())
      .replace(LONG_S, 's')
      .replace(KELVIN, 'k')
    if (known.has(folded)) {
      throw new TufError('METADATA_NAME_CASE', 'A member differs from a known name only by case', { name: folded })
    }
  }
}

export function malformed(where: string, expected: string): TufError {
  return new TufError('METADATA_MALFORMED', `${where} must be ${expected}`, { where })
}

/** @throws TufError METADATA_MALFORMED */
export function asObject(value: JsonValue | undefined, where: string): JsonObject {
  if (!isJsonObject(value)) throw malformed(where, 'an object')
  return value
}

const NO_MEMBERS: JsonObject = new Map()

/** Go reads null and absence as an empty map. @throws TufError METADATA_MALFORMED */
export function asObjectOrNothing(value: JsonValue | undefined, where: string): JsonObject {
  return value === undefined || value === null ? NO_MEMBERS : asObject(value, where)
}

/** Go reads null and absence as an empty list. @throws TufError METADATA_MALFORMED */
export function asArrayOrNothing(value: JsonValue | undefined, where: string): readonly JsonValue[] {
  if (value === undefined || value === null) return []
  if (!isJsonArray(value)) throw malformed(where, 'a list')
  return value
}

/** @throws TufError METADATA_MALFORMED */
export function asString(value: JsonValue | undefined, where: string): string {
  if (typeof value !== 'string') throw malformed(where, 'text')
  return value
}

/** @throws TufError METADATA_MALFORMED */
export function asNumber(value: JsonValue | undefined, where: string): number {
  if (typeof value !== 'number') throw malformed(where, 'a number')
  return value
}
