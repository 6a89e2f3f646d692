// What has expired, what can be signed again here, and the words for the rest.
import { RELEASES, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { expiredRoles, isRepaired, rolesToRepair } from '../../src/domain/repair.ts'
import type { RepositoryCustody } from '../../src/domain/ports.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { testKey } from '../support/test-keys.ts'

function custody(...names: string[]): Pick<RepositoryCustody, 'keys'> {
  const keys = names.map((name) => {
    const { keyType, tufKeyId, canonicalKeyId } = testKey(name).publicKey
    const made = { custody: 'sealed, imported', createdAt: NOW.toISOString(), state: 'active' as const, role: TARGETS }
    return { ...made, keyType, tufKeyId, canonicalKeyId }
  })
  return { keys }
}

function expiredIn(...names: string[]): RepositoryBuilder {
  const builder = RepositoryBuilder.withSigner('alice')
  builder.delegate('targets/bob', { keys: [testKey('bob')] })
  for (const name of names) builder.role(name).expiresAt = new Date(NOW.getTime() - 1)
  return builder
}

describe('the plan of a repair', () => {
  const planned = (builder: RepositoryBuilder, keys: Pick<RepositoryCustody, 'keys'>) =>
    expiredRoles(builder.verify({ acceptsExpired: true }), keys)

  it('is empty where nothing has expired', () => {
    expect(planned(expiredIn(), custody('targets'))).to.deep.equal([])
  })

  it('has targets first, then delegations, each with what can be done', () => {
    const plan = planned(expiredIn(RELEASES, 'targets/alice', 'targets/bob', TARGETS), custody('targets', 'alice'))
    expect(plan.map(({ role, canRepair }) => [role, canRepair])).to.deep.equal([
      [TARGETS, true],
      ['targets/alice', true],
      [RELEASES, true],
      ['targets/bob', false],
    ])
    expect(rolesToRepair(plan)).to.deep.equal([TARGETS, 'targets/alice', RELEASES])
    const bob = plan.at(-1)
    const { canonicalKeyId } = testKey('bob').publicKey
    expect(bob?.keys).to.deep.equal([canonicalKeyId])
    expect(bob?.obstacle).to.include('targets/bob').and.include(canonicalKeyId).and.include('none of its keys')
  })

  it('signs nothing where targets stay expired: clients would refuse the repository all the same', () => {
    const plan = planned(expiredIn(TARGETS, RELEASES), custody('alice'))
    expect(plan.map(({ canRepair }) => canRepair)).to.deep.equal([false, true])
    expect(rolesToRepair(plan)).to.deep.equal([])
    expect(plan[0]?.obstacle).to.include(testKey('targets').publicKey.canonicalKeyId).and.include('root key')
  })

  it('is done when no role of it is expired', () => {
    expect(isRepaired(expiredIn().verify(), [TARGETS, RELEASES])).to.equal(true)
    expect(isRepaired(expiredIn(RELEASES).verify({ acceptsExpired: true }), [RELEASES])).to.equal(false)
    expect(isRepaired(expiredIn(RELEASES).verify(), [RELEASES])).to.equal(false)
  })
})
