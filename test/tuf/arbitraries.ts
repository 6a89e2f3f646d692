// Arbitrary values for property tests: what signed metadata could hold. Test code only.
import fc from 'fast-check'
import type { JsonValue } from '@countersign/tuf'

/** Text that has a canonical form: well-formed, without control characters. Names special to JavaScript come often. */
export const texts: fc.Arbitrary<string> = fc.oneof(
  fc
    .string({ unit: 'binary', maxLength: 12 })
    .filter((text) => !/\p{Surrogate}|\p{Cc}/u.test(text) || /^[\u007f-\u009f]+$/.test(text)),
  fc.string({ maxLength: 12 }),
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    '10',
    '9',
    '',
    'é',
    '\ue000',
    '\uffff',
    '😀',
    '<>&\u2028"\\/',
    '\u007f',
  ),
)

export const jsonValues: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<JsonValue>(null, true, false),
    fc.maxSafeInteger().map((number) => (Object.is(number, -0) ? 0 : number)),
    texts,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(texts, tie('value')), { maxLength: 4 }).map((members) => new Map(members)),
  ),
})).value
