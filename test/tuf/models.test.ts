// The four kinds of metadata, one change of a good document at a time.
import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import {
  attachSignatures,
  newRoot,
  newTargets,
  parseRoleName,
  parseRoot,
  parseSnapshot,
  parseTargets,
  parseTimestamp,
  publicKeyOf,
  RELEASES,
  ROOT,
  TARGETS,
  verifyNormalFormFile,
  type JsonValue,
  type TufErrorCode,
} from '@countersign/tuf'
import { expectCode } from './expect-code.ts'
import { vectorBytes } from './vectors.ts'

const SHA256 = 'bKnhUeNRtf9Rt6RbUmpp+NiwU4xG1MMJyYuRvy+6Q0A='
const META = `{"hashes":{"sha256":"${SHA256}"},"length":523}`
const EXPIRES = '"expires":"2030-01-01T00:00:00Z"'
const file = (signed: string) => Buffer.from(`{"signed":{${signed}},"signatures":[]}`)

interface Case {
  /** Members of `signed`, as a change of good ones: what is replaced, and by what. */
  readonly from: string
  readonly to: string
  readonly code?: TufErrorCode
}

/** Changes one text in a good document; without a code the document is still read. */
function table(good: string, parse: (bytes: Buffer) => unknown, cases: Readonly<Record<string, Case>>): void {
  for (const [name, { from, to, code }] of Object.entries(cases)) {
    it(`${code === undefined ? 'takes' : 'refuses'} ${name}`, () => {
      expect(good).to.contain(from)
      const bytes = file(good.replace(from, to))
      if (code === undefined) parse(bytes)
      else expectCode(code, () => parse(bytes))
    })
  }
}

/** The same for all four types. */
const COMMON: Readonly<Record<string, Case>> = {
  'a version that is text': { from: '"version":3', to: '"version":"3"', code: 'METADATA_MALFORMED' },
  'a version that is null': { from: '"version":3', to: '"version":null', code: 'METADATA_MALFORMED' },
  'a version with a fraction': { from: '"version":3', to: '"version":3.0', code: 'JSON_NUMBER' },
  'version zero': { from: '"version":3', to: '"version":0', code: 'METADATA_VERSION' },
  'a negative version': { from: '"version":3', to: '"version":-1', code: 'METADATA_VERSION' },
  'the highest version': { from: '"version":3', to: '"version":2147483647' },
  'a version above the highest': { from: '"version":3', to: '"version":2147483648', code: 'METADATA_VERSION' },
  'no version': { from: ',"version":3', to: '', code: 'METADATA_MALFORMED' },
  'a version in another case': { from: '"version":3', to: '"version":3,"Version":4', code: 'METADATA_NAME_CASE' },
  'no expiry': { from: `${EXPIRES},`, to: '', code: 'METADATA_MALFORMED' },
  'an expiry without zone': { from: '00:00Z', to: '00:00', code: 'METADATA_EXPIRES' },
  'an unknown member': { from: '"version":3', to: '"spec_version":"1.0","version":3' },
  'a lower-case type': { from: '"_type":"', to: '"_type":"x', code: 'METADATA_TYPE' },
}

describe('parseRoot', () => {
  const key = `{"keytype":"ecdsa","keyval":{"private":null,"public":"AAAA"}}`
  const role = '{"keyids":["ab"],"threshold":1}'
  const good = `"_type":"Root","consistent_snapshot":false,${EXPIRES},"keys":{"ab":${key}},"roles":{"root":${role},"snapshot":${role},"targets":${role},"timestamp":${role}},"version":3`

  it('reads a root', () => {
    const { metadata } = parseRoot(file(good))
    expect(metadata.version).to.equal(3)
    expect(metadata.expiresAt).to.deep.equal(new Date('2030-01-01T00:00:00Z'))
    expect(metadata.consistentSnapshot).to.equal(false)
    expect([...metadata.keys.keys()]).to.deep.equal(['ab'])
    expect(metadata.roles.get(ROOT)).to.deep.equal({ name: 'root', keyIds: ['ab'], threshold: 1 })
  })

  table(good, parseRoot, {
    ...COMMON,
    'no consistent_snapshot': { from: '"consistent_snapshot":false,', to: '' },
    'a consistent_snapshot that is text': { from: 'false', to: '"false"', code: 'METADATA_MALFORMED' },
    'a further role': { from: '"snapshot":', to: '"mirrors":{},"snapshot":' },
    'a missing role': { from: `"snapshot":${role},`, to: '', code: 'METADATA_ROLE_MISSING' },
    'a role in another case only': { from: '"snapshot":', to: '"Snapshot":', code: 'METADATA_ROLE_MISSING' },
    'a threshold of zero': { from: '"threshold":1', to: '"threshold":0', code: 'METADATA_THRESHOLD' },
    'a threshold above the number of keys': { from: '"threshold":1', to: '"threshold":9' },
    'a key that is not listed': { from: '"keyids":["ab"]', to: '"keyids":["cd"]', code: 'METADATA_KEY_MISSING' },
    'key IDs null': { from: '"keyids":["ab"]', to: '"keyids":null' },
    'keys null': { from: `"keys":{"ab":${key}}`, to: '"keys":null', code: 'METADATA_KEY_MISSING' },
    'roles null': { from: '"roles":{', to: '"roles":null,"x":{', code: 'METADATA_MALFORMED' },
    'a key that is a list': { from: key, to: '[]', code: 'METADATA_MALFORMED' },
    'a threshold in two cases': {
      from: '"threshold":1',
      to: '"threshold":1,"Threshold":2',
      code: 'METADATA_NAME_CASE',
    },
  })
})

