// Where the credentials of the daemon go: to both real servers and the realm configured for them, and, whatever a server says, to
// nobody else.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { request } from 'undici'
import { Countersign } from '../support/countersign.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { publishedFile } from '../support/peers/published.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startScriptedRegistry, type ScriptedAnswer } from '../support/peers/scripted-registry.ts'
import { startTokenServer, type TokenServer } from '../support/peers/token-server.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts'
import { createTestCa } from '../support/tls.ts'

const ca = createTestCa()
const LOGIN = { username: 'countersign', password: 'not for everybody' }
const SECRET = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64')

describe('the daemon’s credentials', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let tokens: TokenServer
  let registry: DockerRegistry
  let notary: NotaryServer
  /** Where misbehaving servers point to. */
  let elsewhere: ScriptedServer

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry')
    const account = { password: LOGIN.password, actions: () => ['push', 'pull', '*'] }
    tokens = await startTokenServer(scope, { ca, accounts: { [LOGIN.username]: account } })
    registry = await startDockerRegistry(scope, { ca, auth: tokens })
    notary = await startNotaryServer(scope, { ca, tokens })
    elsewhere = await startScriptedServer(
      scope,
      (_, response) => {
        response.end('{"token":"taken"}')
      },
      ca,
    )
  })
  after(() => scope.close())

  /** The code of the refusal, straight from the API: a process for each question would take long. */
  async function refusalOf(countersign: Countersign, path: string, body: unknown): Promise<string | undefined> {
    const token = readFileSync(join(countersign.folder, 'cli/admin.token'), 'utf8').trim()
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const answer = await request(countersign.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    return ((await answer.body.json()) as { code?: string }).code
  }

  function misleading(): readonly (readonly [name: string, code: string, answer: ScriptedAnswer])[] {
    const challenge = (text: string): ScriptedAnswer => ({ status: 401, headers: { 'www-authenticate': text } })
    return [
      ...[301, 302, 303, 307, 308].map(
        (status) =>
          [
            `redirects with ${status}`,
            'REDIRECTED',
            { status, headers: { location: `${elsewhere.url}/v2/` } },
          ] as const,
      ),
      [
        'names a realm elsewhere',
        'TOKEN_REALM_NOT_ALLOWED',
        challenge(`Bearer realm="${elsewhere.url}/token",service="x"`),
      ],
      [
        'names a realm that begins like the one configured',
        'TOKEN_REALM_NOT_ALLOWED',
        challenge(`Bearer realm="${tokens.realm}.evil/",service="x"`),
      ],
    ]
  }

  it('go to the realm configured, for tokens that are good for just this repository, at both servers', async () => {
    const countersign = await Countersign.start(scope, { notary, registry, login: LOGIN, tokenRealms: [tokens.realm] })
    const gun = `${registry.host}/team/app`
    await countersign.must(['repo', 'init', gun])
    const before = tokens.requests.length
    const refused = await countersign.refusal(['sign', `${gun}:absent`])
    expect(refused.code, countersign.logs()).to.equal('IMAGE_NOT_FOUND')
    const scopes = new Set(tokens.requests.slice(before).flatMap(({ scopes: asked }) => asked))
    expect([...scopes]).to.have.members(['repository:team/app:pull'])
    expect(tokens.requests.flatMap(({ granted }) => granted)).to.include(`repository:${gun}:push,pull`)
    expect(countersign.logs()).not.to.contain(LOGIN.password)
  })

  it('sign an image end to end behind token logins at both servers; the stock client with its own login agrees', async () => {
    const countersign = await Countersign.start(scope, { notary, registry, login: LOGIN, tokenRealms: [tokens.realm] })
    const images = new ImageMaker(registry, `Bearer ${tokens.tokenFor('repository:team/signed:push,pull')}`)
    scope.add(() => images.close())
    const image = await images.pushIndex('team/signed', '1.0')
    await countersign.must(['repo', 'init', image.gun])
    const signed = await countersign.request(['sign', `${image.reference}@sha256:${image.sha256}`])
    expect(signed.status, `${signed.text}\n${countersign.logs()}`).to.equal(0)
    expect(signed.request.images[0]).to.include({ status: 'published', digest: `sha256:${image.sha256}` })
    await countersign.must(['verify', image.reference])

    const granted = tokens.requests.filter(({ account }) => account === LOGIN.username).flatMap((one) => one.granted)
    expect(granted).to.include.members(['repository:team/signed:pull', `repository:${image.gun}:push,pull`])
    expect(await new NotaryClient(scope, { notary, login: LOGIN }).list(image.gun, RELEASES)).to.deep.equal([
      { name: '1.0', sha256: image.sha256, length: image.length, role: RELEASES },
    ])
    const stranger = await new NotaryClient(scope, { notary }).run(['list', image.gun])
    expect(stranger.status, stranger.text).not.to.equal(0)

    await countersign.must(['unsign', image.reference])
    expect(await new NotaryClient(scope, { notary, login: LOGIN }).list(image.gun, RELEASES)).to.deep.equal([])
    expect(countersign.logs()).not.to.contain(LOGIN.password).and.not.to.contain(SECRET)
  })

  it('no registry leads them astray', async () => {
    const scripted = await startScriptedRegistry(scope)
    const open = await startNotaryServer(scope, { ca })
    const countersign = await Countersign.start(scope, {
      notary: open,
      registry: scripted,
      login: LOGIN,
      tokenRealms: [tokens.realm],
    })
    const gun = `${scripted.host}/team/app`
    await countersign.must(['repo', 'init', gun])
    const before = await publishedFile(open, gun, 'timestamp.json')
    const asked = tokens.requests.length
    for (const [name, code, answer] of misleading()) {
      scripted.answer = () => answer
      const refused = await refusalOf(countersign, '/v1/signing-requests', { images: [`${gun}:1.0`] })
      expect(refused, name).to.equal(code === 'REDIRECTED' ? 'REGISTRY_REDIRECTED' : code)
    }
    expect(elsewhere.heard).to.deep.equal([])
    expect(tokens.requests.length).to.equal(asked)
    expect(JSON.stringify(scripted.requests)).not.to.contain(SECRET)
    expect(await publishedFile(open, gun, 'timestamp.json')).to.equal(before)
  })

  it('no trust server leads them astray', async () => {
    let answer: ScriptedAnswer = { status: 404 }
    const hostile = await startScriptedServer(
      scope,
      (_, response) => {
        response.writeHead(answer.status, answer.headers).end()
      },
      ca,
    )
    const { host } = new URL(hostile.url)
    const countersign = await Countersign.start(scope, {
      notary: { ...notary, url: hostile.url, host },
      registry,
      login: LOGIN,
      tokenRealms: [tokens.realm],
    })
    const asked = tokens.requests.length
    for (const [name, code, next] of misleading()) {
      answer = next
      const repository = { gun: `${registry.host}/team/new`, root: { kind: 'online' } }
      const refused = await refusalOf(countersign, '/v1/repositories', repository)
      expect(refused, name).to.equal(code === 'REDIRECTED' ? 'NOTARY_REDIRECTED' : code)
    }
    expect(hostile.heard.length).to.be.greaterThan(6)
    expect(elsewhere.heard).to.deep.equal([])
    expect(tokens.requests.length).to.equal(asked)
    expect(JSON.stringify(hostile.heard)).not.to.contain(SECRET)
  })
})
