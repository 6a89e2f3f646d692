// Keys of base roles give their place to others in a next root; each row of the refusals makes files that do something else.
import { expect } from 'chai'
import {
  attachSignatures,
  encodeCanonical,
  encodePublicKey,
  newTargets,
  nextRoot,
  parseRoleName,
  parseRoot,
  RELEASES,
  renewTargets,
  ROOT,
  signersOfNextRoot,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  verifyFiles,
  verifyNextRoot,
  type BaseRoleChange,
  type JsonObject,
  type JsonValue,
  type RoleName,
  type RootPin,
  type TrustedRepository,
  type TufErrorCode,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { signWith, testCertificateKey, testKey, type TestKey } from '../support/test-keys.ts'

const SIGNER = parseRoleName('targets/countersign')
const expiresAt = new Date('2036-01-01T00:00:00Z')
const targetsExpiresAt = new Date('2029-01-01T00:00:00Z')

const builder = (): RepositoryBuilder => {
  const made = RepositoryBuilder.withSigner()
  for (const role of [RELEASES, SIGNER]) made.put(role, '1.0', 'one').put(role, '__proto__', 'two')
  return made.put(TARGETS, 'constructor', 'three')
}
const repository = builder().verify()
const { gun } = repository
const root = builder().rootKey('root')
const nextRootKey = testCertificateKey('next root', { commonName: gun })
const secondCertificate = testCertificateKey('root', { commonName: gun, serialNumber: 7 })

const change = (role: RoleName, ...keys: readonly TestKey[]): BaseRoleChange => ({
  role,
  keys: keys.map(({ publicKey }) => publicKey),
})
const newTargetsKey = testKey('next targets', 'ed25519')
const everything: readonly BaseRoleChange[] = [
  change(ROOT, nextRootKey),
  change(TARGETS, newTargetsKey),
  change(SNAPSHOT, testKey('next snapshot')),
  change(TIMESTAMP, testKey('next timestamp', 'rsa')),
]

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

/** The files that make these changes, some of them altered. */
function files(
  changes: readonly BaseRoleChange[],
  {
    signers = [root, nextRootKey],
    alter,
    others = {},
    base = repository,
  }: {
    readonly signers?: readonly TestKey[]
    readonly alter?: (content: Content) => void
    readonly others?: Readonly<Record<string, Uint8Array | undefined>>
    readonly base?: TrustedRepository
  } = {},
): Map<RoleName, Uint8Array> {
  const made = new Map<RoleName, Uint8Array | undefined>([
    [ROOT, signed(nextRoot(base, changes, expiresAt), signers, alter)],
  ])
  if (changes.some(({ role }) => role === TARGETS)) {
    made.set(TARGETS, signed(renewTargets(base, TARGETS, { version: 2, expiresAt: targetsExpiresAt }), [newTargetsKey]))
  }
  for (const [role, bytes] of Object.entries(others)) made.set(parseRoleName(role), bytes)
  return new Map([...made].filter((entry): entry is [RoleName, Uint8Array] => entry[1] !== undefined))
}

/** What a trust server holds once the files are published: roots by their versions, and snapshot and timestamp by the new keys. */
function published(
  made: ReadonlyMap<RoleName, Uint8Array>,
  changes: readonly BaseRoleChange[],
): Map<string, Uint8Array> {
  const next = builder().nextRoot()
  const isChanged = (role: RoleName): boolean => changes.some((given) => given.role === role)
  if (isChanged(SNAPSHOT)) next.role(SNAPSHOT).keys = [testKey('next snapshot')]
  if (isChanged(TIMESTAMP)) next.role(TIMESTAMP).keys = [testKey('next timestamp', 'rsa')]
  for (const [role, bytes] of made) next.role(role).mangle = () => bytes
  return next.nextVersions().files()
}

describe('the next root', () => {
  it('gives base roles the keys asked for, and changes nothing else', () => {
    const { root: made, targets } = verifyNextRoot(repository, files(everything), everything)
    expect(made.metadata.version).to.equal(2)
    expect(made.metadata.expiresAt).to.deep.equal(expiresAt)
    for (const { role, keys } of everything) {
      expect(made.metadata.roles.get(role)).to.deep.equal({
        name: role,
        keyIds: keys.map(({ tufKeyId }) => tufKeyId),
        threshold: 1,
      })
    }
    expect(targets?.metadata.targets).to.deep.equal(repository.targets.metadata.targets)
  })

  it('keeps the former root certificate listed, as Go does, and no other key that lost its role', () => {
    const { keys } = parseRoot(files(everything).get(ROOT)!).metadata
    expect([...keys.keys()]).to.have.members([
      root.publicKey.tufKeyId,
      ...everything.flatMap(({ keys: given }) => given.map(({ tufKeyId }) => tufKeyId)),
    ])
  })

  it('keeps a key that another role still has', () => {
    const shared = builder()
    shared.role(SNAPSHOT).keys = [testKey('targets')]
    const base = shared.verify()
    const changes = [change(SNAPSHOT, testKey('next snapshot'))]
    const { keys } = verifyNextRoot(base, files(changes, { base, signers: [root] }), changes).root.metadata
    expect(keys.has(testKey('targets').publicKey.tufKeyId)).to.equal(true)
  })

  it('without changes is the same root with a later expiry', () => {
    const { root: made, targets } = verifyNextRoot(repository, files([], { signers: [root] }), [])
    expect(made.metadata.roles).to.deep.equal(repository.root.metadata.roles)
    expect(targets).to.equal(undefined)
  })

  it('keeps members and roles that we do not know', () => {
    const odd = builder()
    odd.role(ROOT).edit = (content) => {
      content.set(
        'roles',
        new Map([
          ...(content.get('roles') as JsonObject),
          [
            'mirrors',
            new Map<string, JsonValue>([
              ['keyids', [] as JsonValue[]],
              ['threshold', 1],
            ]),
          ],
        ]),
      )
    }
    const base = odd.verify()
    const changes = [change(TIMESTAMP, testKey('next timestamp'))]
    const made = verifyNextRoot(base, files(changes, { base, signers: [root] }), changes).root
    expect((made.signed.get('roles') as JsonObject).has('mirrors')).to.equal(true)
  })

  it('is signed by keys of both roots, also where the key is the same under a new certificate', () => {
    const changes = [change(ROOT, secondCertificate)]
    const { current, next } = signersOfNextRoot(repository, changes)
    expect([...current.keys.keys()]).to.deep.equal([root.publicKey.tufKeyId])
    expect([...next.keys.keys()]).to.deep.equal([secondCertificate.publicKey.tufKeyId])
    verifyNextRoot(repository, files(changes, { signers: [root, secondCertificate] }), changes)
    expectCode('SIGNATURE_BELOW_THRESHOLD', () =>
      verifyNextRoot(repository, files(changes, { signers: [secondCertificate] }), changes),
    )
  })

  it('asks nobody new where the root keys stay', () => {
    const { current, next } = signersOfNextRoot(repository, [change(TARGETS, newTargetsKey)])
    expect(next).to.deep.equal(current)
  })

  const clients: readonly (readonly [string, RootPin])[] = [
    ['a client that has the old root in its cache', { kind: 'root', bytes: repository.root.bytes }],
    ['a new client', { kind: 'tofu' }],
    ['a client that pinned the new certificate', { kind: 'certificates', tufKeyIds: [nextRootKey.publicKey.tufKeyId] }],
  ]
  for (const [who, pin] of clients) {
    it(`is accepted by ${who}`, () => {
      const verified = verifyFiles(published(files(everything), everything), { gun, pin, now: NOW })
      expect(verified.root.metadata.version).to.equal(2)
      expect(verified.targets.metadata.version).to.equal(2)
      expect([...verified.unusable]).to.deep.equal([])
    })
  }

  it('for each role alone is accepted by a client with the old root', () => {
    for (const only of everything) {
      const changes = [only]
      const signers = only.role === ROOT ? [root, nextRootKey] : [root]
      const made = files(changes, { signers })
      verifyNextRoot(repository, made, changes)
      const pin = { kind: 'root', bytes: repository.root.bytes } as const
      expect(verifyFiles(published(made, changes), { gun, pin, now: NOW }).root.metadata.version).to.equal(2)
    }
  })

  it('refuses what cannot be a change of root', () => {
    const make =
      (...changes: readonly BaseRoleChange[]) =>
      () =>
        nextRoot(repository, changes, expiresAt)
    expectCode('METADATA_THRESHOLD', make(change(TARGETS)))
    expectCode('CHANGES_CONFLICT', make(change(TARGETS, newTargetsKey), change(TARGETS, newTargetsKey)))
    expectCode('CHANGES_CONFLICT', make(change(RELEASES, newTargetsKey)))
    expectCode('CERTIFICATE_BUNDLE', make(change(ROOT, testKey('bare'))))
    expectCode('CERTIFICATE_NAME', make(change(ROOT, testCertificateKey('x', { commonName: 'example.com/other' }))))
    expectCode('ROLE_EXPIRED', () => nextRoot(repository, [], new Date(NOW.getTime() - 1000)))
  })

  it('METADATA_THRESHOLD: two certificates of one key are one key', () => {
    const two = builder()
    two.role(ROOT).keys = [root, nextRootKey]
    two.role(ROOT).threshold = 2
    expectCode('METADATA_THRESHOLD', () => nextRoot(two.verify(), [change(ROOT, root, secondCertificate)], expiresAt))
  })
})

describe('verifyNextRoot refuses', () => {
  const renewed = (version: number) => renewTargets(repository, TARGETS, { version, expiresAt: targetsExpiresAt })
  const roles = (content: Content): Content => new Map(content.get('roles') as JsonObject)
  const inRole = (name: RoleName, member: string, value: JsonValue) => (content: Content) => {
    const all = roles(content)
    content.set('roles', all.set(name, new Map([...(all.get(name) as JsonObject), [member, value]])))
  }
  const keys = (content: Content): Content => new Map(content.get('keys') as JsonObject)
  const foreign = testKey('foreign').publicKey
  const altered = (alter: (content: Content) => void) => () => files(everything, { alter })
  const rows: readonly (readonly [string, TufErrorCode, () => Map<RoleName, Uint8Array>])[] = [
    ['no root', 'NEXT_VERSION_DIFFERS', () => files(everything, { others: { [ROOT]: undefined } })],
    ['the same version', 'ROOT_VERSION', altered((content) => content.set('version', 1))],
    ['a version left out', 'ROOT_VERSION', altered((content) => content.set('version', 3))],
    ['an expiry in the past', 'ROLE_EXPIRED', altered((content) => content.set('expires', '2026-01-01T00:00:00Z'))],
    [
      'an expiry of other form',
      'NORMAL_FORM_EXPIRES',
      altered((content) => content.set('expires', '2036-01-01T00:00:00.5Z')),
    ],
    ['only the new root key', 'SIGNATURE_BELOW_THRESHOLD', () => files(everything, { signers: [nextRootKey] })],
    ['only the old root key', 'SIGNATURE_BELOW_THRESHOLD', () => files(everything, { signers: [root] })],
    ['no signature', 'SIGNATURE_NONE', () => files(everything, { signers: [] })],
    [
      'a signature of somebody else',
      'NEXT_VERSION_DIFFERS',
      () => files(everything, { signers: [root, nextRootKey, testKey('eve')] }),
    ],
    ['a lower bar', 'NEXT_VERSION_DIFFERS', altered(inRole(TARGETS, 'threshold', 2))],
    [
      'a key put in',
      'NEXT_VERSION_DIFFERS',
      altered((content) => {
        inRole(TIMESTAMP, 'keyids', [foreign.tufKeyId, testKey('next timestamp', 'rsa').publicKey.tufKeyId])(content)
        content.set('keys', keys(content).set(foreign.tufKeyId, encodePublicKey(foreign)))
      }),
    ],
    [
      'a key that has no role',
      'NEXT_VERSION_DIFFERS',
      altered((content) => content.set('keys', keys(content).set(foreign.tufKeyId, encodePublicKey(foreign)))),
    ],
    [
      'the former root key no longer listed',
      'NEXT_VERSION_DIFFERS',
      altered((content) => {
        const left = keys(content)
        left.delete(root.publicKey.tufKeyId)
        content.set('keys', left)
      }),
    ],
    ['another snapshot policy', 'NEXT_VERSION_DIFFERS', altered((content) => content.set('consistent_snapshot', true))],
    [
      'no targets by the new key',
      'NEXT_VERSION_DIFFERS',
      () => files(everything, { others: { [TARGETS]: undefined } }),
    ],
    [
      'targets by the old key',
      'NEXT_VERSION_DIFFERS',
      () => files(everything, { others: { [TARGETS]: signed(renewed(2), [testKey('targets')]) } }),
    ],
    [
      'targets of the same version',
      'VERSION_FORKED',
      () =>
        files(everything, {
          others: { [TARGETS]: signed(renewed(2), [newTargetsKey], (content) => content.set('version', 1)) },
        }),
    ],
    [
      'targets without their entries',
      'NEXT_VERSION_DIFFERS',
      () =>
        files(everything, {
          others: { [TARGETS]: signed(renewed(2), [newTargetsKey], (content) => content.set('targets', new Map())) },
        }),
    ],
    [
      'targets without their delegations',
      'NEXT_VERSION_DIFFERS',
      () =>
        files(everything, {
          others: {
            [TARGETS]: signed(renewed(2), [newTargetsKey], (content) =>
              content.set(
                'delegations',
                newTargets({ role: TARGETS, version: 1, expiresAt }).signed.get('delegations')!,
              ),
            ),
          },
        }),
    ],
    [
      'a file of another role',
      'NEXT_VERSION_DIFFERS',
      () =>
        files(everything, {
          others: {
            [RELEASES]: signed(renewTargets(repository, RELEASES, { version: 2, expiresAt: targetsExpiresAt }), [
              testKey('countersign'),
            ]),
          },
        }),
    ],
  ]
  for (const [what, code, make] of rows) {
    it(what, () => {
      expectCode(code, () => verifyNextRoot(repository, make(), everything))
    })
  }

  it('targets that nobody needs', () => {
    const changes = [change(SNAPSHOT, testKey('next snapshot'))]
    const made = files(changes, { signers: [root], others: { [TARGETS]: signed(renewed(2), [testKey('targets')]) } })
    expectCode('NEXT_VERSION_DIFFERS', () => verifyNextRoot(repository, made, changes))
  })

  it('a change more, less, or other than was asked for', () => {
    const made = files(everything)
    for (const asked of [[], everything.slice(1), [...everything.slice(1), change(ROOT, secondCertificate)]]) {
      expectCode('NEXT_VERSION_DIFFERS', () => verifyNextRoot(repository, made, asked))
    }
  })
})
