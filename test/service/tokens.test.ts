import { expect } from 'chai'
import { GRANT_KINDS } from '../../src/domain/principal.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { everybody, principal, World } from '../support/fakes/world.ts'

const SUBMIT = [{ grant: 'submit', repositories: ['registry.example.com/team/*'] }]

describe('tokens', () => {
  let world: World
  beforeEach(() => {
    world = new World()
  })
  afterEach(() => {
    world.close()
  })
  const teamAdmin = principal('team-admin', ['admin', 'registry.example.com/team/*'], ['operator', '*'])

  it('are shown once, and stored as a hash only', async () => {
    const { token, secret } = await world.services.tokens.create(everybody, { name: 'release bot', grants: SUBMIT })
    expect(secret).to.match(/^cs_[A-Za-z0-9_-]{43}$/)
    const stored = JSON.stringify([
      world.database.sqlite.prepare('SELECT * FROM tokens').all(),
      world.keyHolder.records,
    ])
    expect(stored).to.not.include(secret).and.not.include(secret.slice(3))
    expect(stored).to.include(token.secretSha256)
    expect(world.services.tokens.authenticate(secret)).to.deep.equal({
      id: token.id,
      name: 'release bot',
      grants: SUBMIT,
    })
  })

  it('authenticate nobody else', async () => {
    const { secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
    const others = ['', 'cs_', `${secret}x`, secret.slice(0, -1), secret.toUpperCase(), `cs_${'A'.repeat(43)}`]
    for (const other of others) expect(world.services.tokens.authenticate(other), other).to.equal(undefined)
  })

  it('end when they are revoked', async () => {
    const { token, secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
    await world.services.tokens.revoke(everybody, token.id)
    expect(world.services.tokens.authenticate(secret)).to.equal(undefined)
    expect(world.keyHolder.records.map(({ kind }) => kind)).to.deep.equal(['token-created', 'token-revoked'])
    expect(world.services.tokens.list(everybody)[0]?.revokedAt).to.not.equal(undefined)
  })

  it('end at their hour', async () => {
    const expiresAt = new Date(world.time.now().getTime() + 1000)
    const { secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT, expiresAt })
    world.time.advance(999)
    expect(world.services.tokens.authenticate(secret)).to.not.equal(undefined)
    world.time.advance(1)
    expect(world.services.tokens.authenticate(secret)).to.equal(undefined)
  })

  it('are not made where the record cannot be written', async () => {
    world.faults.plan({
      method: 'keyHolder.appendRecord',
      call: 1,
      moment: 'before',
      error: () => new KeyHolderError('AUDIT_LOG_UNWRITABLE', 'full'),
    })
    await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () =>
      world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT }),
    )
    expect(world.services.tokens.list(everybody)).to.deep.equal([])
  })

  describe('nobody gives out more than they administer', () => {
    const beyond: Readonly<Record<string, { grant: string; repositories: string[] }[]>> = {
      'a wider pattern': [{ grant: 'read', repositories: ['*'] }],
      'a neighbour': [{ grant: 'submit', repositories: ['registry.example.com/other/app'] }],
      'a held grant that is not admin': [{ grant: 'operator', repositories: ['registry.example.com/*'] }],
      'one of several': [...SUBMIT, { grant: 'admin', repositories: ['registry.example.com/team*'] }],
    }
    for (const [name, grants] of Object.entries(beyond)) {
      it(`${name} is refused`, async () => {
        await expectCodeAsync('GRANT_ESCALATION', () => world.services.tokens.create(teamAdmin, { name: 'x', grants }))
      })
    }

    it('what lies within is given', async () => {
      const grants = [{ grant: 'admin', repositories: ['registry.example.com/team/a'] }, ...SUBMIT]
      expect((await world.services.tokens.create(teamAdmin, { name: 'x', grants })).token.grants).to.deep.equal(grants)
    })

    it('and tokens beyond are neither seen nor revoked', async () => {
      const { token } = await world.services.tokens.create(everybody, {
        name: 'x',
        grants: [{ grant: 'read', repositories: ['*'] }],
      })
      expect(world.services.tokens.list(teamAdmin)).to.deep.equal([])
      await expectCodeAsync('GRANT_ESCALATION', () => world.services.tokens.revoke(teamAdmin, token.id))
    })

    it('and without the grant admin there is nothing to ask', async () => {
      const operator = principal('operator', ['operator', '*'], ['submit', '*'], ['read', '*'])
      await expectCodeAsync('NOT_PERMITTED', () =>
        world.services.tokens.create(operator, { name: 'x', grants: SUBMIT }),
      )
      await expectCodeAsync('NOT_PERMITTED', () => world.services.tokens.revoke(operator, 'token-000001'))
      expectCode('NOT_PERMITTED', () => world.services.tokens.list(operator))
      expect(world.faults.calls.filter((call) => call.startsWith('keyHolder'))).to.deep.equal([])
    })
  })

  const malformed: readonly [
    string,
    string,
    { name?: string; grants?: { grant: string; repositories: string[] }[] },
  ][] = [
    ['no grants', 'GRANT_INVALID', { grants: [] }],
    ['a grant without patterns', 'GRANT_INVALID', { grants: [{ grant: 'read', repositories: [] }] }],
    ['an unknown grant', 'GRANT_INVALID', { grants: [{ grant: 'root', repositories: ['*'] }] }],
    ['a name of Object', 'GRANT_INVALID', { grants: [{ grant: 'constructor', repositories: ['*'] }] }],
    ['a malformed pattern', 'GRANT_INVALID', { grants: [{ grant: 'read', repositories: ['a b'] }] }],
    ['no name', 'TOKEN_NAME_INVALID', { name: '' }],
    ['a name with a line break', 'TOKEN_NAME_INVALID', { name: 'a\nb' }],
  ]
  for (const [name, code, request] of malformed) {
    it(`refuses ${name}`, async () => {
      await expectCodeAsync(code, () =>
        world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT, ...request }),
      )
    })
  }

  it('refuses an expiry in the past', async () => {
    const expiresAt = world.time.now()
    await expectCodeAsync('GRANT_INVALID', () =>
      world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT, expiresAt }),
    )
  })

  it('says where there is no such token', async () => {
    await expectCodeAsync('TOKEN_NOT_FOUND', () => world.services.tokens.revoke(everybody, 'token-9'))
  })

  it('has a first one, once', async () => {
    const first = await world.services.tokens.createFirst('administrator')
    expect(first?.token.grants.map(({ grant }) => grant)).to.deep.equal([...GRANT_KINDS])
    expect(await world.services.tokens.createFirst('administrator')).to.equal(undefined)
    const who = world.services.tokens.authenticate(first?.secret ?? '')
    expect(who?.id).to.equal(first?.token.id)
  })
})
