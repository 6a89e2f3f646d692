// Docker's rules for finding a tag, and who is shown as its signer.
import { expect } from 'chai'
import {
  findTarget,
  parseRoleName,
  RELEASES,
  signersOf,
  signingRole,
  TARGETS,
  type JsonObject,
  type JsonValue,
} from '@countersign/tuf'
import { imageOf, RepositoryBuilder } from '../support/repository-builder.ts'
import { editSigned } from '../support/swizzler.ts'
import { testKey } from '../support/test-keys.ts'

const { sha256 } = imageOf('image')

describe('findTarget', () => {
  it('takes releases before base targets', () => {
    const builder = RepositoryBuilder.withSigner().put('targets', '1.0', 'old').put('targets/releases', '1.0', 'new')
    expect(findTarget(builder.verify(), '1.0')).to.deep.include({ role: RELEASES })
  })

  it('takes base targets where releases lacks the tag, or does not exist', () => {
    const builder = RepositoryBuilder.withSigner().put('targets', '1.0', 'old')
    expect(findTarget(builder.verify(), '1.0')?.role).to.equal(TARGETS)
    expect(findTarget(new RepositoryBuilder().put('targets', '1.0', 'x').verify(), '1.0')?.role).to.equal(TARGETS)
  })

  it('trap Q9: refuses a tag that stands only in a signer’s role', () => {
    const builder = RepositoryBuilder.withSigner().put('targets/countersign', '1.0', 'x')
    expect(findTarget(builder.verify(), '1.0')).to.equal(undefined)
  })

  it('refuses a tag found first below releases, even where base targets has it', () => {
    const builder = RepositoryBuilder.withSigner().delegate('targets/releases/x')
    builder.put('targets/releases/x', '1.0', 'x')
    expect(findTarget(builder.verify(), '1.0')).to.equal(undefined)
  })

  it('prefers base targets to other roles, whatever the order', () => {
    const builder = RepositoryBuilder.withSigner().put('targets/countersign', '1.0', 'x').put('targets', '1.0', 'y')
    expect(findTarget(builder.verify(), '1.0')?.role).to.equal(TARGETS)
  })

  it('trap Q37: does not see a name outside the paths of its role', () => {
    const builder = RepositoryBuilder.withSigner().put('targets', '1.0', 'old')
    builder.put('targets/releases', '1.0', 'new').put('targets/releases', 'v1', 'v')
    builder.role('targets/releases').paths = ['v']
    const repository = builder.verify()
    expect(findTarget(repository, '1.0')?.role).to.equal(TARGETS)
    expect(findTarget(repository, 'v1')?.role).to.equal(RELEASES)
  })

  it('takes paths as plain prefixes: a pattern matches nothing', () => {
    const builder = RepositoryBuilder.withSigner().put('targets/releases', 'v1', 'v')
    builder.role('targets/releases').paths = ['v*']
    expect(findTarget(builder.verify(), 'v1')).to.equal(undefined)
    builder.role('targets/releases').paths = []
    expect(findTarget(builder.verify(), 'v1')).to.equal(undefined)
  })

  it('finds tags that are names of JavaScript members, and no such member where there is no tag', () => {
    const builder = RepositoryBuilder.withSigner()
    expect(findTarget(builder.verify(), 'constructor')).to.equal(undefined)
    expect(findTarget(builder.put('targets/releases', '__proto__', 'x').verify(), '__proto__')?.role).to.equal(RELEASES)
  })

  it('reads the paths of the first of two entries with one name', () => {
    const builder = RepositoryBuilder.withSigner().put('targets/releases', '1.0', 'x')
    builder.role('targets/releases').paths = ['v']
    editSigned((signed) => {
      const delegations = signed.get('delegations') as Map<string, JsonValue>
      const roles = delegations.get('roles') as JsonValue[]
      delegations.set('roles', [...roles, new Map([...(roles[1] as JsonObject), ['paths', ['']]])])
    })(builder, 'targets')
    expect(findTarget(builder.verify(), '1.0')).to.equal(undefined)
  })

  it('leaves out of a search what another search is for', () => {
    const builder = new RepositoryBuilder().delegate('targets/releases').delegate('targets/a')
    builder.put('targets/releases', '1.0', 'x').put('targets/a', '1.0', 'x')
    expect(findTarget(builder.verify(), '1.0', [RELEASES, TARGETS])?.role).to.equal(RELEASES)
    expect(findTarget(builder.verify(), '1.0', [TARGETS, RELEASES])).to.equal(undefined)
  })

  it('searches other roles when asked', () => {
    const builder = RepositoryBuilder.withSigner().put('targets/countersign', '1.0', 'x')
    const role = parseRoleName('targets/countersign')
    expect(findTarget(builder.verify(), '1.0', [role])?.role).to.equal(role)
  })
})

