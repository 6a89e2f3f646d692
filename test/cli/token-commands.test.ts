// `token`: the secret goes to a 0600 file or once to standard output, and nowhere else.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { expect } from 'chai'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const SECRET = `cs_${'s'.repeat(43)}`
const RECORD = {
  id: 'tok-01j9',
  name: 'release-bot',
  grants: [{ grant: 'submit', repositories: ['registry.example.com/team/*', 'a/b'] }],
  createdAt: '2026-11-24T10:00:00.000Z',
  createdBy: 'token:0',
}

describe('cli token', () => {
  let api: FakeApi
  let place: Workplace

  async function token(
    argv: readonly string[],
    script: Script = () => ({ status: 201, body: { ...RECORD, token: SECRET } }),
  ): Promise<Ran> {
    api = await new FakeApi(script).start()
    place = new Workplace(api.url)
    return place.run(['token', ...argv.map((each) => each.replace('OUT', place.path('out')))])
  }
  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  const CREATE = ['create', 'release-bot', '--grant', 'submit:registry.example.com/team/*,a/b'] as const

  it('create writes the secret to a new file of mode 0600 and does not print it', async () => {
    const ran = await token([...CREATE, '--out', 'OUT', '--json'])
    expect(ran.exit).to.equal(0)
    expect(ran.stdout + ran.stderr).not.to.include(SECRET)
    expect(ran.json()).to.deep.equal({ ...RECORD, tokenFile: place.path('out') })
    expect(readFileSync(place.path('out'), 'utf8')).to.equal(`${SECRET}\n`)
    expect(statSync(place.path('out')).mode & 0o777).to.equal(0o600)
  })

  it('create prints the secret once, alone, without --out', async () => {
    const ran = await token(CREATE)
    expect(ran.stdout).to.equal(`${SECRET}\n`)
    expect(ran.stderr).not.to.include(SECRET)
  })

  it('create --json holds the secret in the document without --out', async () => {
    expect((await token([...CREATE, '--json'])).json()).to.deep.equal({ ...RECORD, token: SECRET })
  })

  it('create merges grants of one kind and sends the expiry as a date', async () => {
    const ran = await token([...CREATE, '--grant', 'submit:c/d', '--grant', 'read:*', '--expires', '1d'])
    expect(ran.exit).to.equal(0)
    const body = api.requests[0]?.body as { grants: unknown; expiresAt: string }
    expect(body.grants).to.deep.equal([
      { grant: 'submit', repositories: ['registry.example.com/team/*', 'a/b', 'c/d'] },
      { grant: 'read', repositories: ['*'] },
    ])
    expect(new Date(body.expiresAt).toISOString()).to.equal(body.expiresAt)
  })

  it('create asks for no token when the file exists, and leaves no file when the server refuses', async () => {
    const refused = await token([...CREATE, '--out', 'OUT'], () => problem(403, 'GRANT_ESCALATION'))
    expect(refused.exit).to.equal(3)
    expect(existsSync(place.path('out'))).to.equal(false)
    place.file('out', 'mine')
    const again = await place.run(['token', ...CREATE, '--out', place.path('out')])
    expect(again.codes()).to.deep.equal(['FILE_EXISTS'])
    expect(api.requests).to.have.length(1)
    expect(readFileSync(place.path('out'), 'utf8')).to.equal('mine')
  })

  for (const grant of ['submit', 'submit:', 'submit:a,,b', 'root:*', ':x', 'submit=x']) {
    it(`create refuses the grant "${grant}"`, async () => {
      const ran = await token(['create', 'x', '--grant', grant])
      expect(ran.exit).to.equal(2)
      expect(api.requests).to.deep.equal([])
    })
  }

  it('list shows state and grants', async () => {
    const tokens = [
      RECORD,
      { ...RECORD, id: 'tok-2', revokedAt: '2026-11-24T10:00:00.000Z' },
      { ...RECORD, id: 'tok-3', expiresAt: '2020-01-01T00:00:00.000Z' },
    ]
    const ran = await token(['list'], () => ({ body: { tokens } }))
    const rows = ran.stdout.trimEnd().split('\n').slice(1)
    expect(rows.map((row) => row.split(/ {3,}/).slice(0, 3).join(' '))).to.deep.equal([
      'tok-01j9 release-bot valid',
      'tok-2 release-bot revoked',
      'tok-3 release-bot expired',
    ])
  })

  it('list shows groups and the last use; --exchanged asks for the tokens of workloads, by their identity', async () => {
    const used = { lastUsedAt: '2026-11-24T11:00:00.000Z', groups: ['releases', 'security'] }
    const ran = await token(['list', '--exchanged'], () => ({
      body: { tokens: [{ ...RECORD, ...used, identity: 'github:repository:1' }] },
    }))
    expect(api.requests[0]?.query.get('kind')).to.equal('exchanged')
    for (const text of ['github:repository:1', used.lastUsedAt, 'releases,security'])
      expect(ran.stdout).to.include(text)
    await place.run(['token', 'list'])
    expect(api.requests[1]?.query.has('kind')).to.equal(false)
  })

  it('create sends groups', async () => {
    await token([...CREATE, '--group', 'releases', '--group', 'security'])
    expect((api.requests[0]?.body as { groups: unknown }).groups).to.deep.equal(['releases', 'security'])
  })

  it('rotate writes the new secret to a new file, and says how long the one before is taken', async () => {
    const previousValidUntil = '2026-11-24T12:00:00.000Z'
    const ran = await token(['rotate', 'tok-01j9', '--overlap', '2h', '--out', 'OUT', '--json'], () => ({
      body: { ...RECORD, previousValidUntil, token: SECRET },
    }))
    expect(ran.exit).to.equal(0)
    expect(api.requests[0]).to.deep.include({
      method: 'POST',
      path: '/v1/tokens/tok-01j9/rotate',
      body: { overlap: '2h' },
    })
    expect(ran.json()).to.deep.equal({ ...RECORD, previousValidUntil, tokenFile: place.path('out') })
    expect(ran.stdout + ran.stderr).not.to.include(SECRET)
    expect(readFileSync(place.path('out'), 'utf8')).to.equal(`${SECRET}\n`)
    expect(statSync(place.path('out')).mode & 0o777).to.equal(0o600)
  })

  it('rotate prints the secret once without --out, and leaves no file where the server refuses', async () => {
    const ran = await token(['rotate', 'tok-01j9'], () => ({ body: { ...RECORD, token: SECRET } }))
    expect([ran.stdout, api.requests[0]?.body]).to.deep.equal([`${SECRET}\n`, {}])
    await api.stop()
    place.remove()
    const refused = await token(['rotate', 'tok-01j9', '--out', 'OUT'], () => problem(403, 'GRANT_ESCALATION'))
    expect(refused.exit).to.equal(3)
    expect(existsSync(place.path('out'))).to.equal(false)
  })

  it('rotate takes neither a secret for an id nor a time without a unit', async () => {
    const ran = await token(['rotate', SECRET])
    expect([ran.exit, ran.stderr.includes(SECRET)]).to.deep.equal([2, false])
    expect((await place.run(['token', 'rotate', 'tok-01j9', '--overlap', '60'])).codes()).to.deep.equal([
      'DURATION_INVALID',
    ])
    expect(api.requests).to.deep.equal([])
  })

  it('revoke names the token; a secret is no name, and is not sent', async () => {
    const ran = await token(['revoke', 'tok-01j9', '--json'], () => ({ status: 204 }))
    expect(ran.exit).to.equal(0)
    expect(ran.json()).to.deep.equal({ id: 'tok-01j9', revoked: true })
    expect(api.requests[0]).to.include({ method: 'DELETE', path: '/v1/tokens/tok-01j9' })
    const secret = await place.run(['token', 'revoke', SECRET])
    expect(secret.exit).to.equal(2)
    expect(api.requests).to.have.length(1)
    expect(secret.stderr).not.to.include(SECRET)
  })
})
