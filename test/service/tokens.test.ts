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

  it('are known by their groups, which only whoever administers everything gives out', async () => {
    const { secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT, groups: ['a', 'a'] })
    expect(world.services.tokens.authenticate(secret)?.groups).to.deep.equal(['a'])
    await expectCodeAsync('GRANT_ESCALATION', () =>
      world.services.tokens.create(teamAdmin, { name: 'x', grants: SUBMIT, groups: ['a'] }),
    )
    for (const groups of [['A'], ['a b'], [''], Array<string>(33).fill('a')]) {
      await expectCodeAsync('GRANT_INVALID', () =>
        world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT, groups }),
      )
    }
  })

  describe('their last use', () => {
    const touches = () => world.faults.calls.filter((call) => call === 'tokens.touch').length

    it('is written every few minutes, not on every call', async () => {
      const { token, secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
      const used = () => world.services.tokens.list(everybody).find(({ id }) => id === token.id)?.lastUsedAt
      expect(used()).to.equal(undefined)
      const first = world.time.now()
      for (let count = 0; count < 299; count++) {
        world.services.tokens.authenticate(secret)
        world.time.advance(1_000)
      }
      expect([touches(), used()]).to.deep.equal([1, first])
      world.time.advance(1_000)
      world.services.tokens.authenticate(secret)
      expect([touches(), used()]).to.deep.equal([2, world.time.now()])
    })

    it('keeps nobody out where it cannot be written', async () => {
      const { secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
      world.faults.plan({ method: 'tokens.touch', call: 1, moment: 'before', error: () => new Error('disk full') })
      expect(world.services.tokens.authenticate(secret)?.name).to.equal('x')
    })
  })

  describe('rotation', () => {
    const HOUR = 3_600_000
    const authenticate = (secret: string) => world.services.tokens.authenticate(secret)

    it('gives another secret under the same id, with both taken for a while', async () => {
      const { token, secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
      const rotated = await world.services.tokens.rotate(everybody, token.id, HOUR)
      expect(rotated.token.id).to.equal(token.id)
      world.time.advance(HOUR - 1)
      expect([secret, rotated.secret].map((one) => authenticate(one)?.id)).to.deep.equal([token.id, token.id])
      world.time.advance(1)
      expect([secret, rotated.secret].map((one) => authenticate(one)?.id)).to.deep.equal([undefined, token.id])
      expect(world.keyHolder.records.map(({ kind }) => kind)).to.deep.equal(['token-created', 'token-rotated'])
      const stored = JSON.stringify([
        world.database.sqlite.prepare('SELECT * FROM tokens').all(),
        world.keyHolder.records,
      ])
      for (const one of [secret, rotated.secret]) expect(stored).not.to.include(one)
    })

    it('without an overlap ends the secret before at once, and a second one that of two before', async () => {
      const { token, secret: first } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
      const { secret: second } = await world.services.tokens.rotate(everybody, token.id, 0)
      expect(authenticate(first)).to.equal(undefined)
      const { secret: third } = await world.services.tokens.rotate(everybody, token.id, HOUR)
      await world.services.tokens.rotate(everybody, token.id, HOUR)
      expect([first, second, third].map((one) => authenticate(one) !== undefined)).to.deep.equal([false, false, true])
    })

    it('ends with the token: revoked or expired, neither secret is taken', async () => {
      const expiresAt = new Date(world.time.now().getTime() + HOUR)
      const { token, secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT, expiresAt })
      const { secret: next } = await world.services.tokens.rotate(everybody, token.id, 24 * HOUR)
      world.time.advance(HOUR)
      expect([secret, next].map((one) => authenticate(one))).to.deep.equal([undefined, undefined])
      await expectCodeAsync('TOKEN_NOT_ROTATABLE', () => world.services.tokens.rotate(everybody, token.id, 0))
      const other = await world.services.tokens.create(everybody, { name: 'y', grants: SUBMIT })
      await world.services.tokens.revoke(everybody, other.token.id)
      await expectCodeAsync('TOKEN_NOT_ROTATABLE', () => world.services.tokens.rotate(everybody, other.token.id, 0))
    })

    it('is for the token itself, by its newest secret', async () => {
      const { token, secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
      const own = authenticate(secret) ?? everybody
      const { secret: next } = await world.services.tokens.rotate(own, token.id, HOUR)
      const byOld = authenticate(secret) ?? everybody
      expect(byOld.id).to.equal(token.id)
      await expectCodeAsync('NOT_PERMITTED', () => world.services.tokens.rotate(byOld, token.id, HOUR))
      await world.services.tokens.rotate(authenticate(next) ?? everybody, token.id, HOUR)
    })

    it('is for nobody who could not make such a token', async () => {
      const wide = await world.services.tokens.create(everybody, {
        name: 'x',
        grants: [{ grant: 'read', repositories: ['*'] }],
      })
      const grouped = await world.services.tokens.create(everybody, { name: 'y', grants: SUBMIT, groups: ['a'] })
      const team = await world.services.tokens.create(everybody, { name: 'z', grants: SUBMIT })
      for (const { token } of [wide, grouped]) {
        await expectCodeAsync('GRANT_ESCALATION', () => world.services.tokens.rotate(teamAdmin, token.id, HOUR))
      }
      await world.services.tokens.rotate(teamAdmin, team.token.id, HOUR)
      const neighbour = principal('neighbour', ['submit', '*'])
      await expectCodeAsync('NOT_PERMITTED', () => world.services.tokens.rotate(neighbour, team.token.id, HOUR))
      await expectCodeAsync('TOKEN_NOT_FOUND', () => world.services.tokens.rotate(everybody, 'token-9', HOUR))
    })

    it('is not done where the record cannot be written', async () => {
      const { token, secret } = await world.services.tokens.create(everybody, { name: 'x', grants: SUBMIT })
      world.faults.plan({
        method: 'keyHolder.appendRecord',
        call: 1,
        moment: 'before',
        error: () => new KeyHolderError('AUDIT_LOG_UNWRITABLE', 'full'),
      })
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => world.services.tokens.rotate(everybody, token.id, 0))
      expect(authenticate(secret)?.id).to.equal(token.id)
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
