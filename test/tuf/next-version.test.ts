// A new version must be exactly what was asked for; each row makes one that is not.
import { expect } from 'chai'
import {
  attachSignatures,
  editTargets,
  encodeCanonical,
  parseRoleName,
  parseTag,
  RELEASES,
  TARGETS,
  verifyNextVersion,
  type JsonObject,
  type JsonValue,
  type SignatureEntry,
  type TargetsChange,
  type TufErrorCode,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { imageOf, RepositoryBuilder } from '../support/repository-builder.ts'
import { signWith, testKey } from '../support/test-keys.ts'

const expiresAt = new Date('2029-01-01T00:00:00Z')
const changes: TargetsChange[] = [
  { kind: 'put', name: parseTag('2.0'), ...imageOf('new') },
  { kind: 'put', name: parseTag('1.1'), ...imageOf('moved') },
  { kind: 'put', name: parseTag('same'), ...imageOf('same') },
  { kind: 'drop', name: parseTag('1.0') },
  { kind: 'drop', name: parseTag('absent') },
]

const builder = RepositoryBuilder.withSigner().delegate('targets/releases/x')
for (const name of ['1.0', '1.1', 'same', 'other']) builder.put('targets/releases', name, name)
builder.role('targets/releases').version = 5
const repository = builder.verify()

type Content = Map<string, JsonValue>

/** What the change should look like, altered, and signed by these keys. */
function next(
  alter: (signed: Content) => void = () => undefined,
  keys = [testKey('countersign')],
  alterSignatures: (entries: SignatureEntry[]) => SignatureEntry[] = (entries) => entries,
): Uint8Array {
  const made = editTargets(repository, RELEASES, changes, { version: 6, expiresAt })!
  const signed = new Map(made.signed)
  alter(signed)
  const message = encodeCanonical(signed)
  const signatures = alterSignatures(keys.map((key) => signWith(key, message)))
  return attachSignatures({ message }, signatures)
}

function withSha512(content: string): JsonObject {
  const plain = entry(content)
  const sha512 = Buffer.alloc(64).toString('base64')
  return new Map([...plain, ['hashes', new Map([...(plain.get('hashes') as JsonObject), ['sha512', sha512]])]])
}

function inTargets(alter: (targets: Content) => unknown): (signed: Content) => void {
  return (signed) => {
    const targets = new Map(signed.get('targets') as JsonObject)
    alter(targets)
    signed.set('targets', targets)
  }
}

function entry(content: string, more: readonly (readonly [string, JsonValue])[] = []): JsonObject {
  const { sha256, length } = imageOf(content)
  const hashes = new Map([['sha256', Buffer.from(sha256, 'hex').toString('base64')]])
  return new Map<string, JsonValue>([['hashes', hashes], ['length', length], ...more])
}

function verify(bytes: Uint8Array, declared = changes) {
  return verifyNextVersion(repository, RELEASES, bytes, declared)
}

describe('verifyNextVersion', () => {
  it('accepts exactly the declared changes', () => {
    const { metadata } = verify(next())
    expect(metadata.version).to.equal(6)
    expect([...metadata.targets.keys()].sort()).to.deep.equal(['1.1', '2.0', 'other', 'same'])
  })

  const contents: readonly (readonly [string, TufErrorCode, (signed: Content) => void])[] = [
    ['a further entry', 'NEXT_VERSION_DIFFERS', inTargets((targets) => targets.set('more', entry('x')))],
    [
      'another digest for a declared entry',
      'NEXT_VERSION_DIFFERS',
      inTargets((targets) => targets.set('2.0', entry('x'))),
    ],
    [
      'a declared entry with custom data',
      'NEXT_VERSION_DIFFERS',
      inTargets((targets) => targets.set('2.0', entry('new', [['custom', 1]]))),
    ],
    [
      'a moved entry that nobody asked to move',
      'NEXT_VERSION_DIFFERS',
      inTargets((targets) => targets.set('other', entry('x'))),
    ],
    [
      'custom data on an old entry',
      'NEXT_VERSION_DIFFERS',
      inTargets((targets) => targets.set('other', entry('other', [['custom', 1]]))),
    ],
    [
      'custom data on an entry that was put as it was',
      'NEXT_VERSION_DIFFERS',
      inTargets((targets) => targets.set('same', entry('same', [['custom', 1]]))),
    ],
    ['an old entry gone', 'NEXT_VERSION_DIFFERS', inTargets((targets) => targets.delete('other'))],
    [
      'a declared entry with SHA-512',
      'NEXT_VERSION_DIFFERS',
      inTargets((targets) => targets.set('2.0', withSha512('new'))),
    ],
    ['a declared entry missing', 'NEXT_VERSION_DIFFERS', inTargets((targets) => targets.delete('2.0'))],
    ['a declared entry not moved', 'NEXT_VERSION_DIFFERS', inTargets((targets) => targets.set('1.1', entry('1.1')))],
    ['a dropped entry still there', 'NEXT_VERSION_DIFFERS', inTargets((targets) => targets.set('1.0', entry('1.0')))],
    [
      'no delegations any more',
      'NEXT_VERSION_DIFFERS',
      (signed) =>
        signed.set(
          'delegations',
          new Map<string, JsonValue>([
            ['keys', new Map()],
            ['roles', []],
          ]),
        ),
    ],
    ['a further delegation key', 'NEXT_VERSION_DIFFERS', withFurtherKey],
    ['the same version', 'VERSION_FORKED', (signed) => signed.set('version', 5)],
    ['a lower version', 'VERSION_ROLLED_BACK', (signed) => signed.set('version', 4)],
    ['an implausible version', 'VERSION_IMPLAUSIBLE', (signed) => signed.set('version', 2_147_483_647)],
    ['an expiry in the past', 'ROLE_EXPIRED', (signed) => signed.set('expires', '2020-01-01T00:00:00Z')],
    [
      'trap Q2: milliseconds in the expiry',
      'NORMAL_FORM_EXPIRES',
      (signed) => signed.set('expires', '2029-01-01T00:00:00.000Z'),
    ],
    ['a fraction in the expiry', 'NORMAL_FORM_EXPIRES', (signed) => signed.set('expires', '2029-01-01T00:00:00.5Z')],
    ['an unknown member', 'NORMAL_FORM_UNKNOWN_MEMBER', (signed) => signed.set('spec_version', '1.0')],
    ['another type', 'METADATA_TYPE', (signed) => signed.set('_type', 'Root')],
  ]
  for (const [what, code, alter] of contents) {
    it(`refuses ${what}`, () => {
      expectCode(code, () => verify(next(alter)))
    })
  }

  it('refuses a change that was declared and not made, and one that was made and not declared', () => {
    const bytes = next()
    expectCode('NEXT_VERSION_DIFFERS', () => verify(bytes, changes.slice(1)))
    expectCode('NEXT_VERSION_DIFFERS', () => verify(bytes, changes.slice(0, 3)))
    expectCode('NEXT_VERSION_DIFFERS', () => verify(bytes, [...changes, { kind: 'drop', name: parseTag('other') }]))
    verify(bytes, [...changes].reverse())
  })

  it('refuses signatures of other keys, of too few, and of more than the role has', () => {
    expectCode('SIGNATURE_NONE', () => verify(next(undefined, [])))
    expectCode('NEXT_VERSION_DIFFERS', () => verify(next(undefined, [testKey('foreign')])))
    expectCode('NEXT_VERSION_DIFFERS', () => verify(next(undefined, [testKey('countersign'), testKey('foreign')])))
    const broken = next(undefined, undefined, ([first]) => [{ ...first!, signature: new Uint8Array(64) }])
    expectCode('SIGNATURE_BELOW_THRESHOLD', () => verify(broken))
  })

  it('refuses any layout but the normal one', () => {
    const text = Buffer.from(next()).toString()
    for (const other of [
      `${text}\n`,
      ` ${text}`,
      text.replace('"signed":', '"signed": '),
      text.replace('"method":"ecdsa"', '"method":"ECDSA"'),
    ]) {
      expectCode('NORMAL_FORM_BYTES', () => verify(Buffer.from(other)))
    }
  })

  it('refuses the version of one role for another', () => {
    expectCode('METADATA_DELEGATION', () => verifyNextVersion(repository, TARGETS, next(), changes))
    expectCode('METADATA_DELEGATION', () =>
      verifyNextVersion(repository, parseRoleName('targets/countersign'), next(), changes),
    )
    expectCode('ROLE_NOT_DELEGATED', () => verifyNextVersion(repository, parseRoleName('targets/x'), next(), changes))
  })
})

function withFurtherKey(signed: Content): void {
  const delegations = new Map(signed.get('delegations') as JsonObject)
  const keys = new Map(delegations.get('keys') as JsonObject)
  keys.set('ab'.repeat(32), [...keys.values()][0]!)
  signed.set('delegations', delegations.set('keys', keys))
}
