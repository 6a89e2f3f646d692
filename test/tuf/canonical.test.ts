// Canonical bytes against every vector of Go's encoder, and against the canonicaljson package.
import * as canonicaljson from 'canonicaljson'
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  canonicalText,
  compareNames,
  encodeCanonical,
  parseJson,
  parsePublicKey,
  type JsonValue,
  type TufErrorCode,
} from '@countersign/tuf'
import { jsonValues, texts } from './arbitraries.ts'
import { expectCode } from './expect-code.ts'
import { vectorJson } from './vectors.ts'

interface Vector {
  name: string
  kind: string
  input?: string
  input_b64?: string
  output_b64?: string
  sha256?: string
  error?: string
}
const vectors = vectorJson('canonical-json-vectors.json') as Vector[]

/** What we refuse although Go encodes it, and what Go refuses too, each with our code and the reason. */
const REFUSED: Readonly<Record<string, [TufErrorCode, string]>> = {
  'control characters escaped in input': ['CANONICAL_CONTROL_CHARACTER', 'Go writes them raw, which is no JSON'],
  'nul key': ['CANONICAL_CONTROL_CHARACTER', 'Go writes it raw, which is no JSON'],
  'raw control char in input': ['JSON_SYNTAX', 'Go refuses it too'],
  'lone high surrogate': ['JSON_SURROGATE', 'Go puts U+FFFD in its place'],
  'lone low surrogate': ['JSON_SURROGATE', 'Go puts U+FFFD in its place'],
  'invalid utf-8 in input': ['JSON_UTF8', 'Go puts U+FFFD in its place'],
  'truncated utf-8 in input': ['JSON_UTF8', 'Go puts U+FFFD in its place, once per byte'],
  integers: ['JSON_NUMBER', 'holds 2^53, beyond which numbers lose digits'],
  'integer above 2^53': ['JSON_NUMBER', 'Go loses digits'],
  'negative zero': ['JSON_NUMBER', 'Go writes 0, so the value is not what was signed'],
  'exponent integers': ['JSON_NUMBER', 'Go verifies it, but refuses it as a version or length'],
  'non-integral float': ['JSON_NUMBER', 'Go refuses it too'],
  'float just integral': ['JSON_NUMBER', 'Go verifies it, but refuses it as a version or length'],
  'int64 max': ['JSON_NUMBER', 'Go verifies another number'],
  'huge float': ['JSON_NUMBER', 'Go verifies another number'],
  'huge negative float': ['JSON_NUMBER', 'Go verifies another number'],
  'float overflow': ['JSON_NUMBER', 'Go refuses it too'],
  'leading zero': ['JSON_SYNTAX', 'Go refuses it too'],
  'plus sign': ['JSON_SYNTAX', 'Go refuses it too'],
  'duplicate keys': ['JSON_DUPLICATE_NAME', 'Go lets the last one win'],
  'duplicate nested objects': ['JSON_DUPLICATE_NAME', 'Go lets the last one win'],
  'trailing data': ['JSON_TRAILING_BYTES', 'Go refuses it too'],
  bom: ['JSON_SYNTAX', 'Go refuses it too'],
}
/** Go refuses it while looking for an object; our envelope reader does that (signed.test.ts). */
const NOT_AN_OBJECT = new Set(['top-level array'])

const packageText = canonicaljson.stringify ?? canonicaljson.default.stringify

