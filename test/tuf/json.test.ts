// Strict JSON reading: what is taken, what is refused and with which code.
import { expect } from 'chai'
import fc from 'fast-check'
import { encodeCanonical, parseJson, TufError, type JsonValue, type TufErrorCode } from '@countersign/tuf'
import { jsonValues } from './arbitraries.ts'
import { codeOf, expectCode } from './expect-code.ts'

const limits = { maxBytes: 10_000, maxDepth: 8 }
const parse = (text: string): JsonValue => parseJson(Buffer.from(text), limits)

describe('parseJson', () => {
  it('reads every kind of value', () => {
    expect(parse('[null,true,false,0,-1,9007199254740991,-9007199254740991,"é"]')).to.deep.equal([
      null,
      true,
      false,
      0,
      -1,
      9007199254740991,
      -9007199254740991,
      'é',
    ])
  })

  it('allows white space around values, as Go does', () => {
    expect(parse(' \t\r\n{ "a" : [ 1 , 2 ] , "b" : { } }\n')).to.deep.equal(
      new Map<string, unknown>([
        ['a', [1, 2]],
        ['b', new Map()],
      ]),
    )
  })

  it('reads every escape', () => {
    expect(parse(String.raw`"\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00\u0000"`)).to.equal('"\\/\b\f\n\r\té😀\0')
  })

  it('keeps names that are special to JavaScript, in file order', () => {
    const names = ['b', '10', '9', '__proto__', 'constructor', 'hasOwnProperty', '']
    const value = parse(`{${names.map((name, index) => `"${name}":${index}`).join(',')}}`) as Map<string, number>
    expect([...value]).to.deep.equal(names.map((name, index) => [name, index]))
  })

  it('keeps a value named __proto__ inside its object only', () => {
    parse('{"__proto__":{"polluted":true}}')
    expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined)
  })

  describe('refuses', () => {
    const cases: Record<string, [TufErrorCode, string]> = {
      'an empty document': ['JSON_SYNTAX', ''],
      'white space only': ['JSON_SYNTAX', ' \n'],
      'a byte order mark': ['JSON_SYNTAX', '\ufeff{}'],
      'a non-breaking space': ['JSON_SYNTAX', '\u00a0{}'],
      'a form feed': ['JSON_SYNTAX', '\f{}'],
      'something after the document': ['JSON_TRAILING_BYTES', '{} x'],
      'a second document': ['JSON_TRAILING_BYTES', '{}{}'],
      'a NUL after the document': ['JSON_TRAILING_BYTES', '{}\0'],
      'a name twice': ['JSON_DUPLICATE_NAME', '{"a":1,"b":2,"a":1}'],
      'a name twice, once escaped': ['JSON_DUPLICATE_NAME', String.raw`{"a":1,"\u0061":2}`],
      '__proto__ twice': ['JSON_DUPLICATE_NAME', '{"__proto__":1,"__proto__":1}'],
      'a fraction': ['JSON_NUMBER', '1.0'],
      'an exponent': ['JSON_NUMBER', '1e3'],
      'an upper-case exponent': ['JSON_NUMBER', '1E3'],
      'minus zero': ['JSON_NUMBER', '-0'],
      'an integer above 2^53-1': ['JSON_NUMBER', '9007199254740992'],
      'an integer below -(2^53-1)': ['JSON_NUMBER', '-9007199254740992'],
      'a very long integer': ['JSON_NUMBER', '1'.repeat(400)],
      'a leading zero': ['JSON_TRAILING_BYTES', '01'],
      'a leading zero in a list': ['JSON_SYNTAX', '[01]'],
      'a plus sign': ['JSON_SYNTAX', '+1'],
      'a minus sign alone': ['JSON_SYNTAX', '-'],
      'a hexadecimal number': ['JSON_TRAILING_BYTES', '0x10'],
      NaN: ['JSON_SYNTAX', 'NaN'],
      'a word': ['JSON_SYNTAX', 'nul'],
      'a raw line break in text': ['JSON_SYNTAX', '"a\nb"'],
      'a raw NUL in text': ['JSON_SYNTAX', '"\0"'],
      'text without end': ['JSON_SYNTAX', '"abc'],
      'an escape without end': ['JSON_SYNTAX', '"\\'],
      'an unknown escape': ['JSON_SYNTAX', String.raw`"\x41"`],
      'a short escape': ['JSON_SYNTAX', String.raw`"\u12"`],
      'an escape with a sign': ['JSON_SYNTAX', String.raw`"\u+123"`],
      'single quotes': ['JSON_SYNTAX', "{'a':1}"],
      'a name without quotes': ['JSON_SYNTAX', '{a:1}'],
      'a missing colon': ['JSON_SYNTAX', '{"a" 1}'],
      'a missing value': ['JSON_SYNTAX', '{"a":}'],
      'a missing comma': ['JSON_SYNTAX', '[1 2]'],
      'a comma at the end of a list': ['JSON_SYNTAX', '[1,]'],
      'a comma at the end of an object': ['JSON_SYNTAX', '{"a":1,}'],
      'a list without end': ['JSON_SYNTAX', '[1'],
      'an object without end': ['JSON_SYNTAX', '{"a":1'],
      'a comment': ['JSON_SYNTAX', '/**/1'],
      'a lone high surrogate': ['JSON_SURROGATE', String.raw`"\ud800x"`],
      'a lone low surrogate': ['JSON_SURROGATE', String.raw`"\udc00"`],
      'two high surrogates': ['JSON_SURROGATE', String.raw`"\ud800\ud800"`],
      'a high surrogate before another escape': ['JSON_SURROGATE', String.raw`"\ud800\n"`],
      'a high surrogate at the end': ['JSON_SURROGATE', String.raw`"\ud800"`],
      'nine levels where eight are allowed': ['JSON_TOO_DEEP', '['.repeat(9) + ']'.repeat(9)],
      'a document over the limit': ['JSON_TOO_LARGE', ' '.repeat(10_001)],
    }
    for (const [name, [code, text]] of Object.entries(cases)) {
      it(name, () => expectCode(code, () => parse(text)))
    }

    const badUtf8: Record<string, string> = {
      'a byte that begins nothing': '22ff22',
      'a truncated sequence': '22e28022',
      'an overlong form': '22c0af22',
      'an encoded surrogate': '22eda08022',
      'a code point above U+10FFFF': '22f490808022',
    }
    for (const [name, hex] of Object.entries(badUtf8)) {
      it(`invalid UTF-8: ${name}`, () => expectCode('JSON_UTF8', () => parseJson(Buffer.from(hex, 'hex'), limits)))
    }
  })

  it('takes exactly the depth and the size allowed', () => {
    expect(codeOf(() => parse('['.repeat(8) + ']'.repeat(8)))).to.equal(undefined)
    expect(parse(`${' '.repeat(9_999)}1`)).to.equal(1)
  })

  it('does not run out of stack, however deep the document', () => {
    expectCode('JSON_TOO_DEEP', () => parseJson(Buffer.from('['.repeat(1_000_000)), { maxBytes: 2e6, maxDepth: 32 }))
  })

  it('does not run out of memory with a million empty objects', () => {
    const text = `[${'{},'.repeat(1_000_000)}{}]`
    expectCode('JSON_TOO_LARGE', () => parseJson(Buffer.from(text), { maxBytes: 1e7, maxDepth: 4 }))
  })

  it('reads back what the canonical encoder writes', () => {
    fc.assert(
      fc.property(jsonValues, (value) => {
        expect(parseJson(encodeCanonical(value), { maxBytes: 1e6, maxDepth: 64 })).to.deep.equal(value)
      }),
    )
  })

  it('agrees with JSON.parse on what it accepts', () => {
    const documents = fc.oneof(
      fc.json(),
      fc.string({ unit: fc.constantFrom(...'[]{}",:\\u0019eE.-ntf alse'.split('')), maxLength: 20 }),
    )
    fc.assert(
      fc.property(documents, (text) => {
        let value: JsonValue
        try {
          value = parseJson(Buffer.from(text), { maxBytes: 1e6, maxDepth: 64 })
        } catch (error) {
          expect(error).to.be.instanceOf(TufError)
          return
        }
        expect(plain(value)).to.deep.equal(JSON.parse(text))
      }),
      { numRuns: 1000 },
    )
  })

  it('answers any bytes with a value or a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        codeOf(() => parseJson(bytes, limits))
      }),
      { numRuns: 1000 },
    )
  })
})

function plain(value: JsonValue): unknown {
  if (value instanceof Map) {
    const object = {}
    for (const [name, member] of value as Map<string, JsonValue>) {
      Object.defineProperty(object, name, {
        value: plain(member),
        enumerable: true,
        writable: true,
        configurable: true,
      })
    }
    return object
  }
  return Array.isArray(value) ? (value as JsonValue[]).map(plain) : value
}
