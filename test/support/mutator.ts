// Damages real samples, as fuzzers do: a few edits drawn by chance, or bytes that were never a sample. The same seed gives the same cases.
import type { Chance } from './chance.ts'

/** Words that parsers branch on, whatever they parse. */
const WORDS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '\\',
    '/',
    '..',
    '%2f',
    '\n',
    '\r\n',
    '\0',
    '\t',
    ' ',
    '#',
    '*',
    '&a',
    '!!',
    '---',
    '@',
    '=',
  ],
  ...[
    'null',
    'true',
    '-0',
    '1e999',
    '9007199254740993',
    '2147483648',
    '4294967296',
    '\\u0000',
    '\\ud800',
    '__proto__',
    'constructor',
  ],
  ...['-----BEGIN ', '-----END ', '-----\n', 'sha256:', '\u{1f600}', '\u202e', '\u00e9', '<<: *a', '~'],
].map((word) => Buffer.from(word))
const BYTES = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x30, 0x5c]
const MAX_EDITS = 6
/** Cases stay this small; what is large is tried by itself. */
const MAX_BYTES = 64 * 1024
const MAX_RANDOM_BYTES = 256

/** One case: mostly a damaged sample, sometimes a good one, sometimes noise. */
export function mutated(samples: readonly Buffer[], chance: Chance): Buffer {
  const kind = chance.below(16)
  if (kind === 0 || samples.length === 0) return noise(chance)
  let bytes = chance.pick(samples)
  if (kind === 1) return bytes
  for (let edits = 1 + chance.below(MAX_EDITS); edits > 0; edits--) bytes = edit(bytes, samples, chance)
  return bytes.subarray(0, MAX_BYTES)
}

function noise(chance: Chance): Buffer {
  const parts = Array.from({ length: chance.below(16) }, () =>
    chance.happens(0.5) ? chance.pick(WORDS) : randomBytes(chance, chance.below(MAX_RANDOM_BYTES / 16)),
  )
  return Buffer.concat(parts)
}

function edit(bytes: Buffer, samples: readonly Buffer[], chance: Chance): Buffer {
  const at = chance.below(bytes.byteLength + 1)
  const length = chance.below(Math.min(64, bytes.byteLength - at) + 1)
  switch (chance.below(9)) {
    case 0:
      return withByte(bytes, at, (byte) => byte ^ (1 << chance.below(8)))
    case 1:
      return withByte(bytes, at, () => chance.pick(BYTES))
    case 2:
      return splice(bytes, at, length, Buffer.alloc(0))
    case 3:
      return splice(bytes, at, 0, bytes.subarray(at, at + length))
    case 4:
      return splice(bytes, at, 0, chance.pick(WORDS))
    case 5:
      return splice(bytes, at, length, chance.pick(WORDS))
    case 6:
      return splice(bytes, at, 0, randomBytes(chance, chance.below(16)))
    case 7:
      return bytes.subarray(0, at)
    default: {
      const other = chance.pick(samples)
      const from = chance.below(other.byteLength + 1)
      return splice(bytes, at, length, other.subarray(from, from + chance.below(256)))
    }
  }
}

function withByte(bytes: Buffer, at: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes)
  const byte = copy[at]
  if (byte !== undefined) copy[at] = change(byte)
  return copy
}

function splice(bytes: Buffer, at: number, remove: number, insert: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)])
}

function randomBytes(chance: Chance, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => chance.below(256)))
}

/** Inputs of one size that are bad for careless parsers: deep, wide, repeated, never closed. */
export function pathological(size: number): ReadonlyMap<string, Buffer> {
  const units = [
    '[',
    '{"a":',
    '{"a":{',
    '"',
    'a',
    '/',
    '.',
    '-',
    ':',
    '*',
    ' ',
    '\n',
    '\\',
    '\0',
    '0',
    '(',
    ',a=',
    '\u00e9',
    '- ',
    '&a [',
    '? ',
  ]
  const inputs = units.map(
    (unit) => [`${JSON.stringify(unit)} repeated`, Buffer.from(unit.repeat(size / Buffer.byteLength(unit)))] as const,
  )
  const wrapped = [
    ['one long string', `"${'a'.repeat(size)}"`],
    ['a wide object', `{${Array.from({ length: size / 16 }, (_, index) => `"k${index}":1`).join(',')}}`],
    ['a wide array', `[${'1,'.repeat(size / 2)}1]`],
    ['one PEM block', `-----BEGIN CERTIFICATE-----\n${'A'.repeat(size)}\n-----END CERTIFICATE-----\n`],
    ['many PEM blocks', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'.repeat(size / 64)],
    ['many parameters', `Bearer ${'a="b",'.repeat(size / 6)}`],
    ['an escaped parameter', `Bearer realm="${'\\"'.repeat(size / 2)}`],
    ['many lines', 'a: b\n'.repeat(size / 5)],
    [
      'a bomb of aliases',
      `a: &a [x,x]\n${Array.from({ length: 40 }, (_, i) => `b${i}: &b${i} [*${i ? `b${i - 1}` : 'a'},*${i ? `b${i - 1}` : 'a'}]`).join('\n')}`,
    ],
    ['many colons and slashes', `registry.example.com/${'a/'.repeat(size / 2)}b:1`],
    ['many separators', `a${'--'.repeat(size / 2)}b`],
  ] as const
  return new Map([...inputs, ...wrapped.map(([name, text]) => [name, Buffer.from(text)] as const)])
}
