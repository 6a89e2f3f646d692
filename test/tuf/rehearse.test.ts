// A publication that changes keys is taken by each client that is out there, or refused with the name of the one that does not.
import { expect } from 'chai'
import {
  attachSignatures,
  encodeCanonical,
  nextRoot,
  parseRoleName,
  RELEASES,
  rehearse,
  renewTargets,
  replaceDelegationKeys,
  ROOT,
  TARGETS,
  TIMESTAMP,
  verifyNextRoot,
  type BaseRoleChange,
  type RoleName,
  type TrustedRepository,
  type TufErrorCode,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { signWith, testCertificateKey, testKey, type TestKey } from '../support/test-keys.ts'

const SIGNER = parseRoleName('targets/countersign')
const expiresAt = new Date('2029-01-01T00:00:00Z')
const root = new RepositoryBuilder().rootKey('root')
const certificate = (name: string): TestKey => testCertificateKey(name, { commonName: repository.gun })
const repository = RepositoryBuilder.withSigner().put(RELEASES, '1.0', 'one').verify()

function signed({ message }: Pick<UnsignedMetadata, 'message'>, ...keys: readonly TestKey[]): Uint8Array {
  return attachSignatures(
    { message },
    keys.map((key) => signWith(key, message)),
  )
}

const change = (role: RoleName, ...keys: readonly TestKey[]): BaseRoleChange => ({
  role,
  keys: keys.map(({ publicKey }) => publicKey),
})

/** The code and the client of a refusal; undefined: all four take it. */
function refusal(base: TrustedRepository, files: ReadonlyMap<RoleName, Uint8Array>): readonly unknown[] | undefined {
  try {
    rehearse(base, files)
    return undefined
  } catch (error) {
    const { code, facts } = error as { code: TufErrorCode; facts: Record<string, unknown> }
    return [code, facts['client']]
  }
}

/** A next root of the repository with these keys of root, signed by these. */
function rootFiles(base: TrustedRepository, keys: readonly TestKey[], signers: readonly TestKey[]) {
  const changes = [change(ROOT, ...keys)]
  const files = new Map([[ROOT, signed(nextRoot(base, changes, expiresAt), ...signers)]])
  return { files, changes }
}

describe('a change of root, rehearsed', () => {
  it('is taken by all clients: another root key, another targets key with targets', () => {
    const next = certificate('next root')
    const targetsKey = testKey('next targets')
    const changes = [change(ROOT, next), change(TARGETS, targetsKey), change(TIMESTAMP, testKey('next timestamp'))]
    const files = new Map([
      [ROOT, signed(nextRoot(repository, changes, expiresAt), root, next)],
      [TARGETS, signed(renewTargets(repository, TARGETS, { version: 2, expiresAt }), targetsKey)],
    ])
    expect(refusal(repository, files)).to.equal(undefined)
    files.delete(TARGETS)
    expect(refusal(repository, files)).to.deep.equal(['SIGNATURE_BELOW_THRESHOLD', 'cached'])
  })

  it('SIGNATURE_BELOW_THRESHOLD: not by a client with the published root, which has not signed it', () => {
    const next = certificate('next root')
    expect(refusal(repository, rootFiles(repository, [next], [next]).files)).to.deep.equal([
      'SIGNATURE_BELOW_THRESHOLD',
      'cached',
    ])
  })

  it('ROOT_NOT_CURRENT: not by a client that begins further back, where a link of the chain cannot be had', () => {
    const builder = RepositoryBuilder.withSigner()
    const [second, third] = [builder.rootKey('second'), builder.rootKey('third')]
    builder.nextRoot((role) => {
      role.keys = [second]
    })
    const base = builder.nextVersions().verify({ pin: { kind: 'root', bytes: builder.pastRoots[0]! } })
    const { files } = rootFiles(base, [third], [second, third])
    expect(base.rootChain).to.have.length(2)
    expect(refusal(base, files)).to.equal(undefined)
    ;(base.files as Map<string, Uint8Array>).delete('2.root.json')
    expect(refusal(base, files)?.[1]).to.equal('behind')
  })

  it('SIGNATURE_*: not by a client that pinned a certificate that stays, and has not signed', () => {
    const builder = RepositoryBuilder.withSigner()
    const [second, third] = [builder.rootKey('second'), builder.rootKey('third')]
    builder.role(ROOT).keys = [root, second]
    const base = builder.verify()
    const { files, changes } = rootFiles(base, [second, third], [root, third])
    // As a file it is in order: enough keys of both roots have signed.
    verifyNextRoot(base, files, changes)
    expect(refusal(base, files)).to.deep.equal(['SIGNATURE_BELOW_THRESHOLD', 'pinned'])
    expect(refusal(base, rootFiles(base, [second, third], [second, third]).files)).to.equal(undefined)
  })

  it('leaves what had expired as it is, and takes nothing new that has', () => {
    const builder = RepositoryBuilder.withSigner()
    for (const role of [TARGETS, SIGNER]) builder.role(role).expiresAt = new Date(NOW.getTime() - 1000)
    const base = builder.verify({ acceptsExpired: true })
    const targetsKey = testKey('next targets')
    const changes = [change(TARGETS, targetsKey)]
    const files = new Map([[ROOT, signed(nextRoot(base, [], expiresAt), root)]])
    expect(refusal(base, files)).to.equal(undefined)
    const content = renewTargets(base, TARGETS, { version: 2, expiresAt }).signed
    const expired = { message: encodeCanonical(new Map([...content, ['expires', '2026-05-01T00:00:00Z']])) }
    files.set(ROOT, signed(nextRoot(base, changes, expiresAt), root)).set(TARGETS, signed(expired, targetsKey))
    expect(refusal(base, files)).to.deep.equal(['ROLE_EXPIRED', 'cached'])
  })
})

describe('a rotation, rehearsed', () => {
  const successor = testKey('successor')
  const replacements = [{ from: testKey('countersign').publicKey.canonicalKeyId, to: successor.publicKey }]
  const renewed = (role: RoleName, version: number) => renewTargets(repository, role, { version, expiresAt })
  const files = (others: readonly (readonly [RoleName, Uint8Array])[] = []) =>
    new Map([
      [TARGETS, signed(replaceDelegationKeys(repository, replacements, { version: 2, expiresAt }), testKey('targets'))],
      [RELEASES, signed(renewed(RELEASES, 2), successor)],
      [SIGNER, signed(renewed(SIGNER, 2), successor)],
      ...others,
    ])

  it('is taken by all clients', () => {
    expect(refusal(repository, files())).to.equal(undefined)
  })

  const rows: readonly (readonly [string, TufErrorCode, () => Map<RoleName, Uint8Array>])[] = [
    [
      'a delegation that clients would pass over',
      'SIGNATURE_BELOW_THRESHOLD',
      () => files([[RELEASES, signed(renewed(RELEASES, 2), testKey('countersign'))]]),
    ],
    [
      'a delegation that does not come along',
      'SIGNATURE_BELOW_THRESHOLD',
      () => {
        const made = files()
        made.delete(SIGNER)
        return made
      },
    ],
    ['a role that nobody delegates', 'ROLE_NOT_DELEGATED', () => files([[parseRoleName('targets/eve'), Buffer.of(1)]])],
  ]
  for (const [what, code, make] of rows) {
    it(`${code}: ${what}`, () => {
      expect(refusal(repository, make())).to.deep.equal([code, 'cached'])
    })
  }

  it('VERSION_ROLLED_BACK: only a client with a cache sees that a version is lower than one before', () => {
    const builder = RepositoryBuilder.withSigner()
    builder.role(RELEASES).version = 4
    expect(refusal(builder.verify(), files())).to.deep.equal(['VERSION_ROLLED_BACK', 'cached'])
  })
})
