import { parseTag, RELEASES, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { rolesToSign, rolesToUnsign } from '../../src/domain/publication-roles.ts'
import { expectCode } from '../support/expect-code.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import * as swizzle from '../support/swizzler.ts'
import { testKey } from '../support/test-keys.ts'

const tag = parseTag('1.0')
const OURS = 'targets/countersign'

/** A key holder that holds these test keys. */
function holding(...names: string[]) {
  const keys = names.map((name) => {
    const { keyType, tufKeyId, canonicalKeyId } = testKey(name).publicKey
    return {
      role: TARGETS,
      keyType,
      tufKeyId,
      canonicalKeyId,
      custody: 'sealed',
      createdAt: '2026-01-01T00:00:00Z',
      state: 'active' as const,
    }
  })
  return { keys }
}

describe('rolesToSign', () => {
  const sign = (builder: RepositoryBuilder, custody = holding('countersign')) =>
    rolesToSign(builder.verify(), custody, 'countersign', tag)

  it('is targets where nothing is delegated', () => {
    expect(sign(new RepositoryBuilder(), holding('targets'))).to.deep.equal([TARGETS])
  })

  it('attack: Targets-key fallback hides missing delegation; trap Q6: is releases and our own role where something is, never targets', () => {
    expect(sign(RepositoryBuilder.withSigner(), holding('countersign', 'targets'))).to.deep.equal([RELEASES, OURS])
  })

  it('begins a role that was delegated and never published', () => {
    const builder = RepositoryBuilder.withSigner()
    builder.role(OURS).published = false
    expect(sign(builder)).to.deep.equal([RELEASES, OURS])
  })

  const refused: readonly (readonly [string, (builder: RepositoryBuilder) => void])[] = [
    ['no key of ours in releases', (it) => (it.role(RELEASES).keys = [testKey('alice')])],
    ['no key of ours in our role', (it) => (it.role(OURS).keys = [testKey('alice')])],
    [
      'a threshold above what we hold',
      (it) => {
        swizzle.setThreshold(2)(it, RELEASES)
        it.role(RELEASES).signers = [testKey('countersign'), testKey('alice')]
      },
    ],
    ['paths that do not cover the tag', (it) => (it.role(RELEASES).paths = ['v'])],
    [
      'releases that are expired',
      (it) => {
        swizzle.expire(it, RELEASES)
      },
    ],
    [
      'trap Q5: a role that was removed and delegated to our new key, while its stale file is still served',
      (it) => (it.role(OURS).signers = [testKey('the key before')]),
    ],
  ]
  for (const [name, change] of refused) {
    it(`refuses ${name}`, () => {
      const builder = RepositoryBuilder.withSigner()
      builder.role(RELEASES).keys.push(testKey('alice'))
      change(builder)
      expectCode('SIGNING_ROLE_UNAVAILABLE', () => sign(builder))
    })
  }

  it('refuses delegations among which none is ours', () => {
    const alices = RepositoryBuilder.withSigner('alice').verify()
    expectCode('SIGNING_ROLE_UNAVAILABLE', () => rolesToSign(alices, holding('alice'), null, tag))
    expectCode('SIGNING_ROLE_UNAVAILABLE', () => rolesToSign(alices, holding('alice'), 'countersign', tag))
  })
})

describe('rolesToUnsign', () => {
  const unsign = (builder: RepositoryBuilder, custody = holding('countersign')) =>
    rolesToUnsign(builder.verify(), custody, tag)
  const signed = () => RepositoryBuilder.withSigner().put(RELEASES, tag, 'image').put(OURS, tag, 'image')

  it('is every role of ours that holds the tag', () => {
    expect(unsign(signed())).to.have.members([RELEASES, OURS])
    expect(unsign(RepositoryBuilder.withSigner().put(OURS, tag, 'image'))).to.deep.equal([OURS])
  })

  it('trap Q7: is targets too, where we hold its key', () => {
    const roles = unsign(signed().put(TARGETS, tag, 'older image'), holding('countersign', 'targets'))
    expect(roles).to.have.members([TARGETS, RELEASES, OURS])
  })

  it('trap Q7: refuses where the tag would come back from targets', () => {
    expectCode('UNSIGN_INCOMPLETE', () => unsign(signed().put(TARGETS, tag, 'older image')))
  })

  it('refuses where releases cannot be read', () => {
    const builder = signed()
    swizzle.expire(builder, RELEASES)
    expectCode('UNSIGN_INCOMPLETE', () => unsign(builder))
  })

  it('refuses a tag that nobody signed', () => {
    expectCode('TAG_NOT_SIGNED', () => unsign(RepositoryBuilder.withSigner()))
  })

  it('leaves the roles of other signers alone', () => {
    const builder = signed()
      .delegate('targets/alice', { keys: [testKey('alice')] })
      .put('targets/alice', tag, 'image')
    expect(unsign(builder)).to.have.members([RELEASES, OURS])
  })
})