describe('parseTargets', () => {
  const child = '{"keyids":[],"name":"targets/a","paths":[""],"threshold":1}'
  const good = `"_type":"Targets","delegations":{"keys":{},"roles":[${child}]},${EXPIRES},"targets":{"1.0":${META}},"version":3`
  const parse = (bytes: Buffer) => parseTargets(bytes, TARGETS)

  it('reads targets', () => {
    const { metadata } = parse(file(good))
    expect(metadata.targets.get('1.0')).to.deep.equal({ length: 523, hashes: new Map([['sha256', SHA256]]) })
    expect(metadata.delegations.roles).to.deep.equal([{ name: 'targets/a', keyIds: [], threshold: 1, paths: [''] }])
  })

  it('keeps tags that are special to JavaScript, in file order', () => {
    const tags = ['10', '9', '__proto__', 'constructor', 'hasOwnProperty', 'b', 'a']
    const targets = tags.map((tag) => `"${tag}":${META}`).join(',')
    const { metadata } = parse(file(good.replace(`"1.0":${META}`, targets)))
    expect([...metadata.targets.keys()]).to.deep.equal(tags)
  })

  it('keeps custom data', () => {
    const { metadata } = parse(file(good.replace('"length"', '"custom":{"a":[1]},"length"')))
    expect(metadata.targets.get('1.0')?.custom).to.deep.equal(new Map([['a', [1]]]))
  })

  table(good, parse, {
    ...COMMON,
    'targets null': { from: `"targets":{"1.0":${META}}`, to: '"targets":null' },
    'no targets': { from: `"targets":{"1.0":${META}},`, to: '' },
    'targets in another case': { from: '"targets":{', to: '"TARGETS":{', code: 'METADATA_NAME_CASE' },
    'targets that are a list': { from: `"targets":{"1.0":${META}}`, to: '"targets":[]', code: 'METADATA_MALFORMED' },
    'no delegations': { from: `"delegations":{"keys":{},"roles":[${child}]},`, to: '' },
    'delegations null': { from: `{"keys":{},"roles":[${child}]}`, to: 'null' },
    'delegations with nulls': { from: `{"keys":{},"roles":[${child}]}`, to: '{"keys":null,"roles":null}' },
    'a role twice': { from: child, to: `${child},${child}` },
    'key IDs null': { from: '"keyids":[]', to: '"keyids":null' },
    'no paths': { from: ',"paths":[""]', to: '' },
    'paths null': { from: '[""]', to: 'null' },
    'paths that are text': { from: '[""]', to: '""', code: 'METADATA_MALFORMED' },
    'a path that is a number': { from: '[""]', to: '[1]', code: 'METADATA_MALFORMED' },
    'a delegation of another role': { from: 'targets/a', to: 'targets/a/b', code: 'METADATA_DELEGATION' },
    'a delegation without parent': { from: 'targets/a', to: 'a', code: 'METADATA_DELEGATION' },
    'a delegation to targets': { from: 'targets/a', to: 'targets', code: 'METADATA_DELEGATION' },
    'a delegation in upper case': { from: 'targets/a', to: 'targets/A', code: 'METADATA_DELEGATION' },
    'a delegation with a threshold of zero': { from: '"threshold":1', to: '"threshold":0', code: 'METADATA_THRESHOLD' },
    'a delegation with a key that is not listed': {
      from: '"keyids":[]',
      to: '"keyids":["ab"]',
      code: 'METADATA_KEY_MISSING',
    },
    'a name in two cases': { from: '"name":', to: '"Name":"targets/b","name":', code: 'METADATA_NAME_CASE' },
    'no hashes': { from: `"hashes":{"sha256":"${SHA256}"},`, to: '' },
    'an unknown digest of any length': { from: '"sha256":', to: '"blake2b":"AAAA","sha256":' },
    'a SHA-256 of the wrong length': { from: SHA256, to: 'AAAA', code: 'METADATA_FILE_META' },
    'a SHA-512 of the wrong length': { from: '"sha256"', to: '"sha512"', code: 'METADATA_FILE_META' },
    'a digest that is null': { from: `"${SHA256}"`, to: 'null', code: 'METADATA_MALFORMED' },
    'a negative length': { from: '523', to: '-1', code: 'METADATA_FILE_META' },
    'no length': { from: ',"length":523', to: '', code: 'METADATA_MALFORMED' },
    'a length in two cases': { from: '"length":523', to: '"length":523,"LENGTH":1', code: 'METADATA_NAME_CASE' },
    'hashes in another case only': { from: '"hashes"', to: '"Hashes"', code: 'METADATA_NAME_CASE' },
    'custom in another case only': { from: '"length"', to: '"Custom":1,"length"', code: 'METADATA_NAME_CASE' },
    'a length in another case only': { from: '"length":523', to: '"Length":523', code: 'METADATA_MALFORMED' },
  })

  it('demands direct children of the role that is read', () => {
    const bytes = file(good.replace('targets/a', 'targets/releases/a'))
    parseTargets(bytes, RELEASES)
    expectCode('METADATA_DELEGATION', () => parseTargets(bytes, TARGETS))
    expectCode('METADATA_DELEGATION', () => parseTargets(bytes, parseRoleName('targets/other')))
  })

  it('refuses roles that have no targets metadata', () => {
    expectCode('ROLE_NAME_INVALID', () => parseTargets(file(good), ROOT))
  })
})

