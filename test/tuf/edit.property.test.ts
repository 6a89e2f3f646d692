// Over any history, in any tree of delegations: the difference is exactly the request, and the entries of others survive.
import { expect } from 'chai'
import fc from 'fast-check'
import {
  attachSignatures,
  canonicalText,
  editTargets,
  parseTargets,
  parseRoleName,
  signingRole,
  targetsOf,
  verifyNextVersion,
  type JsonObject,
  type RoleName,
  type TargetsChange,
  type TrustedRepository,
} from '@countersign/tuf'
import { buildRepository, changeSets, PROPERTY_TIMEOUT_MS, repositoryPlans, runs } from '../support/arbitraries.ts'
import { expectCode } from '../support/expect-code.ts'
import { NOW, type RepositoryBuilder } from '../support/repository-builder.ts'
import { signWith } from '../support/test-keys.ts'

const expiresAt = new Date(NOW.getTime() + 1_000_000_000)

/** What a reader of the file would see: name -> canonical text of the entry. */
function entriesOf(signed: JsonObject | undefined): Map<string, string> {
  const entries = (signed?.get('targets') ?? new Map()) as JsonObject
  return new Map([...entries].map(([name, entry]) => [name, canonicalText(entry)]))
}

function entryText({ sha256, length }: { sha256: string; length: number }): string {
  return `{"hashes":{"sha256":"${Buffer.from(sha256, 'hex').toString('base64')}"},"length":${length}}`
}

/** The changes that the role may take: the rest must be refused as a whole, which is asserted. */
function allowed(repository: TrustedRepository, role: RoleName, changes: readonly TargetsChange[]): TargetsChange[] {
  const { paths } = signingRole(repository, role)!
  const inside = changes.filter(({ kind, name }) => kind === 'drop' || paths.some((path) => name.startsWith(path)))
  if (inside.length < changes.length) {
    expectCode('TARGET_OUTSIDE_PATHS', () => editTargets(repository, role, changes, { version: 2, expiresAt }))
  }
  return inside
}

/** Makes the changes as the service does, and publishes them. Answers whether there was anything to change. */
function publish(builder: RepositoryBuilder, role: RoleName, changes: readonly TargetsChange[]): boolean {
  const repository = builder.verify()
  const wanted = allowed(repository, role, changes)
  const before = targetsOf(repository, role)
  const version = (before?.metadata.version ?? 0) + 1
  const unsigned = editTargets(repository, role, wanted, { version, expiresAt })
  const expected = entriesOf(before?.signed)
  for (const change of wanted) {
    if (change.kind === 'drop') expected.delete(change.name)
    else expected.set(change.name, entryText(change))
  }
  if (unsigned === undefined) {
    expect(expected).to.deep.equal(entriesOf(before?.signed))
    return false
  }
  expect(entriesOf(unsigned.signed)).to.deep.equal(expected)
  const [key] = builder.role(role).keys
  const bytes = attachSignatures(unsigned, [signWith(key!, unsigned.message)])
  expect(verifyNextVersion(repository, role, bytes, wanted).metadata.version).to.equal(version)
  verifyOnly(repository, role, bytes, wanted)
  const published = builder.role(role)
  published.published = true
  published.version = version
  published.expiresAt = expiresAt
  published.targets = new Map(unsigned.signed.get('targets') as JsonObject)
  builder.nextVersions()
  return true
}

function delegatesOf(repository: TrustedRepository, role: RoleName): readonly RoleName[] {
  return targetsOf(repository, role)?.metadata.delegations.roles.map(({ name }) => name) ?? []
}

/** No smaller set of changes describes this version. */
function verifyOnly(repository: TrustedRepository, role: RoleName, bytes: Uint8Array, changes: TargetsChange[]): void {
  const entries = targetsOf(repository, role)?.metadata.targets
  const next = parseTargets(bytes, role).metadata.targets
  for (const change of changes) {
    const others = changes.filter((other) => other !== change)
    const isReal = (entries?.has(change.name) ?? false) !== next.has(change.name)
    if (isReal) expectCode('NEXT_VERSION_DIFFERS', () => verifyNextVersion(repository, role, bytes, others))
  }
}

describe('any history of changes', () => {
  it('is made of exactly what was asked for, and leaves every other role as it was', () => {
    fc.assert(
      fc.property(repositoryPlans, fc.array(fc.tuple(fc.nat(), changeSets), { maxLength: 5 }), (plan, history) => {
        const builder = buildRepository(plan)
        for (const [choice, changes] of history) {
          const roles = [...builder.roles.keys()].filter((role) => role.startsWith('targets'))
          const role = roles[choice % roles.length]!
          const before = builder.verify()
          publish(builder, role, changes)
          const after = builder.verify()
          for (const other of roles) {
            if (other === role) continue
            expect(targetsOf(after, other)?.sha256, other).to.equal(targetsOf(before, other)?.sha256)
          }
          expect(delegatesOf(after, role)).to.deep.equal(delegatesOf(before, role))
        }
      }),
      runs(30),
    )
  }).timeout(PROPERTY_TIMEOUT_MS)

  it('is idempotent: what was done once is nothing to do', () => {
    fc.assert(
      fc.property(repositoryPlans, changeSets, (plan, changes) => {
        const builder = buildRepository(plan)
        const role = parseRoleName('targets')
        publish(builder, role, changes)
        expect(publish(builder, role, changes)).to.equal(false)
      }),
      runs(30),
    )
  }).timeout(PROPERTY_TIMEOUT_MS)
})
