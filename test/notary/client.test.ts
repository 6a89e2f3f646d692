// The client against a server that answers as a test says. The real server: test/peer/notary-client.test.ts.
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { encodePublicKey, parseGun, RELEASES, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName } from '@countersign/tuf'
import type { RemoteOptions } from '../../src/net/authenticated-client.ts'
import { ANONYMOUS, passwordSource, type CredentialSource } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { freePort } from '../support/free-port.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer, type ScriptedServer } from '../support/scripted-server.ts'
import { testKey } from '../support/test-keys.ts'

const gun = parseGun('localhost:5055/demo/app')
const HEX = 'ab'.repeat(32)
const FILES: ReadonlyMap<RoleName, Uint8Array> = new Map([
  [TARGETS, Buffer.from('{"signed":1}')],
  [RELEASES, Buffer.from([0, 255, 13, 10, 45, 45])],
])

describe('NotaryClient', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  function clientAt(url: string, o: Partial<RemoteOptions> = {}): NotaryClient {
    const timeouts = { connectMs: 1000, headersMs: 300, totalMs: 1000 }
    const client = new NotaryClient({ url, tls: {}, timeouts, tokenRealms: [], credentials: ANONYMOUS, ...o })
    scope.add(() => client.close())
    return client
  }

  async function started(answer: Answer): Promise<{ client: NotaryClient; server: ScriptedServer }> {
    const server = await startScriptedServer(scope, answer)
    return { server, client: clientAt(server.url) }
  }

  const always =
    (status: number, body: unknown = '', headers: Record<string, string> = {}): Answer =>
    (_, response) =>
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))

  const error = (code: string, detail?: unknown) => ({ errors: [{ code, message: 'a message', detail }] })

  describe('the change feed', () => {
    const record = (id: number | string, o: object = {}) => ({
      ID: String(id),
      CreatedAt: '2026-11-23T15:34:03.533632839Z',
      GUN: gun,
      Version: 14,
      SHA256: HEX,
      Category: 'update',
      ...o,
    })
    const feedOf = (records: unknown) => JSON.stringify({ count: 1, records })
    const query = { scope: 'server', after: 7, records: 3 } as const

    it('is read of one repository and of all, after a change or from the end', async () => {
      const { client, server } = await started(
        always(200, feedOf([record(8), record(9, { SHA256: ' '.repeat(64), Category: 'deletion' })])),
      )
      expect(await client.changes(gun, query)).to.deep.equal([
        { id: 8, gun, timestamp: HEX },
        { id: 9, gun, timestamp: undefined },
      ])
      await client.changes(gun, { scope: 'repository', after: 0, records: 500 })
      await client.changes(gun, { scope: 'server', after: 'newest', records: 2 })
      expect(server.heard.map(({ url }) => url)).to.deep.equal([
        '/v2/_trust/changefeed?records=3&change_id=7',
        '/v2/localhost:5055/demo/app/_trust/changefeed?records=500&change_id=0',
        '/v2/_trust/changefeed?records=2&change_id=-1',
      ])
    })

    it('has nothing new where a server that keeps all in memory says null', async () => {
      expect(await (await started(always(200, feedOf(null)))).client.changes(gun, query)).to.deep.equal([])
    })

    for (const status of [301, 400, 401, 403, 404, 405]) {
      it(`is none for us where the server answers ${status}`, async () => {
        expect(await (await started(always(status))).client.changes(gun, query)).to.equal(undefined)
      })
    }

    for (const status of [429, 500, 503]) {
      it(`NOTARY_UNAVAILABLE: the server answers ${status}`, async () => {
        const { client } = await started(always(status))
        await expectCodeAsync('NOTARY_UNAVAILABLE', () => client.changes(gun, query))
      })
    }

    for (const [what, body] of [
      ['no JSON', 'x'],
      ['no records', '{}'],
      ['records that are none', feedOf([1])],
      ['an ID that is no number', feedOf([record('x')])],
      ['an ID that is too long', feedOf([record('9'.repeat(16))])],
      ['an ID that was there before', feedOf([record(7)])],
      ['IDs that go back', feedOf([record(9), record(8)])],
      ['an ID twice', feedOf([record(8), record(8)])],
      ['no GUN', feedOf([record(8, { GUN: 1 })])],
      ['more than was asked for', feedOf([8, 9, 10, 11].map((id) => record(id)))],
      ['arrays without end', feedOf(JSON.parse(`${'['.repeat(50)}${']'.repeat(50)}`))],
    ] as const) {
      it(`NOTARY_RESPONSE_MALFORMED: ${what}`, async () => {
        const { client } = await started(always(200, body))
        await expectCodeAsync('NOTARY_RESPONSE_MALFORMED', () => client.changes(gun, query))
      })
    }

    it('NOTARY_RESPONSE_TOO_LARGE: more than a mebibyte', async () => {
      const { client } = await started(always(200, feedOf([record(8, { GUN: 'x'.repeat(2 ** 20) })])))
      await expectCodeAsync('NOTARY_RESPONSE_TOO_LARGE', () => client.changes(gun, query))
    })
  })

  describe('read', () => {
    it('gives the bytes as they are served', async () => {
      const { client, server } = await started((_, response) => response.end(Buffer.from([0xff, 0, 0x0a])))
      expect(await client.read(gun, `targets/releases.${HEX}.json`, 3)).to.deep.equal(Buffer.from([0xff, 0, 0x0a]))
      expect(server.heard.map(({ method, url }) => `${method} ${url}`)).to.deep.equal([
        `GET /v2/localhost:5055/demo/app/_trust/tuf/targets/releases.${HEX}.json`,
      ])
    })

    it('keeps the path before /v2/ of its server', async () => {
      const server = await startScriptedServer(scope, always(404))
      await clientAt(`${server.url}/notary/`).read(gun, 'root.json', 10)
      expect(server.heard[0]?.url).to.equal('/notary/v2/localhost:5055/demo/app/_trust/tuf/root.json')
    })

    it('lets no cache answer for what may have changed', async () => {
      const { client, server } = await started(always(404))
      for (const name of ['timestamp.json', 'root.json', '3.root.json', `snapshot.${HEX}.json`]) {
        await client.read(gun, name, 10)
      }
      expect(server.heard.map(({ headers }) => headers['cache-control'])).to.deep.equal([
        'no-cache',
        'no-cache',
        undefined,
        undefined,
      ])
    })

    it('takes 404 for absent, also where the page that says so is larger than the file may be', async () => {
      const { client } = await started(always(404, error('METADATA_NOT_FOUND', {})))
      expect(await client.read(gun, 'root.json', 10)).to.equal(undefined)
      const other = await started(always(404, 'x'.repeat(100_000)))
      expect(await other.client.read(gun, 'root.json', 10)).to.equal(undefined)
    })

    it('takes 500 with the name of that delegation for absent (trap Q10)', async () => {
      const { client } = await started(always(500, error('UNKNOWN', { Role: 'targets/releases' })))
      expect(await client.read(gun, 'targets/releases.json', 1000)).to.equal(undefined)
      expect(await client.read(gun, `targets/releases.${HEX}.json`, 1000)).to.equal(undefined)
      for (const name of ['targets/alice.json', 'targets.json', 'timestamp.json', 'root.json']) {
        await expectCodeAsync('NOTARY_UNAVAILABLE', () => client.read(gun, name, 1000))
      }
    })

    for (const [name, body] of [
      ['root', error('UNKNOWN', { Role: 'root', Expired: 'yesterday' })],
      ['no role', error('UNKNOWN')],
      ['another code', error('UPDATING', { Role: 'targets/releases' })],
      ['a page', '<html>'],
    ] as const) {
      it(`takes 500 with ${name} for an outage`, async () => {
        const { client } = await started(always(500, body))
        await expectCodeAsync('NOTARY_UNAVAILABLE', () => client.read(gun, 'targets/releases.json', 1000))
      })
    }

    it('reads a file of exactly the limit and none beyond it', async () => {
      const { client } = await started(always(200, 'x'.repeat(1000)))
      expect(await client.read(gun, 'root.json', 1000)).to.have.length(1000)
      await expectCodeAsync('NOTARY_RESPONSE_TOO_LARGE', () => client.read(gun, 'root.json', 999))
    })

    const refusals: readonly (readonly [number, string])[] = [
      [204, 'NOTARY_RESPONSE_MALFORMED'],
      [206, 'NOTARY_RESPONSE_MALFORMED'],
      [301, 'NOTARY_REDIRECTED'],
      [307, 'NOTARY_REDIRECTED'],
      [400, 'NOTARY_RESPONSE_MALFORMED'],
      [401, 'NOTARY_UNAUTHORIZED'],
      [403, 'NOTARY_UNAUTHORIZED'],
      [408, 'NOTARY_UNAVAILABLE'],
      [429, 'NOTARY_UNAVAILABLE'],
      [502, 'NOTARY_UNAVAILABLE'],
      [503, 'NOTARY_UNAVAILABLE'],
    ]
    for (const [status, code] of refusals) {
      it(`takes ${status} for ${code}`, async () => {
        const { client } = await started(always(status, '', { location: '/elsewhere' }))
        const { facts } = await expectCodeAsync(code, () => client.read(gun, 'root.json', 10))
        expect(facts).to.include({ status })
      })
    }

    it('does not go where it is redirected', async () => {
      const elsewhere = await startScriptedServer(scope, always(200, 'gotcha'))
      const { client } = await started(always(302, '', { location: elsewhere.url }))
      await expectCodeAsync('NOTARY_REDIRECTED', () => client.read(gun, 'root.json', 10))
      expect(elsewhere.heard).to.deep.equal([])
    })

    it('takes a lost or missing answer for an outage', async () => {
      const { client } = await started((_, response) => response.socket?.resetAndDestroy())
      const lost = await expectCodeAsync('NOTARY_UNAVAILABLE', () => client.read(gun, 'root.json', 10))
      expect(lost.facts).to.include({ failure: 'NET_RESET' })
      const closed = clientAt(`http://127.0.0.1:${await freePort()}`)
      const refused = await expectCodeAsync('NOTARY_UNAVAILABLE', () => closed.read(gun, 'root.json', 10))
      expect(refused.facts).to.include({ failure: 'NET_REFUSED' })
    })
  })

  describe('publish', () => {
    it('sends one part for each role, named by the whole role (trap Q15)', async () => {
      const { client, server } = await started(always(200))
      await client.publish(gun, FILES)
      const [heard] = server.heard
      expect(`${heard?.method} ${heard?.url}`).to.equal('POST /v2/localhost:5055/demo/app/_trust/tuf/')
      const boundary = /^multipart\/form-data; boundary=([0-9a-f]{32})$/.exec(heard?.headers['content-type'] ?? '')?.[1]
      const head = (role: string) =>
        `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="${role}"\r\nContent-Type: application/octet-stream\r\n\r\n`
      const expected = Buffer.concat([
        Buffer.from(head('targets')),
        Buffer.from('{"signed":1}\r\n'),
        Buffer.from(head('targets/releases')),
        Buffer.from([0, 255, 13, 10, 45, 45, 13, 10]),
        Buffer.from(`--${boundary}--\r\n`),
      ])
      expect(heard?.body.equals(expected)).to.equal(true)
      expect(heard?.headers['content-length']).to.equal(String(expected.length))
    })

    it('uses another boundary each time', async () => {
      const { client, server } = await started(always(200))
      await client.publish(gun, FILES)
      await client.publish(gun, FILES)
      expect(server.heard[0]?.headers['content-type']).not.to.equal(server.heard[1]?.headers['content-type'])
    })

    const answers: readonly (readonly [string, number, unknown, string])[] = [
      ['201, which is no promise (trap Q12)', 201, '', 'NOTARY_ANSWER_LOST'],
      ['202', 202, '', 'NOTARY_ANSWER_LOST'],
      ['204', 204, '', 'NOTARY_ANSWER_LOST'],
      ['a lost race (trap Q11)', 400, error('VERSION', {}), 'NOTARY_CONFLICT'],
      ['a lost race on PostgreSQL (trap Q11)', 500, error('UPDATING'), 'NOTARY_CONFLICT'],
      ['VERSION with a status that does not belong to it', 500, error('VERSION'), 'NOTARY_ANSWER_LOST'],
      ['500', 500, error('UNKNOWN'), 'NOTARY_ANSWER_LOST'],
      ['a gateway that lost its server', 502, '<html>', 'NOTARY_ANSWER_LOST'],
      ['a gateway that waited in vain', 504, '<html>', 'NOTARY_ANSWER_LOST'],
      ['408', 408, '', 'NOTARY_ANSWER_LOST'],
      ['429', 429, '', 'NOTARY_UNAVAILABLE'],
      ['400 without a document', 400, 'no', 'NOTARY_UPDATE_INVALID'],
      ['a name prefix that the server does not take', 400, error('INVALID_GUN'), 'NOTARY_UPDATE_INVALID'],
      ['404', 404, error('METADATA_NOT_FOUND'), 'NOTARY_UPDATE_INVALID'],
      ['413', 413, '<html>', 'NOTARY_UPDATE_INVALID'],
      ['401', 401, error('UNAUTHORIZED'), 'NOTARY_UNAUTHORIZED'],
      ['403', 403, '', 'NOTARY_UNAUTHORIZED'],
      ['301', 301, '', 'NOTARY_REDIRECTED'],
      ['308', 308, '', 'NOTARY_REDIRECTED'],
    ]
    for (const [name, status, body, code] of answers) {
      it(`takes ${name} for ${code}`, async () => {
        const { client, server } = await started(always(status, body, { location: '/v2/' }))
        await expectCodeAsync(code, () => client.publish(gun, FILES))
        expect(server.heard).to.have.length(1)
      })
    }

    it('tells what the server says of an invalid update, cleaned', async () => {
      const detail = { Name: 'ErrBadTargets', Error: { Msg: 'targets expired\u001b[2J' } }
      const { client } = await started(always(400, error('INVALID_UPDATE', detail)))
      const { facts } = await expectCodeAsync('NOTARY_UPDATE_INVALID', () => client.publish(gun, FILES))
      expect(facts).to.deep.equal({
        status: 400,
        code: 'INVALID_UPDATE',
        name: 'ErrBadTargets',
        words: 'targets expired?[2J',
      })
    })

    it('reads no meaning into the words of a remote signer (trap Q36)', async () => {
      const words = 'rpc error: code = NotFound desc = key 00 not found: VERSION UPDATING'
      const detail = { Name: 'ErrValidation', Error: { Msg: words } }
      const { client } = await started(always(400, error('INVALID_UPDATE', detail)))
      const { facts } = await expectCodeAsync('NOTARY_UPDATE_INVALID', () => client.publish(gun, FILES))
      expect(facts).to.include({ name: 'ErrValidation', words })
    })

    it('does not know what happened where the connection broke (trap Q16)', async () => {
      const { client } = await started((_, response) => response.socket?.resetAndDestroy())
      const { facts } = await expectCodeAsync('NOTARY_ANSWER_LOST', () => client.publish(gun, FILES))
      expect(facts).to.deep.equal({ reason: 'NET_RESET' })
    })

    it('does not know what happened where the server stopped reading, or said something else than HTTP', async () => {
      for (const [last, reason] of [
        [undefined, 'NET_RESET'],
        ['220 mail ready\r\n', 'NET_MALFORMED'],
      ] as const) {
        const url = await rawServer((socket) => (last === undefined ? socket.destroy() : socket.end(last)))
        const { facts } = await expectCodeAsync('NOTARY_ANSWER_LOST', () => clientAt(url).publish(gun, FILES))
        expect(facts).to.deep.equal({ reason })
      }
    })

    it('does not know what happened where no answer came in time, or one without end', async () => {
      const silent = await started(() => undefined)
      await expectCodeAsync('NOTARY_ANSWER_LOST', () => silent.client.publish(gun, FILES))
      const endless = await started(always(200, 'x'.repeat(70_000)))
      await expectCodeAsync('NOTARY_ANSWER_LOST', () => endless.client.publish(gun, FILES))
    })

    it('knows that nothing happened where there was no connection', async () => {
      const closed = clientAt(`http://127.0.0.1:${await freePort()}`)
      await expectCodeAsync('NOTARY_UNAVAILABLE', () => closed.publish(gun, FILES))
      const nowhere = clientAt('http://no-such-host.invalid')
      await expectCodeAsync('NOTARY_UNAVAILABLE', () => nowhere.publish(gun, FILES))
    })

    it('knows that nothing happened where a connection broke before TLS stood', async () => {
      const url = await rawServer((socket) => socket.resetAndDestroy())
      const tls = clientAt(url.replace('http:', 'https:'))
      const { facts } = await expectCodeAsync('NOTARY_UNAVAILABLE', () => tls.publish(gun, FILES))
      expect(facts).to.include({ failure: 'NET_REFUSED' })
    })

    async function rawServer(onData: (socket: import('node:net').Socket) => void): Promise<string> {
      const server = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.once('data', () => {
          onData(socket)
        })
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      scope.add(() => void server.close())
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }
  })

  describe('serverKey and rotateServerKey', () => {
    const { publicKey } = testKey('server key', 'ed25519')
    const keyJson = JSON.stringify({
      keytype: publicKey.keyType,
      keyval: { public: publicKey.publicValue, private: null },
    })

    it('ask for the key and for a new one', async () => {
      const { client, server } = await started(always(200, keyJson))
      expect(await client.serverKey(gun, TIMESTAMP)).to.deep.equal(publicKey)
      expect(await client.rotateServerKey(gun, SNAPSHOT)).to.deep.equal(publicKey)
      expect(server.heard.map(({ method, url }) => `${method} ${url}`)).to.deep.equal([
        'GET /v2/localhost:5055/demo/app/_trust/tuf/timestamp.key',
        'POST /v2/localhost:5055/demo/app/_trust/tuf/snapshot.key',
      ])
    })

    for (const [name, body] of [
      ['no JSON', '<html>'],
      ['no key', '{}'],
      ['a list', JSON.stringify([encodePublicKey(publicKey).get('keytype')])],
      ['a kind of key that is unknown', keyJson.replace('ed25519', 'rot13')],
      ['a public value that is none', '{"keytype":"ecdsa","keyval":{"public":"AAAA","private":null}}'],
      ['a value that stands twice', keyJson.replace('{"keytype"', '{"keytype":"ecdsa","keytype"')],
    ] as const) {
      it(`refuse ${name}`, async () => {
        const { client } = await started(always(200, body))
        await expectCodeAsync('NOTARY_RESPONSE_MALFORMED', () => client.serverKey(gun, TIMESTAMP))
      })
    }

    for (const [status, code] of [
      [401, 'NOTARY_UNAUTHORIZED'],
      [404, 'NOTARY_RESPONSE_MALFORMED'],
      [307, 'NOTARY_REDIRECTED'],
      [500, 'NOTARY_UNAVAILABLE'],
    ] as const) {
      it(`take ${status} for ${code}`, async () => {
        const { client } = await started(always(status, error('UNKNOWN')))
        await expectCodeAsync(code, () => client.serverKey(gun, TIMESTAMP))
        await expectCodeAsync(code, () => client.rotateServerKey(gun, TIMESTAMP))
      })
    }

    it('read no key larger than a key can be', async () => {
      const { client } = await started(always(200, ' '.repeat(256 * 1024) + keyJson))
      await expectCodeAsync('NOTARY_RESPONSE_TOO_LARGE', () => client.serverKey(gun, TIMESTAMP))
    })
  })

  describe('with tokens', () => {
    const CAROL = passwordSource(
      () => 'carol',
      () => 'not-a-secret',
    )

    async function guarded(realmAnswer: Answer, credentials: CredentialSource = CAROL) {
      const realm = await startScriptedServer(scope, realmAnswer)
      const server = await startScriptedServer(scope, (heard, response) => {
        if (heard.headers.authorization === 'Bearer T') response.writeHead(heard.method === 'GET' ? 404 : 200).end()
        else response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm.url}/token",service="s"` }).end()
      })
      return { realm, server, client: clientAt(server.url, { tokenRealms: [realm.url], credentials }) }
    }

    it('asks for what each call needs, and for the credentials of the registry', async () => {
      const hosts: string[] = []
      const { client, realm } = await guarded((_, response) => response.end('{"token":"T"}'), {
        credentialsFor: (host) => {
          hosts.push(host)
          return CAROL.credentialsFor(host)
        },
      })
      await client.read(gun, 'root.json', 10)
      await client.publish(gun, FILES)
      await expectCodeAsync('NOTARY_RESPONSE_MALFORMED', () => client.serverKey(gun, SNAPSHOT))
      await expectCodeAsync('NOTARY_RESPONSE_MALFORMED', () => client.rotateServerKey(gun, SNAPSHOT))
      const scopes = realm.heard.map(({ url }) => new URL(url, realm.url).searchParams.get('scope'))
      expect(scopes).to.deep.equal([
        'repository:localhost:5055/demo/app:pull',
        'repository:localhost:5055/demo/app:push,pull',
        'repository:localhost:5055/demo/app:*',
      ])
      expect([...new Set(hosts)]).to.deep.equal(['localhost:5055'])
    })

    it('takes a token that is refused for a feed that is not for us', async () => {
      const { client, realm } = await guarded((_, response) => response.writeHead(403).end())
      expect(await client.changes(gun, { scope: 'server', after: 0, records: 1 })).to.equal(undefined)
      expect(new URL(realm.heard[0]?.url ?? '', realm.url).searchParams.get('scope')).to.equal('registry:catalog:*')
    })

    it('publishes nothing where the token server refuses, and says so', async () => {
      const { client } = await guarded((_, response) => response.writeHead(401).end())
      await expectCodeAsync('TOKEN_REFUSED', () => client.publish(gun, FILES))
    })

    const outages: readonly (readonly [string, Answer])[] = [
      ['answers 503', (_, response) => response.writeHead(503).end()],
      ['answers 429', (_, response) => response.writeHead(429).end()],
      ['is silent', () => undefined],
      ['breaks the connection', (_, response) => response.socket?.resetAndDestroy()],
    ]
    for (const [name, answer] of outages) {
      it(`takes it for an outage, in which nothing was stored, where the token server ${name}`, async () => {
        const { client, server } = await guarded(answer)
        const { facts } = await expectCodeAsync('NOTARY_UNAVAILABLE', () => client.publish(gun, FILES))
        expect(facts).to.include({ failure: 'TOKEN_UNAVAILABLE' })
        expect(server.heard).to.have.length(1)
      })
    }
  })
})