describe('encodeCanonical', () => {
  const canonicalize = vectors.filter(({ kind }) => kind === 'canonicalize')

  it('has a decision for every vector', () => {
    expect(canonicalize).to.have.lengthOf(42)
    const names = new Set(canonicalize.map(({ name }) => name))
    expect(Object.keys(REFUSED).filter((name) => !names.has(name))).to.be.empty
  })

  for (const vector of canonicalize) {
    const refused = REFUSED[vector.name]
    const input = Buffer.from(vector.input_b64 ?? vector.input!, vector.input_b64 === undefined ? 'utf8' : 'base64')
    const encode = () => Buffer.from(encodeCanonical(parseJson(input, { maxBytes: 1000, maxDepth: 20 })))
    if (refused === undefined) {
      it(`writes Go's bytes: ${vector.name}`, () => {
        if (NOT_AN_OBJECT.has(vector.name)) {
          expect(encode().toString()).to.equal(vector.input)
          return
        }
        expect(encode().toString('base64')).to.equal(vector.output_b64)
        expect(createHash('sha256').update(encode()).digest('hex')).to.equal(vector.sha256)
      })
    } else {
      it(`refuses: ${vector.name} (${refused[1]})`, () => expectCode(refused[0], encode))
    }
  }

  const goValues: Record<string, () => Uint8Array> = {
    'byte slice': () => encodeCanonical(new Map([['k', Buffer.from('fbff00', 'hex').toString('base64')]])),
    'nil byte slice': () => encodeCanonical(new Map([['k', null]])),
    'tuf public key': () =>
      encodeCanonical(
        new Map<string, JsonValue>([
          [
            'keyval',
            new Map<string, JsonValue>([
              ['public', 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='],
              ['private', null],
            ]),
          ],
          ['keytype', 'ed25519'],
        ]),
      ),
  }
  for (const vector of vectors.filter(({ kind }) => kind === 'go-value')) {
    const encode = goValues[vector.name]
    if (encode !== undefined) {
      it(`writes Go's bytes of a value: ${vector.name}`, () => {
        expect(Buffer.from(encode()).toString('base64')).to.equal(vector.output_b64)
      })
    }
  }
  it('refuses the two Go values that JavaScript cannot hold', () => {
    const others = vectors.filter(({ kind, name }) => kind === 'go-value' && goValues[name] === undefined)
    expect(others.map(({ name }) => name)).to.have.members([
      'go string invalid utf-8 bytes',
      'int64 max as integer type',
    ])
    expectCode('CANONICAL_SURROGATE', () => encodeCanonical('\ud800'))
    expectCode('CANONICAL_NUMBER', () => encodeCanonical(Number('9223372036854775807')))
  })

  it('computes the key ID from the canonical key object', () => {
    const vector = vectors.find(({ name }) => name === 'tuf public key')!
    const key = parsePublicKey(parseJson(Buffer.from(vector.output_b64!, 'base64'), { maxBytes: 1000, maxDepth: 4 }))
    expect(key.tufKeyId).to.equal(vector.sha256)
  })

  describe('refuses', () => {
    const values: Record<string, [TufErrorCode, JsonValue]> = {
      'a control character': ['CANONICAL_CONTROL_CHARACTER', 'a\u0001'],
      'a control character in a name': ['CANONICAL_CONTROL_CHARACTER', new Map([['\t', 1]])],
      'a lone surrogate in a name': ['CANONICAL_SURROGATE', new Map([['\udc00', 1]])],
      'a fraction': ['CANONICAL_NUMBER', 1.5],
      'minus zero': ['CANONICAL_NUMBER', -0],
      'a number above 2^53-1': ['CANONICAL_NUMBER', 2 ** 53],
      NaN: ['CANONICAL_NUMBER', NaN],
    }
    for (const [name, [code, value]] of Object.entries(values)) {
      it(name, () => expectCode(code, () => encodeCanonical([value])))
    }
    it('a value that nests without end', () => {
      const list: JsonValue[] = []
      list.push(list)
      expectCode('CANONICAL_TOO_DEEP', () => encodeCanonical(list))
    })
  })

  it('writes what the canonicaljson package writes, for text and whole numbers', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          texts,
          fc.string(),
          fc.maxSafeInteger().map((n) => n + 0),
        ),
        (value) => {
          expect(canonicalText(value)).to.equal(packageText(value))
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('writes every character beyond the control characters as the package does', () => {
    for (let unit = 0x20; unit <= 0xffff; unit++) {
      if (unit >= 0xd800 && unit <= 0xdfff) continue
      const text = String.fromCharCode(unit)
      if (canonicalText(text) !== packageText(text)) expect.fail(`U+${unit.toString(16)}`)
    }
  })

  it('writes what is read, once more the same', () => {
    fc.assert(
      fc.property(jsonValues, (value) => {
        const once = encodeCanonical(value)
        expect(encodeCanonical(parseJson(once, { maxBytes: 1e6, maxDepth: 64 }))).to.deep.equal(once)
      }),
    )
  })

  it('does not depend on the order of members', () => {
    fc.assert(
      fc.property(fc.uniqueArray(texts, { maxLength: 8 }), (names) => {
        const forth = new Map(names.map((name) => [name, name]))
        const back = new Map([...names].reverse().map((name) => [name, name]))
        expect(canonicalText(forth)).to.equal(canonicalText(back))
      }),
    )
  })
})

describe('compareNames', () => {
  it('orders by UTF-8 bytes', () => {
    const units = fc.string({
      unit: fc.constantFrom('a', 'Z', '_', '\u007f', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '𐀀'),
      maxLength: 4,
    })
    fc.assert(
      fc.property(units, units, (a, b) => {
        expect(Math.sign(compareNames(a, b))).to.equal(Buffer.compare(Buffer.from(a), Buffer.from(b)))
      }),
      { numRuns: 2000 },
    )
  })

  it('puts the tag 10 before 9, and upper case before lower', () => {
    expect(['9', '10', 'b', 'B', '__proto__', 'constructor'].sort(compareNames)).to.deep.equal([
      '10',
      '9',
      'B',
      '__proto__',
      'b',
      'constructor',
    ])
  })
})