describe('parseSnapshot', () => {
  const good = `"_type":"Snapshot",${EXPIRES},"meta":{"root":${META},"targets":${META},"targets/a":${META}},"version":3`

  it('reads a snapshot', () => {
    expect([...parseSnapshot(file(good)).metadata.meta.keys()]).to.deep.equal(['root', 'targets', 'targets/a'])
  })

  table(good, parseSnapshot, {
    ...COMMON,
    'no root': { from: `"root":${META},`, to: '', code: 'METADATA_ROLE_MISSING' },
    'no targets': { from: `"targets":${META},`, to: '', code: 'METADATA_ROLE_MISSING' },
    'no meta': { from: '"meta":', to: '"other":', code: 'METADATA_MALFORMED' },
    'an entry without SHA-256': { from: 'sha256', to: 'md5', code: 'METADATA_FILE_META' },
    'an entry that is null': { from: `"targets/a":${META}`, to: '"targets/a":null', code: 'METADATA_MALFORMED' },
  })
})

describe('parseTimestamp', () => {
  const good = `"_type":"Timestamp",${EXPIRES},"meta":{"snapshot":${META}},"version":3`

  it('reads a timestamp', () => {
    expect(parseTimestamp(file(good)).metadata.snapshot.length).to.equal(523)
  })

  table(good, parseTimestamp, {
    ...COMMON,
    'no snapshot': { from: '"snapshot"', to: '"root"', code: 'METADATA_ROLE_MISSING' },
    'a snapshot without SHA-256': { from: 'sha256', to: 'md5', code: 'METADATA_FILE_META' },
    'a further entry': { from: '"meta":{', to: `"meta":{"root":${META},` },
  })
})

describe('first versions', () => {
  const expiresAt = new Date('2036-01-01T00:00:00.999Z')
  const [root, targets, snapshot] = Array.from({ length: 3 }, () =>
    publicKeyOf(generateKeyPairSync('ed25519').publicKey),
  ) as [ReturnType<typeof publicKeyOf>, ReturnType<typeof publicKeyOf>, ReturnType<typeof publicKeyOf>]

  it('of root are read back, in normal form', () => {
    const unsigned = newRoot({
      version: 1,
      expiresAt,
      rootKeys: [root],
      targetsKeys: [targets],
      snapshotKeys: [snapshot],
      timestampKeys: [snapshot],
    })
    const received = parseRoot(attachSignatures(unsigned, []))
    verifyNormalFormFile(received)
    expect(Buffer.from(received.message)).to.deep.equal(Buffer.from(unsigned.message))
    expect(received.metadata.expiresAt).to.deep.equal(new Date('2036-01-01T00:00:00Z'))
    expect(received.metadata.keys.size).to.equal(3)
    expect([...received.metadata.roles.values()].map(({ threshold }) => threshold)).to.deep.equal([1, 1, 1, 1])
  })

  it('of targets have no targets, and the delegations asked for', () => {
    const delegations = [
      { name: RELEASES, keys: [targets, snapshot], paths: [''], threshold: 1 },
      { name: parseRoleName('targets/nothing'), keys: [targets], paths: [], threshold: 1 },
    ]
    const unsigned = newTargets({ role: TARGETS, version: 1, expiresAt, delegations })
    const received = parseTargets(attachSignatures(unsigned, []), TARGETS)
    verifyNormalFormFile(received)
    expect(received.metadata.targets.size).to.equal(0)
    expect(received.metadata.delegations.keys.size).to.equal(2)
    expect(received.metadata.delegations.roles.map(({ paths }) => paths)).to.deep.equal([[''], []])
  })

  it('are those of Docker, given its keys', () => {
    const docker = parseTargets(
      vectorBytes('docker-cli-28.2.2/metadata/targets/alice.json'),
      parseRoleName('targets/alice'),
    )
    const own = newTargets({ role: parseRoleName('targets/alice'), version: 1, expiresAt })
    const names = (value: JsonValue | undefined) => [...(value as Map<string, JsonValue>).keys()]
    expect(names(own.signed)).to.deep.equal(names(docker.signed))
    expect(own.signed.get('delegations')).to.deep.equal(docker.signed.get('delegations'))
  })
})
