// Known versions are never gone below, and never change their content.
import { expect } from 'chai'
import { parseRoleName, type KnownVersion, type RoleName } from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { RepositoryBuilder, sha256Of } from '../support/repository-builder.ts'

const ROLES = ['root', 'timestamp', 'snapshot', 'targets', 'targets/releases', 'targets/countersign']

function build(version: number): RepositoryBuilder {
  const builder = RepositoryBuilder.withSigner()
  for (const role of ROLES) builder.role(role).version = version
  return builder
}

function known(role: string, version: KnownVersion): { highest: ReadonlyMap<RoleName, KnownVersion> } {
  return { highest: new Map([[parseRoleName(role), version]]) }
}

describe('known versions', () => {
  for (const role of ROLES) {
    describe(role, () => {
      it('is refused below the highest known version', () => {
        const error = expectCode('VERSION_ROLLED_BACK', () => build(4).verify(known(role, { version: 5 })))
        expect(error.facts).to.include({ role, version: 4, highest: 5 })
      })

      it('is refused with other content under the version known', () => {
        const sha256 = sha256Of(Buffer.from('another file'))
        expectCode('VERSION_FORKED', () => build(5).verify(known(role, { version: 5, sha256 })))
      })

      it('is accepted as it is known, and above', () => {
        const builder = build(5)
        const sha256 = sha256Of(builder.files().get(`${role}.json`)!)
        for (const version of [{ version: 5, sha256 }, { version: 5 }, { version: 4, sha256: 'ab'.repeat(32) }]) {
          expect(builder.verify(known(role, version)).verifiedAt).to.be.instanceOf(Date)
        }
      })
    })
  }

  it('trap Q18: a delegation goes back alone, and its file became smaller', () => {
    const builder = build(9)
    builder.role('targets/releases').version = 8
    expectCode('VERSION_ROLLED_BACK', () => builder.verify(known('targets/releases', { version: 9 })))
  })

  it('an old version is refused although it is badly signed, as clients do', () => {
    const builder = build(4)
    builder.role('targets/releases').editSignatures = (entries) =>
      entries.map((entry) => ({ ...entry, method: 'rot13' }))
    expectCode('VERSION_ROLLED_BACK', () => builder.verify(known('targets/releases', { version: 5 })))
  })

  it('a role that was published once may not vanish from the snapshot while it is delegated', () => {
    const builder = build(4)
    builder.role('targets/releases').published = false
    expect(builder.verify().unusable.get(parseRoleName('targets/releases'))).to.equal('DELEGATION_ABSENT')
    expectCode('SNAPSHOT_ROLE_REMOVED', () => builder.verify(known('targets/releases', { version: 1 })))
  })

  it('a role that is not delegated any more is not missed', () => {
    const builder = build(4)
    expect(builder.verify(known('targets/former', { version: 7 })).delegations.size).to.equal(2)
  })
})