describe('signersOf', () => {
  function build(): RepositoryBuilder {
    const builder = new RepositoryBuilder().delegate('targets/releases')
    for (const signer of ['zoe', 'alice', 'bob']) builder.delegate(`targets/${signer}`)
    return builder
  }

  it('names the roles that hold the digest that is released, in the order of their delegations', () => {
    const builder = build().put('targets/releases', '1.0', 'image').put('targets/zoe', '1.0', 'image')
    builder.put('targets/alice', '1.0', 'image').put('targets/bob', '1.0', 'another image')
    expect(signersOf(builder.verify(), '1.0', sha256)).to.deep.equal(['targets/zoe', 'targets/alice'])
  })

  it('names nobody where base targets alone holds it', () => {
    expect(signersOf(build().put('targets', '1.0', 'image').verify(), '1.0', sha256)).to.deep.equal([])
  })

  it('names nobody for a digest that is not released', () => {
    const builder = build().put('targets/releases', '1.0', 'another image').put('targets/alice', '1.0', 'image')
    expect(signersOf(builder.verify(), '1.0', sha256)).to.deep.equal([])
  })

  it('leaves out a signer whose paths do not cover the tag', () => {
    const builder = build().put('targets/releases', '1.0', 'image').put('targets/alice', '1.0', 'image')
    builder.role('targets/alice').paths = ['v']
    expect(signersOf(builder.verify(), '1.0', sha256)).to.deep.equal([])
  })
})

describe('signingRole', () => {
  it('has the keys, threshold and paths of the delegation', () => {
    const builder = new RepositoryBuilder()
    builder.delegate('targets/a', { keys: [testKey('1'), testKey('2')], threshold: 2, paths: ['v', 'w'] })
    const role = signingRole(builder.verify(), parseRoleName('targets/a'))
    expect(role?.keys.map(({ tufKeyId }) => tufKeyId)).to.deep.equal(
      ['1', '2'].map((name) => testKey(name).publicKey.tufKeyId),
    )
    expect(role).to.deep.include({ threshold: 2, paths: ['v', 'w'] })
  })

  it('restricts paths by every parent', () => {
    const builder = new RepositoryBuilder().delegate('targets/a', { paths: ['v1', 'w'] })
    builder.delegate('targets/a/b', { paths: ['v', 'v1.2', 'w', 'x', ''] })
    builder.delegate('targets/a/b/c', { paths: ['v1.2.3', 'v1', 'w'] })
    const repository = builder.verify()
    expect(signingRole(repository, parseRoleName('targets/a/b'))?.paths).to.deep.equal(['v1.2', 'w'])
    expect(signingRole(repository, parseRoleName('targets/a/b/c'))?.paths).to.deep.equal(['v1.2.3', 'w'])
  })

  it('answers for a role that is delegated but not published, or unusable', () => {
    const builder = RepositoryBuilder.withSigner()
    builder.role('targets/releases').published = false
    expect(signingRole(builder.verify(), RELEASES)?.paths).to.deep.equal([''])
  })

  it('knows no role below one that is not verified, and none that manages trust', () => {
    const builder = RepositoryBuilder.withSigner().delegate('targets/releases/x')
    builder.role('targets/releases').signers = [testKey('foreign')]
    const repository = builder.verify()
    for (const role of ['targets/releases/x', 'targets/nobody', 'root', 'snapshot']) {
      expect(signingRole(repository, parseRoleName(role)), role).to.equal(undefined)
    }
  })

  it('has the whole of base targets', () => {
    const role = signingRole(RepositoryBuilder.withSigner().verify(), TARGETS)
    expect(role).to.deep.include({ threshold: 1, paths: [''] })
    expect(role?.keys.map(({ tufKeyId }) => tufKeyId)).to.deep.equal([testKey('targets').publicKey.tufKeyId])
  })
})
