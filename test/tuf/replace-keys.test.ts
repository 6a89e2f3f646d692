// Keys of delegations give their place to others; each row makes files that do something else.
import { expect } from 'chai'
import {
  attachSignatures,
  editTargets,
  encodeCanonical,
  parseRoleName,
  parseTag,
  RELEASES,
  renewTargets,
  replaceDelegationKeys,
  rolesListing,
  TARGETS,
  verifyFiles,
  verifyKeyReplacement,
  type JsonObject,
  type JsonValue,
  type KeyReplacement,
  type RoleName,
  type TufErrorCode,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { signWith, testKey, type TestKey } from '../support/test-keys.ts'

const SIGNER = parseRoleName('targets/countersign')
const ALICE = parseRoleName('targets/alice')
const expiresAt = new Date('2029-01-01T00:00:00Z')

const builder = RepositoryBuilder.withSigner().delegate('targets/alice', { paths: ['1.', '2.'] })
for (const role of [RELEASES, SIGNER]) builder.put(role, '1.0', 'one').put(role, '__proto__', 'two')
builder.put(ALICE, '1.0', 'one')
builder.role(RELEASES).version = 4
const repository = builder.verify()
const old = testKey('countersign')
const successor = testKey('successor')
const replacements: KeyReplacement[] = [{ from: old.publicKey.canonicalKeyId, to: successor.publicKey }]

type Content = Map<string, JsonValue>

function signed(made: UnsignedMetadata, keys: readonly TestKey[], alter: (content: Content) => void = () => undefined) {
  const content = new Map(made.signed)
  alter(content)
  const message = encodeCanonical(content)
  return attachSignatures(
    { message },
    keys.map((key) => signWith(key, message)),
  )
}

const nextTargets = () => replaceDelegationKeys(repository, replacements, { version: 2, expiresAt })
const renewed = (role: RoleName, version: number) => renewTargets(repository, role, { version, expiresAt })

/** The files of the replacement, some of them altered. */
function files(others: Readonly<Record<string, Uint8Array | undefined>> = {}): Map<RoleName, Uint8Array> {
  const made = new Map<RoleName, Uint8Array | undefined>([
    [TARGETS, signed(nextTargets(), [testKey('targets')])],
    [RELEASES, signed(renewed(RELEASES, 5), [successor])],
    [SIGNER, signed(renewed(SIGNER, 2), [successor])],
  ])
  for (const [role, bytes] of Object.entries(others)) made.set(parseRoleName(role), bytes)
  return new Map([...made].filter((entry): entry is [RoleName, Uint8Array] => entry[1] !== undefined))
}

/** Changes base targets' delegations, as JSON text. */
function inDelegations(from: string | RegExp, to: string): Uint8Array {
  return signed(nextTargets(), [testKey('targets')], (content) => {
    const text = encodeCanonical(content.get('delegations') as JsonObject)
    const changed = Buffer.from(text).toString('utf8').replace(from, to)
    content.set('delegations', jsonOf(JSON.parse(changed)))
  })
}

/** Base targets that forgets a role on the way. */
function withoutDelegation(name: RoleName): Uint8Array {
  return signed(nextTargets(), [testKey('targets')], (content) => {
    const delegations = new Map(content.get('delegations') as JsonObject)
    const roles = delegations.get('roles') as JsonObject[]
    content.set(
      'delegations',
      delegations.set(
        'roles',
        roles.filter((role) => role.get('name') !== name),
      ),
    )
  })
}

function jsonOf(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(jsonOf)
  if (typeof value !== 'object' || value === null) return value as JsonValue
  return new Map(Object.entries(value).map(([name, member]) => [name, jsonOf(member)]))
}

describe('keys of delegations', () => {
  it('are listed by roles', () => {
    expect(rolesListing(repository, [old.publicKey.canonicalKeyId])).to.have.members([SIGNER, RELEASES])
    expect(rolesListing(repository, [successor.publicKey.canonicalKeyId])).to.deep.equal([])
  })

  it('are replaced in every role that lists them, and nothing else changes', () => {
    const verified = verifyKeyReplacement(repository, files(), replacements)
    expect([...verified.keys()]).to.have.members([TARGETS, RELEASES, SIGNER])
    const { keys, roles } = verified.get(TARGETS)!.metadata.delegations
    expect([...keys.keys()]).to.have.members([successor.publicKey.tufKeyId, testKey(ALICE).publicKey.tufKeyId])
    const before = repository.targets.metadata.delegations.roles
    expect(roles.map(({ name, paths, threshold }) => ({ name, paths, threshold }))).to.deep.equal(
      before.map(({ name, paths, threshold }) => ({ name, paths, threshold })),
    )
    expect(verified.get(RELEASES)!.metadata.targets).to.deep.equal(
      repository.delegations.get(RELEASES)!.metadata.targets,
    )
  })

  it('give a repository that clients accept, new ones and those that know the old one', () => {
    const next = RepositoryBuilder.withSigner().delegate('targets/alice', { paths: ['1.', '2.'] })
    for (const role of [RELEASES, SIGNER]) next.put(role, '1.0', 'one').put(role, '__proto__', 'two')
    next.put(ALICE, '1.0', 'one')
    const made = files()
    for (const role of [TARGETS, RELEASES, SIGNER]) next.role(role).mangle = () => made.get(role)!
    next.role('snapshot').version = 2
    next.role('timestamp').version = 2
    const pin = { kind: 'root', bytes: repository.root.bytes } as const
    for (const highest of [undefined, new Map([[RELEASES, { version: 4, sha256: '' }]])]) {
      const verified = verifyFiles(next.files(), {
        gun: next.gun,
        pin,
        now: NOW,
        ...(highest !== undefined && { highest }),
      })
      expect([...verified.unusable]).to.deep.equal([])
      expect(verified.delegations.get(RELEASES)?.metadata.version).to.equal(5)
    }
  })

  it('that stand under two IDs, bare and in a certificate, give both places to one successor', () => {
    const twice = RepositoryBuilder.withSigner()
    twice.role(SIGNER).keys = [old, twice.rootKey('countersign')]
    const base = twice.verify()
    const unsigned = replaceDelegationKeys(base, replacements, { version: 2, expiresAt })
    const made = new Map([
      [TARGETS, signed(unsigned, [testKey('targets')])],
      [RELEASES, signed(renewTargets(base, RELEASES, { version: 2, expiresAt }), [successor])],
      [SIGNER, signed(renewTargets(base, SIGNER, { version: 2, expiresAt }), [successor])],
    ])
    const { delegations } = verifyKeyReplacement(base, made, replacements).get(TARGETS)!.metadata
    for (const { keyIds } of delegations.roles) expect(keyIds).to.deep.equal([successor.publicKey.tufKeyId])
  })

  it('KEY_NOT_LISTED: nobody lists it', () => {
    const foreign = [{ from: testKey('nobody').publicKey.canonicalKeyId, to: successor.publicKey }]
    expectCode('KEY_NOT_LISTED', () => replaceDelegationKeys(repository, foreign, { version: 2, expiresAt }))
  })

  it('VERSION_FORKED, VERSION_ROLLED_BACK: a version that is not higher', () => {
    expectCode('VERSION_FORKED', () => renewed(RELEASES, 4))
    expectCode('VERSION_ROLLED_BACK', () => renewed(RELEASES, 3))
    expectCode('VERSION_FORKED', () => replaceDelegationKeys(repository, replacements, { version: 1, expiresAt }))
  })

  it('ROLE_NOT_PUBLISHED: a role without a file is not renewed', () => {
    const unpublished = RepositoryBuilder.withSigner().delegate('targets/bob', { published: false }).verify()
    expectCode('ROLE_NOT_PUBLISHED', () =>
      renewTargets(unpublished, parseRoleName('targets/bob'), { version: 1, expiresAt }),
    )
  })
})

describe('verifyKeyReplacement refuses', () => {
  const put = [{ kind: 'put', name: parseTag('9.9'), sha256: 'ab'.repeat(32), length: 1 }] as const
  const edited = (role: RoleName, version: number) => editTargets(repository, role, put, { version, expiresAt })!
  const rows: readonly (readonly [string, TufErrorCode, () => Map<RoleName, Uint8Array>])[] = [
    ['no base targets', 'NEXT_VERSION_DIFFERS', () => files({ [TARGETS]: undefined })],
    ['a role left behind', 'NEXT_VERSION_DIFFERS', () => files({ [SIGNER]: undefined })],
    [
      'a role that nobody asked for',
      'NEXT_VERSION_DIFFERS',
      () => files({ [ALICE]: signed(renewed(ALICE, 2), [testKey(ALICE)]) }),
    ],
    [
      'a role that does not exist',
      'NEXT_VERSION_DIFFERS',
      () => files({ 'targets/eve': signed(renewed(ALICE, 2), [testKey(ALICE)]) }),
    ],
    [
      'an entry put on the way',
      'NEXT_VERSION_DIFFERS',
      () => files({ [RELEASES]: signed(edited(RELEASES, 5), [successor]) }),
    ],
    [
      'an entry put into base targets',
      'NEXT_VERSION_DIFFERS',
      () =>
        files({
          [TARGETS]: signed(nextTargets(), [testKey('targets')], (content) =>
            content.set('targets', edited(TARGETS, 2).signed.get('targets')!),
          ),
        }),
    ],
    [
      'an entry dropped on the way',
      'NEXT_VERSION_DIFFERS',
      () =>
        files({
          [RELEASES]: signed(renewed(RELEASES, 5), [successor], (content) => content.set('targets', new Map())),
        }),
    ],
    [
      'a role still signed by the old key',
      'NEXT_VERSION_DIFFERS',
      () => files({ [RELEASES]: signed(renewed(RELEASES, 5), [old]) }),
    ],
    [
      'a role signed by both',
      'NEXT_VERSION_DIFFERS',
      () => files({ [RELEASES]: signed(renewed(RELEASES, 5), [successor, old]) }),
    ],
    ['a role signed by nobody', 'SIGNATURE_NONE', () => files({ [RELEASES]: signed(renewed(RELEASES, 5), []) })],
    [
      'base targets signed by another key',
      'NEXT_VERSION_DIFFERS',
      () => files({ [TARGETS]: signed(nextTargets(), [successor]) }),
    ],
    [
      'base targets of the same version',
      'VERSION_FORKED',
      () =>
        files({
          [TARGETS]: signed(nextTargets(), [testKey('targets')], (content) => content.set('version', 1)),
        }),
    ],
    [
      'a further threshold',
      'NEXT_VERSION_DIFFERS',
      () =>
        files({
          [TARGETS]: inDelegations(
            '"name":"targets/alice","paths":["1.","2."],"threshold":1',
            '"name":"targets/alice","paths":["1.","2."],"threshold":2',
          ),
        }),
    ],
    ['wider paths', 'NEXT_VERSION_DIFFERS', () => files({ [TARGETS]: inDelegations('["1.","2."]', '[""]') })],
    ['a delegation gone', 'NEXT_VERSION_DIFFERS', () => files({ [TARGETS]: withoutDelegation(ALICE) })],
  ]
  for (const [what, code, make] of rows) {
    it(what, () => {
      expectCode(code, () => verifyKeyReplacement(repository, make(), replacements))
    })
  }

  it('a successor that nobody named', () => {
    const other = [{ from: old.publicKey.canonicalKeyId, to: testKey('other').publicKey }]
    expectCode('NEXT_VERSION_DIFFERS', () => verifyKeyReplacement(repository, files(), other))
  })

  it('a replacement that was not made', () => {
    const more = [...replacements, { from: testKey(ALICE).publicKey.canonicalKeyId, to: testKey('other').publicKey }]
    expectCode('NEXT_VERSION_DIFFERS', () => verifyKeyReplacement(repository, files(), more))
  })
})
