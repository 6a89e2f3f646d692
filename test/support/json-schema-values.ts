// Values from a JSON Schema, for property tests: right ones, and right ones with one thing broken. Knows the keywords that our OpenAPI
// document uses; another one fails, so that nothing is generated blindly.
import fc from 'fast-check'

export type Schema = Readonly<Record<string, unknown>>
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

export interface ValueSources {
  readonly components: Readonly<Record<string, Schema>>
  /** Values that mean something to the server, by the name of the member or parameter; lists' items have that of the list. */
  readonly known: Readonly<Record<string, readonly string[]>>
}

const KEYWORDS = new Set([
  ...[
    '$ref',
    'type',
    'const',
    'enum',
    'anyOf',
    'oneOf',
    'description',
    'default',
    'format',
    'contentEncoding',
    'pattern',
  ],
  ...['minLength', 'maxLength', 'minimum', 'maximum', 'items', 'minItems', 'maxItems'],
  ...['properties', 'required', 'additionalProperties', 'propertyNames'],
])
/** Items and characters beyond which a bound is tried for itself only. */
const FEW = 3
const SHORT = 80

/** Values that the schema allows; strings of a known name mostly mean something. */
export function validValues(schema: Schema, name: string, sources: ValueSources): fc.Arbitrary<Json> {
  const unknown = Object.keys(schema).filter((keyword) => !KEYWORDS.has(keyword))
  if (unknown.length > 0) throw new Error(`No values are known for: ${unknown.join(', ')}.`)
  const { $ref, anyOf, oneOf } = schema
  if (typeof $ref === 'string') {
    const target = sources.components[$ref.replace('#/components/schemas/', '')]
    if (target === undefined) throw new Error(`${$ref} is not there.`)
    return validValues(target, name, sources)
  }
  const choice = (anyOf ?? oneOf) as readonly Schema[] | undefined
  if (choice !== undefined) return fc.oneof(...choice.map((one) => validValues(one, name, sources)))
  if ('const' in schema) return fc.constant(schema['const'] as Json)
  if ('enum' in schema) return fc.constantFrom(...(schema['enum'] as readonly Json[]))
  switch (schema['type']) {
    case 'string':
      return strings(schema, sources.known[name] ?? [])
    case 'integer':
      return integers(schema)
    case 'boolean':
      return fc.boolean()
    case 'array':
      return arrays(schema, name, sources)
    case 'object':
      return objects(schema, sources)
    case undefined:
      // Anything at all, as what registries send.
      return fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>
    default:
      throw new Error(`No values are known for: ${JSON.stringify(schema)}.`)
  }
}

function strings(schema: Schema, known: readonly string[]): fc.Arbitrary<Json> {
  const generated = generatedStrings(schema)
  return known.length === 0 ? generated : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known) }, generated)
}

function generatedStrings({ format, contentEncoding, pattern, ...schema }: Schema): fc.Arbitrary<string> {
  const minLength = Number(schema['minLength'] ?? 0)
  const maxLength = Number(schema['maxLength'] ?? SHORT)
  if (format === 'base64' || contentEncoding === 'base64') {
    return fc.uint8Array({ minLength: 1, maxLength: SHORT }).map((bytes) => Buffer.from(bytes).toString('base64'))
  }
  if (format === 'date-time') {
    const range = { min: new Date('1970-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true }
    return fc.date(range).map((date) => date.toISOString())
  }
  if (typeof pattern === 'string') return fc.stringMatching(new RegExp(pattern))
  return fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'grapheme-ascii', minLength, maxLength: Math.min(maxLength, SHORT) }) },
    fc
      .string({ unit: 'binary', minLength, maxLength: Math.min(maxLength, SHORT) })
      .filter((text) => text.length <= maxLength),
    fc.constant('x'.repeat(maxLength)),
    fc.constant('x'.repeat(minLength)),
  )
}

function integers(schema: Schema): fc.Arbitrary<Json> {
  const min = Number(schema['minimum'] ?? Number.MIN_SAFE_INTEGER)
  const max = Number(schema['maximum'] ?? Number.MAX_SAFE_INTEGER)
  return fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max))
}

