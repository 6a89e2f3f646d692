// Skimming a targets file and reading it are one: whatever is skimmed would have been read, with the same outcome.
import {
  encodeBase64,
  parseRoleName,
  parseTargets,
  skimTargets,
  TARGETS,
  TufError,
  verifyNormalFormFile,
  type JsonValue,
  type Received,
  type TargetsMetadata,
} from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { runs } from '../support/arbitraries.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'

const builder = new RepositoryBuilder()
builder.delegate('targets/releases').delegate('targets/a', { paths: ['v', 'r'] })

/** A targets file with these entries, signed. */
function fileOf(entries: ReadonlyMap<string, JsonValue>): Uint8Array {
  builder.role(TARGETS).targets = new Map(entries)
  return builder.files().get('targets.json') ?? Buffer.alloc(0)
}

function read(bytes: Uint8Array): Received<TargetsMetadata> | undefined {
  try {
    const file = parseTargets(bytes, TARGETS)
    verifyNormalFormFile(file)
    return file
  } catch (error) {
    if (error instanceof TufError) return undefined
    throw error
  }
}

/** @returns whether it was skimmed */
function expectTheSame(bytes: Uint8Array): boolean {
  const skimmed = skimTargets(bytes, TARGETS)
  if (skimmed === undefined) return false
  const full = read(bytes)
  if (full === undefined) expect.fail(`skimmed, but not readable: ${Buffer.from(bytes).toString('latin1')}`)
  const { file, names } = skimmed
  expect(names).to.deep.equal([...full.metadata.targets.keys()])
  expect(Buffer.compare(file.message, full.message)).to.equal(0)
  expect(Buffer.compare(file.bytes, full.bytes)).to.equal(0)
  expect(file.sha256).to.equal(full.sha256)
  expect(file.signatures).to.deep.equal(full.signatures)
  const { targets, ...rest } = file.metadata
  expect({ ...rest, targets: full.metadata.targets }).to.deep.equal(full.metadata)
  expect(targets.size).to.equal(0)
  for (const [name, value] of full.signed) if (name !== 'targets') expect(file.signed.get(name)).to.deep.equal(value)
  return true
}

const digest = (length: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(encodeBase64)
const plainName = fc.stringMatching(/^[A-Za-z0-9_.-]{0,8}$/)
const anyName = fc.oneof(
  plainName,
  fc.constantFrom('<', 'a&b', '"', '\\', 'ä', '\u{1f600}', 'targets', '__proto__', ' '),
)
const meta = (sha256: fc.Arbitrary<string>, others: boolean): fc.Arbitrary<JsonValue> =>
  fc
    .record(
      {
        sha256,
        sha512: fc.option(digest(64), { nil: undefined }),
        length: others ? fc.constantFrom(0, 1, 528, 2 ** 53 - 1, -1) : fc.nat(),
        custom: others ? fc.option(fc.constantFrom('x', null), { nil: undefined }) : fc.constant(undefined),
      },
      { noNullPrototype: true },
    )
    .map((one) => {
      const hashes = new Map<string, JsonValue>([['sha256', one.sha256]])
      if (one.sha512 !== undefined) hashes.set('sha512', one.sha512)
      const made = new Map<string, JsonValue>([
        ['hashes', hashes],
        ['length', one.length],
      ])
      return one.custom === undefined ? made : made.set('custom', one.custom)
    })
const plain = fc.array(fc.tuple(plainName, meta(digest(32), false)), { maxLength: 6 })
const any = fc.array(fc.tuple(anyName, meta(fc.oneof(digest(32), digest(31), fc.constant('x')), true)), {
  maxLength: 4,
})

describe('skimTargets', () => {
  it('skims every file whose entries are plain', () => {
    fc.assert(
      fc.property(plain, (entries) => {
        expect(expectTheSame(fileOf(new Map(entries)))).to.equal(true)
      }),
      runs(60),
    )
  })

  it('leaves all others to the parser', () => {
    fc.assert(
      fc.property(any, (entries) => {
        expectTheSame(fileOf(new Map(entries)))
      }),
      runs(60),
    )
    for (const name of ['a&b', 'ä', '"']) {
      builder.role(TARGETS).targets.clear()
      builder.put(TARGETS, name, 'image')
      expect(expectTheSame(builder.files().get('targets.json') ?? Buffer.alloc(0))).to.equal(false)
    }
  })

  it('skims nothing that the parser refuses or reads otherwise, whatever is done to a file', () => {
    let skimmed = 0
    const edit = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      remove: fc.nat(3),
      insert: fc.constantFrom(
        '',
        '0',
        '1',
        '"',
        '}',
        '{',
        ',',
        ' ',
        '\\',
        'a',
        '=',
        '&',
        '\\u0041',
        ',"x":{}',
        'é',
        '\0',
      ),
    })
    // Also whole entries: twice, in another order.
    const swap = fc.constantFrom('none', 'twice', 'reversed')
    fc.assert(
      fc.property(plain, fc.array(edit, { maxLength: 2 }), swap, (entries, edits, order) => {
        let text = Buffer.from(fileOf(new Map(entries))).toString('latin1')
        const list = /"targets":\{(.+)\},"version"/.exec(text)?.[1]?.split(/(?<=\}),(?=")/) ?? []
        if (order === 'twice') text = text.replace(list.join(','), [...list, ...list].join(','))
        if (order === 'reversed') text = text.replace(list.join(','), [...list].reverse().join(','))
        for (const { at, remove, insert } of edits) {
          const place = Math.floor(at * text.length)
          text = text.slice(0, place) + insert + text.slice(place + remove)
        }
        if (expectTheSame(Buffer.from(text, 'latin1'))) skimmed++
      }),
      runs(400),
    )
    expect(skimmed).to.be.greaterThan(20)
  })

  it('takes nothing for the list of targets that stands elsewhere', () => {
    const entry = '"v1":{"hashes":{"sha256":"' + 'A'.repeat(43) + '="},"length":1}'
    const nested = `{"keys":{"expires":"2030-01-01T00:00:00Z","targets":{${entry}}},"roles":[]}`
    const inKeys = `{"keys":{"a":"b","expires":"2030-01-01T00:00:00Z","targets":{${entry}},"version":1},"roles":[]}`
    for (const delegations of [nested, inKeys]) {
      const signed = `{"_type":"Targets","delegations":${delegations},"expires":"2030-01-01T00:00:00Z","targets":{},"version":1}`
      expect(expectTheSame(Buffer.from(`{"signed":${signed},"signatures":[]}`))).to.equal(false)
    }
  })

  it('belongs to targets roles', () => {
    expect(skimTargets(fileOf(new Map()), parseRoleName('snapshot'))).to.equal(undefined)
  })
})
