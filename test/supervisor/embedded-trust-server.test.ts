// `serve` without any trust server in its configuration: it starts one of its own.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Agent, request } from 'undici'
import { ConfigError } from '../../src/config/errors.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { freePort } from '../support/free-port.ts'
import { Scope } from '../support/scope.ts'
import { HTTP, isAlive, occupy, Serving } from '../support/serving.ts'

const CHILDREN = ['trust-server', 'key-holder'] as const
const GUN = 'registry.example.com/team/app'

describe('serve with its own trust server', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const place = new Serving(scope)
  let api: string
  let url: string

  before(async () => {
    place.trustServerAddress = `127.0.0.1:${await freePort()}`
    url = `https://${place.trustServerAddress}`
    api = (await place.ready(HTTP)).url
  })
  after(() => scope.close())

  /** The status, for a client with nothing but the authority's certificate, or with a password. */
  async function ask(method: 'GET' | 'POST' | 'DELETE', path: string, password?: string): Promise<number> {
    const dispatcher = new Agent({ connect: { ca: readFileSync(join(place.data, 'authority/ca.crt')) } })
    const authorization = `Basic ${Buffer.from(`any:${password ?? ''}`).toString('base64')}`
    try {
      const { statusCode, body } = await request(`${url}${path}`, {
        method,
        dispatcher,
        headers: password === undefined ? {} : { authorization },
      })
      await body.dump()
      return statusCode
    } finally {
      await dispatcher.close()
    }
  }

  it('is ready, checked by an authority of its own, and tells docker’s settings', async () => {
    expect(await (await fetch(`${api}/readyz`)).json()).to.deep.equal({
      status: 'ok',
      keyHolder: 'ok',
      trustServer: 'ok',
      database: 'ok',
      start: 'ok',
    })
    expect(await ask('GET', '/_notary_server/health')).to.equal(200)
    const keys = ['authority/ca.key', 'trust-server/tls/server.key', 'trust-server.token']
    expect(keys.map((name) => place.modeOf(name))).to.deep.equal(['600', '600', '600'])
    expect(['authority', 'trust-server'].map((name) => place.modeOf(name))).to.deep.equal(['700', '700'])
    const told = place.told.join('\n')
    expect(told).to.include(`~/.docker/tls/${new URL(url).host}`)
    expect(told).to.include(`DOCKER_CONTENT_TRUST_SERVER=${url}`)
    const token = place.read('trust-server.token').trim()
    expect(told + place.lines.join('') + place.read('trust-server/trust-server.yaml')).not.to.include(token)
  })

  it('has what is initialised, published with a token that can publish and no more', async () => {
    const answer = await fetch(`${api}/v1/repositories`, {
      method: 'POST',
      headers: { authorization: `Bearer ${place.read('admin.token').trim()}`, 'content-type': 'application/json' },
      body: JSON.stringify({ gun: GUN, root: { kind: 'online' } }),
    })
    expect(answer.status, await answer.text()).to.equal(201)
    const files = `/v2/${GUN}/_trust/tuf/`
    const token = place.read('trust-server.token').trim()
    expect(await ask('GET', `${files}timestamp.json`)).to.equal(200)
    expect(await ask('GET', `${files}snapshot.key`), 'anybody').to.equal(401)
    expect(await ask('GET', `${files}snapshot.key`, token), 'the daemon').to.equal(200)
    expect(await ask('POST', `${files}snapshot.key`, token), 'a new key').to.equal(401)
    expect(await ask('DELETE', files, token), 'deletion').to.equal(401)
    expect(await ask('GET', `${files}timestamp.json`)).to.equal(200)
  })

  it('starts each child again that was killed, while the others go on', async () => {
    for (const name of CHILDREN) {
      const other = name === 'key-holder' ? 'trust-server' : 'key-holder'
      // An answer counts for a second: the last one has to be old.
      await new Promise((wake) => setTimeout(wake, 1_100))
      const others = place.pidsOf(other)
      process.kill(place.pidOf(name), 'SIGKILL')
      await place.until(`it is not ready without ${name}`, async () => !(await place.isReady()))
      expect((await fetch(`${api}/livez`)).status).to.equal(200)
      await place.until(`it is ready again with ${name}`, () => place.isReady())
      expect(place.pidsOf(name)).to.have.length(2)
      expect(place.pidsOf(other)).to.deep.equal(others)
      expect(isAlive(place.pidOf(other))).to.equal(true)
    }
    expect(await ask('GET', `/v2/${GUN}/_trust/tuf/timestamp.json`)).to.equal(200)
  })

  it('stops in order: the daemon, the trust server, the key holder; and starts again with the same files', async () => {
    const files = ['authority/ca.crt', 'trust-server/tls/server.crt', 'trust-server.token']
    const before = files.map((name) => place.read(name))
    await place.stop()
    expect(CHILDREN.map((name) => place.pidOf(name)).filter(isAlive)).to.deep.equal([])
    const lines = place.lines.map((line) => JSON.parse(line) as { msg: string; process?: string })
    const ends = lines.filter(({ msg }) => msg.startsWith('stopped')).map((line) => line.process ?? 'daemon')
    expect(ends).to.deep.equal(['daemon', 'trust-server', 'key-holder'])
    await place.ready(HTTP)
    expect(files.map((name) => place.read(name))).to.deep.equal(before)
  })

  it('refuses a configuration of the trust server that the daemon could not use, naming each fault', async () => {
    await place.stop()
    writeFileSync(join(place.data, 'trust-server/trust-server.yaml'), 'keyHolderSocket: /elsewhere.sock\n')
    place.trustServerAddress = '127.0.0.1:0'
    const error = await expectCodeAsync('CONFIG_INVALID', () => place.start(HTTP))
    const faults = error instanceof ConfigError ? error.faults : []
    expect(faults.map(({ path }) => path)).to.deep.equal([
      'keyHolderSocket',
      'http.tls',
      'access.tokens',
      'http.listen',
    ])
  })

  it('does not start where the port is taken, and leaves nothing behind', async () => {
    const other = new Serving(scope)
    other.trustServerAddress = `127.0.0.1:${await occupy(scope)}`
    await expectCodeAsync('TRUST_SERVER_NOT_STARTED', () => other.start(HTTP))
    expect(CHILDREN.map((name) => other.pidOf(name)).filter(isAlive)).to.deep.equal([])
  })
})
