import { parseRoleName, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { addAlice, publishAs, publishTargets } from '../support/fakes/rival.ts'
import { app, everybody, principal, World } from '../support/fakes/world.ts'

const put = (tag: string, letter: string) =>
  ({ kind: 'put', name: parseTag(tag), sha256: letter.repeat(64), length: 1000 }) as const

describe('verifying', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
    world.faults.plan(undefined)
  })
  afterEach(() => {
    world.close()
  })
  const verify = async (image: string, options?: { compareRegistry?: boolean }) => {
    const [verdict] = await world.services.verifications.verify(everybody, [image], options)
    if (verdict === undefined) throw new Error('No verdict.')
    return verdict
  }

  it('finds what docker would pull, and who signed it', async () => {
    expect(await verify(`${app}:1.0`)).to.deep.equal({
      reference: `${app}:1.0`,
      gun: app,
      tag: '1.0',
      verdict: 'signed',
      digest: 'a'.repeat(64),
      length: 1000,
      role: 'targets/releases',
      roleVersion: 1,
      signers: ['countersign'],
    })
  })

  it('holds a named digest against the signed one', async () => {
    expect((await verify(`${app}:1.0@sha256:${'a'.repeat(64)}`)).verdict).to.equal('signed')
    expect((await verify(`${app}:1.0@sha256:${'b'.repeat(64)}`)).verdict).to.equal('digest-differs')
  })

  it('holds the registry against the signed digest where asked', async () => {
    world.registry.push(app, '1.0', 'b')
    expect((await verify(`${app}:1.0`)).verdict).to.equal('signed')
    expect((await verify(`${app}:1.0`, { compareRegistry: true })).verdict).to.equal('digest-differs')
  })

  it('says not signed where no client finds the tag', async () => {
    expect((await verify(`${app}:2.0`)).verdict).to.equal('not-signed')
    const alice = await addAlice(world, app)
    await publishAs(world, app, parseRoleName('targets/alice'), [put('2.0', 'b')], [alice])
    expect((await verify(`${app}:2.0`)).verdict, 'a tag in a signer role alone').to.equal('not-signed')
  })

  it('never tells an outage as not signed', async () => {
    const faults = [
      { method: 'source.read', error: () => new NotaryError('NOTARY_UNAVAILABLE', 'x'), code: 'NOTARY_UNAVAILABLE' },
      {
        method: 'keyHolder.repositoryStatus',
        error: () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'x'),
        code: 'KEY_HOLDER_UNREACHABLE',
      },
    ]
    for (const { method, error, code } of faults) {
      world.faults.plan({ method, error, call: 1, moment: 'before' })
      expect(await verify(`${app}:1.0`)).to.deep.include({ verdict: 'unknown', error: { code, detail: 'x' } })
    }
  })

  it('never tells bad metadata as not signed', async () => {
    world.server.rollBack(app)
    expect((await verify(`${app}:1.0`)).verdict).to.equal('unknown')
  })

  it('refuses the whole call without the grant, and asks nobody', async () => {
    const reader = principal('x', ['read', app])
    const images = [`${app}:1.0`, 'registry.example.com/team/other:1']
    await expectCodeAsync('NOT_PERMITTED', () => world.services.verifications.verify(reader, images))
    await expectCodeAsync('NOT_PERMITTED', () => world.services.verifications.verify(everybody, images))
    await expectCodeAsync('NOT_PERMITTED', () => world.services.verifications.inspect(principal('x'), app))
    expect(world.faults.calls.filter((call) => /^(source|keyHolder|resolver)/.test(call))).to.deep.equal([])
  })

  it('loads each repository once', async () => {
    await world.services.verifications.verify(everybody, [`${app}:1.0`, `${app}:2.0`, `${app}:3.0`])
    expect(world.faults.calls.filter((call) => call === 'keyHolder.repositoryStatus')).to.have.length(1)
  })
})

describe('inspecting', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    for (const tag of ['1.10', '1.9', 'a']) {
      world.registry.push(app, tag, 'a')
      await world.sign(`${app}:${tag}`)
    }
  })
  afterEach(() => {
    world.close()
  })

  it('has the shape of docker trust inspect', async () => {
    const custody = await world.keyHolder.repositoryStatus(app)
    const keyOf = (role: string): string => custody.keys.find((key) => key.role === role)?.canonicalKeyId ?? ''
    const signed = (tag: string) => ({ SignedTag: tag, Digest: 'a'.repeat(64), Signers: ['countersign'] })
    expect(await world.services.verifications.inspect(everybody, app)).to.deep.equal([
      {
        Name: app,
        SignedTags: [signed('1.9'), signed('1.10'), signed('a')],
        Signers: [{ Name: 'countersign', Keys: [{ ID: keyOf('targets/countersign') }] }],
        AdministrativeKeys: [
          { Name: 'Root', Keys: [{ ID: custody.pinnedRoot?.certificateKeyIds[0] }] },
          { Name: 'Repository', Keys: [{ ID: keyOf('targets') }] },
        ],
      },
    ])
  })

  it('names the repository administrator where no signer holds the tag', async () => {
    await publishTargets(world, app, [put('old', 'c')])
    const [whole] = await world.services.verifications.inspect(everybody, app)
    expect(whole?.SignedTags.find(({ SignedTag }) => SignedTag === 'old')).to.deep.equal({
      SignedTag: 'old',
      Digest: 'c'.repeat(64),
      Signers: ['Repo Admin'],
    })
  })

  it('lists one tag where one is named, none where it is unknown, and signers in descending order', async () => {
    await addAlice(world, app)
    const [one] = await world.services.verifications.inspect(everybody, `${app}:1.9`)
    expect(one?.SignedTags.map(({ SignedTag }) => SignedTag)).to.deep.equal(['1.9'])
    expect(one?.Signers.map(({ Name }) => Name)).to.deep.equal(['countersign', 'alice'])
    const [none] = await world.services.verifications.inspect(everybody, `${app}:unknown`)
    expect(none?.SignedTags).to.deep.equal([])
    expect(none?.Signers).to.have.length(2)
  })
})