function arrays(schema: Schema, name: string, sources: ValueSources): fc.Arbitrary<Json> {
  const item = validValues(schema['items'] as Schema, name, sources)
  const minLength = Number(schema['minItems'] ?? 0)
  const maxLength = Number(schema['maxItems'] ?? FEW)
  const few = fc.array(item, { minLength, maxLength: Math.max(minLength, Math.min(maxLength, FEW)) })
  return fc.oneof({ weight: 9, arbitrary: few }, fc.array(item, { minLength: maxLength, maxLength }))
}

function objects(schema: Schema, sources: ValueSources): fc.Arbitrary<Json> {
  const { properties = {}, required = [] } = schema as {
    readonly properties?: Readonly<Record<string, Schema>>
    readonly required?: readonly string[]
  }
  const members = Object.fromEntries(
    Object.entries(properties).map(([name, member]) => [name, validValues(member, name, sources)]),
  )
  return fc.record(members, { requiredKeys: [...required], noNullPrototype: true })
}

/** What no schema of ours expects where it stands, or hardly any. */
const junk: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    1e308,
    '',
    ' ',
    '\0',
    '\ud800',
    '../..',
    '%2e%2e',
    '__proto__',
    [],
    {},
    [[]],
    [null],
  ),
  fc.constant('x'.repeat(70_000)),
  fc.constant(Array.from({ length: 1001 }, () => 'x')),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
  fc.string({ unit: 'binary', maxLength: 20 }),
)

/** The value with one thing in it changed: replaced, left out, added, doubled. Some of them happen to be right. */
export function broken(value: Json): fc.Arbitrary<Json> {
  const places = placesOf(value)
  return fc
    .tuple(fc.constantFrom(...places), fc.constantFrom('replace', 'drop', 'add', 'double'), junk, memberNames)
    .map(([place, how, other, name]) => changed(value, place, (old) => change(old, how, other, name)))
}

const memberNames = fc.oneof(
  fc.constantFrom('extra', '', '__proto__', 'constructor', 'toString', 'a'.repeat(300)),
  fc.string({ maxLength: 5 }),
)

type Place = readonly (string | number)[]

function placesOf(value: Json, at: Place = []): readonly Place[] {
  if (typeof value !== 'object' || value === null) return [at]
  const names = Array.isArray(value) ? value.map((_, index) => index) : Object.keys(value)
  return [
    at,
    ...names
      .slice(0, 20)
      .flatMap((name) => placesOf((value as Record<string | number, Json>)[name] ?? null, [...at, name])),
  ]
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

function change(old: Json, how: string, other: Json, name: string): Json {
  if (isList(old)) {
    if (how === 'drop') return old.slice(1)
    if (how === 'add') return [...old, other]
    if (how === 'double') return [...old, ...old]
    return other
  }
  if (typeof old === 'object' && old !== null) {
    const members = Object.entries(old)
    if (how === 'drop') return Object.fromEntries(members.slice(1))
    if (how === 'add') return withMember(old, name, other)
    return other
  }
  if (typeof old === 'string' && how === 'double') return old + old
  if (typeof old === 'string' && how === 'drop') return old.slice(0, -1)
  if (typeof old === 'string' && how === 'add') return `${old}${name}`
  return other
}

function withMember(object: Readonly<Record<string, Json>>, name: string, value: Json): Json {
  const copy: Record<string, Json> = { ...object }
  // An own member, whatever its name.
  Object.defineProperty(copy, name, { value, enumerable: true, configurable: true, writable: true })
  return copy
}

function changed(value: Json, [first, ...rest]: Place, make: (old: Json) => Json): Json {
  if (first === undefined) return make(value)
  if (Array.isArray(value)) {
    return (value as readonly Json[]).map((one, index) => (index === first ? changed(one, rest, make) : one))
  }
  return Object.fromEntries(
    Object.entries(value as Record<string, Json>).map(([name, one]) => [
      name,
      name === first ? changed(one, rest, make) : one,
    ]),
  )
}
