// One byte is damaged, anywhere in any file: the repository is refused, or says exactly what it said before.
import { expect } from 'chai'
import fc from 'fast-check'
import { parseTag, targetsOf, TufError, type TrustedRepository } from '@countersign/tuf'
import { PROPERTY_TIMEOUT_MS, runs } from '../support/arbitraries.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'

const builder = RepositoryBuilder.withSigner()
  .put('targets/releases', '1.0', 'one')
  .put('targets/releases', '1.1', 'two')
  .put('targets/countersign', '1.0', 'one')
builder.nextRoot((root) => (root.keys = [builder.rootKey('second')]))
const pin = { kind: 'root', bytes: builder.firstRoot() } as const
const good = builder.files()

/** All that the repository says to a client. */
function meaning(repository: TrustedRepository): unknown {
  const roles = [...repository.delegations.keys(), 'targets' as const].sort()
  return {
    unusable: [...repository.unusable],
    roles: roles.map((role) => [role, targetsOf(repository, parseRole(role))?.metadata]),
    root: repository.root.metadata,
  }
}

function parseRole(role: string): Parameters<typeof targetsOf>[1] {
  return role as Parameters<typeof targetsOf>[1]
}

const expected = meaning(builder.verify({ pin }, good))

describe('random damage', () => {
  const names = [...builder.verify({ pin }, good).files.keys()].filter((name) => good.has(name))

  for (const name of names) {
    it(`of ${name.replace(/\.[0-9a-f]{64}\./, '.<hex>.')} changes nothing that is accepted`, () => {
      const bytes = good.get(name)!
      fc.assert(
        fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, difference) => {
          const damaged = Uint8Array.from(bytes)
          damaged[at] = damaged[at]! ^ difference
          expectRefusedOrSame(new Map(good).set(name, damaged))
        }),
        runs(60),
      )
    }).timeout(PROPERTY_TIMEOUT_MS)

    it(`of ${name.replace(/\.[0-9a-f]{64}\./, '.<hex>.')} by cutting or repeating is refused or harmless`, () => {
      const bytes = good.get(name)!
      fc.assert(
        fc.property(fc.nat({ max: bytes.length }), fc.nat({ max: bytes.length }), (start, end) => {
          const damaged = Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
          expectRefusedOrSame(new Map(good).set(name, damaged))
        }),
        runs(20),
      )
    }).timeout(PROPERTY_TIMEOUT_MS)
  }

  it('of the files’ names: any file in the place of any other', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.constantFrom(...names), (name, other) => {
        expectRefusedOrSame(new Map(good).set(name, good.get(other)!))
      }),
      runs(60),
    )
  }).timeout(PROPERTY_TIMEOUT_MS)

  it('can tell a difference: another tag is another meaning', () => {
    const other = RepositoryBuilder.withSigner().put('targets/releases', parseTag('1.0'), 'other')
    expect(meaning(other.verify())).not.to.deep.equal(expected)
  })
})

function expectRefusedOrSame(files: Map<string, Uint8Array>): void {
  let repository: TrustedRepository
  try {
    repository = builder.verify({ pin }, files)
  } catch (error) {
    if (error instanceof TufError) return
    throw error
  }
  expect(meaning(repository)).to.deep.equal(expected)
}
