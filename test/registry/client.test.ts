// The client against a registry that answers as a test says. The real registry: test/peer/registry-client.test.ts.
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { parseImageReference } from '../../src/domain/image-reference.ts'
import { ANONYMOUS, passwordSource } from '../../src/net/credentials.ts'
import { RegistryClient, type RegistryOptions } from '../../src/registry/client.ts'
import { ACCEPTED_TYPES, MANIFEST_TYPES } from '../../src/registry/manifest.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { freePort } from '../support/free-port.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer } from '../support/scripted-server.ts'

const BYTES = Buffer.from(JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }, undefined, 2))
const SHA256 = createHash('sha256').update(BYTES).digest('hex')
const OTHER = 'ff'.repeat(32)
const INDEX = Buffer.from(
  JSON.stringify({ schemaVersion: 2, manifests: [{ platform: { os: 'linux', architecture: 's390x' } }] }),
)

describe('RegistryClient', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  function clientAt(url: string, o: Partial<RegistryOptions> = {}) {
    const client = new RegistryClient({
      url,
      host: 'registry.test',
      tls: {},
      timeouts: { connectMs: 1000, headersMs: 300, totalMs: 1000 },
      tokenRealms: [],
      credentials: ANONYMOUS,
      maxManifestBytes: 10_000,
      ...o,
    })
    scope.add(() => client.close())
    return (text = 'registry.test/team/app:v1') => client.resolve(parseImageReference(text))
  }

  function probing(url: string): Promise<string | undefined> {
    const timeouts = { connectMs: 1000, headersMs: 300, totalMs: 1000 }
    const options = { url, host: 'registry.test', tls: {}, timeouts, tokenRealms: [], credentials: ANONYMOUS }
    const client = new RegistryClient({ ...options, maxManifestBytes: 10_000 })
    scope.add(() => client.close())
    return client.probe(parseImageReference('registry.test/team/app:v1'))
  }

  async function started(answer: Answer, o: Partial<RegistryOptions> = {}) {
    const server = await startScriptedServer(scope, answer)
    return { server, resolve: clientAt(server.url, o) }
  }

  const serve =
    (body: Uint8Array, headers: Record<string, string> = {}): Answer =>
    (_, response) =>
      response.writeHead(200, { 'content-type': MANIFEST_TYPES.ociManifest, ...headers }).end(body)

  it('hashes what is served under a tag', async () => {
    const { resolve, server } = await started(serve(BYTES, { 'docker-content-digest': `sha256:${SHA256}` }))
    expect(await resolve()).to.deep.equal({
      sha256: SHA256,
      length: BYTES.byteLength,
      mediaType: MANIFEST_TYPES.ociManifest,
      platforms: [],
    })
    expect(server.heard.map(({ method, url }) => `${method} ${url}`)).to.deep.equal(['GET /v2/team/app/manifests/v1'])
    expect(server.heard[0]?.headers.accept).to.equal(ACCEPTED_TYPES)
  })

  it('asks for the digest of a tag alone: it is what the registry says, and nothing is fetched', async () => {
    const digest = { 'docker-content-digest': `sha256:${OTHER}`, 'content-length': '428' }
    const server = await startScriptedServer(scope, (_, response) => response.writeHead(200, digest).end())
    expect(await probing(server.url)).to.equal(OTHER)
    expect(server.heard.map(({ method, url }) => `${method} ${url}`)).to.deep.equal(['HEAD /v2/team/app/manifests/v1'])
    expect(server.heard[0]?.headers.accept).to.equal(ACCEPTED_TYPES)
  })

  it('knows no digest of a tag that is not there, or where the registry names none', async () => {
    for (const [status, header] of [
      [404, undefined],
      [200, undefined],
      [200, 'sha512:aa'],
      [200, `sha256:${'A'.repeat(64)}`],
    ] as const) {
      const headers = header === undefined ? {} : { 'docker-content-digest': header }
      const server = await startScriptedServer(scope, (_, response) => response.writeHead(status, headers).end())
      expect(await probing(server.url), `${status} ${header}`).to.equal(undefined)
    }
  })

  for (const [status, code] of [
    [301, 'REGISTRY_REDIRECTED'],
    [401, 'REGISTRY_UNAUTHORIZED'],
    [403, 'REGISTRY_UNAUTHORIZED'],
    [429, 'REGISTRY_UNAVAILABLE'],
    [500, 'REGISTRY_UNAVAILABLE'],
  ] as const) {
    it(`${code}: a question for a digest that is answered with ${status}`, async () => {
      const server = await startScriptedServer(scope, (_, response) => response.writeHead(status).end())
      await expectCodeAsync(code, () => probing(server.url))
    })
  }

  it('lists the platforms of an index', async () => {
    for (const type of [MANIFEST_TYPES.ociIndex, MANIFEST_TYPES.dockerList]) {
      const { resolve } = await started(serve(INDEX, { 'content-type': type }))
      expect(await resolve())
        .to.include({ mediaType: type })
        .and.deep.include({ platforms: ['linux/s390x'] })
    }
  })

  it('asks by tag where there is one, even with a digest beside it', async () => {
    const { resolve, server } = await started(serve(BYTES))
    expect((await resolve(`registry.test/team/app:v1@sha256:${OTHER}`)).sha256).to.equal(SHA256)
    expect(server.heard[0]?.url).to.equal('/v2/team/app/manifests/v1')
  })

  it('asks by digest where there is no tag, and takes nothing else for it', async () => {
    const { resolve, server } = await started(serve(BYTES))
    expect((await resolve(`registry.test/team/app@sha256:${SHA256}`)).sha256).to.equal(SHA256)
    expect(server.heard[0]?.url).to.equal(`/v2/team/app/manifests/sha256:${SHA256}`)
    const error = await expectCodeAsync('REGISTRY_DIGEST_MISMATCH', () =>
      resolve(`registry.test/team/app@sha256:${OTHER}`),
    )
    expect(error.facts).to.include({ claimed: OTHER, computed: SHA256 })
  })

  it('refuses a registry that names another digest than its bytes have', async () => {
    for (const claimed of [OTHER, SHA256.toUpperCase(), '', `${SHA256}, sha256:${SHA256}`]) {
      const { resolve } = await started(serve(BYTES, { 'docker-content-digest': `sha256:${claimed}` }))
      await expectCodeAsync('REGISTRY_DIGEST_MISMATCH', resolve)
    }
  })

  it('does not need the registry to name a digest, or one of a kind that it can check', async () => {
    for (const headers of [{}, { 'docker-content-digest': `sha512:${OTHER}${OTHER}` }]) {
      const { resolve } = await started(serve(BYTES, headers))
      expect((await resolve()).sha256).to.equal(SHA256)
    }
  })

  it('reads a manifest of exactly the limit and none beyond it', async () => {
    const { resolve } = await started(serve(BYTES), { maxManifestBytes: BYTES.byteLength })
    expect((await resolve()).length).to.equal(BYTES.byteLength)
    const small = await started(serve(BYTES), { maxManifestBytes: BYTES.byteLength - 1 })
    const { facts } = await expectCodeAsync('MANIFEST_TOO_LARGE', small.resolve)
    expect(facts).to.deep.equal({ image: 'registry.test/team/app:v1', maxBytes: BYTES.byteLength - 1 })
  })

  it('stops reading a manifest without end', async () => {
    let sent = 0
    const { resolve } = await started((_, response) => {
      const pump = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(4096))) sent += 4096
      }
      response.on('drain', pump)
      pump()
    })
    await expectCodeAsync('MANIFEST_TOO_LARGE', resolve)
    expect(sent).to.be.lessThan(100_000_000)
  })

  for (const [code, body, type] of [
    ['MANIFEST_SCHEMA1_REFUSED', '{"schemaVersion":1}', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['MANIFEST_TYPE_UNSUPPORTED', BYTES, 'application/json'],
    ['MANIFEST_TYPE_CONTRADICTORY', INDEX, MANIFEST_TYPES.ociManifest],
    ['MANIFEST_MALFORMED', '<html>', MANIFEST_TYPES.ociManifest],
  ] as const) {
    it(`gives no digest for what is refused: ${code}`, async () => {
      const { resolve } = await started(serve(Buffer.from(body), { 'content-type': type }))
      await expectCodeAsync(code, resolve)
    })
  }

  const refusals: readonly (readonly [number, string])[] = [
    [202, 'REGISTRY_RESPONSE_MALFORMED'],
    [204, 'REGISTRY_RESPONSE_MALFORMED'],
    [206, 'REGISTRY_RESPONSE_MALFORMED'],
    [301, 'REGISTRY_REDIRECTED'],
    [307, 'REGISTRY_REDIRECTED'],
    [400, 'REGISTRY_RESPONSE_MALFORMED'],
    [401, 'REGISTRY_UNAUTHORIZED'],
    [403, 'REGISTRY_UNAUTHORIZED'],
    [404, 'IMAGE_NOT_FOUND'],
    [408, 'REGISTRY_UNAVAILABLE'],
    [429, 'REGISTRY_UNAVAILABLE'],
    [500, 'REGISTRY_UNAVAILABLE'],
    [503, 'REGISTRY_UNAVAILABLE'],
  ]
  for (const [status, code] of refusals) {
    it(`takes ${status} for ${code}, however long the page that comes with it`, async () => {
      const page = status === 204 ? '' : 'x'.repeat(50_000)
      const { resolve } = await started((_, response) => response.writeHead(status, { location: '/' }).end(page), {
        maxManifestBytes: 100,
      })
      const { facts } = await expectCodeAsync(code, resolve)
      expect(facts).to.deep.equal({ image: 'registry.test/team/app:v1', status })
    })
  }

  it('tells a 404 in which the registry itself says that it has no such manifest from any other', async () => {
    const errors = (...codes: string[]) => JSON.stringify({ errors: codes.map((code) => ({ code, message: 'x' })) })
    for (const [body, registryCode] of [
      [errors('MANIFEST_UNKNOWN'), 'MANIFEST_UNKNOWN'],
      [errors('NAME_UNKNOWN'), undefined],
      [errors('MANIFEST_UNKNOWN', 'NAME_UNKNOWN'), undefined],
      [errors(), undefined],
      ['{}', undefined],
      ['404 page not found', undefined],
      ['', undefined],
    ] as const) {
      const { resolve } = await started((_, response) => response.writeHead(404).end(body))
      const { facts } = await expectCodeAsync('IMAGE_NOT_FOUND', resolve)
      expect(facts['registryCode'], body).to.equal(registryCode)
    }
  })

  it('does not go where it is redirected', async () => {
    const elsewhere = await startScriptedServer(scope, serve(BYTES))
    const { resolve } = await started((_, response) => response.writeHead(307, { location: elsewhere.url }).end())
    await expectCodeAsync('REGISTRY_REDIRECTED', resolve)
    expect(elsewhere.heard).to.deep.equal([])
  })

  it('takes a registry that is away for an outage', async () => {
    for (const [failure, resolve] of [
      ['NET_REFUSED', clientAt(`http://127.0.0.1:${await freePort()}`)],
      ['NET_DNS', clientAt('http://no-such-host.invalid')],
      ['NET_TIMEOUT', (await started(() => undefined)).resolve],
      ['NET_RESET', (await started((_, response) => response.socket?.resetAndDestroy())).resolve],
    ] as const) {
      expect((await expectCodeAsync('REGISTRY_UNAVAILABLE', resolve)).facts).to.include({ failure })
    }
  })

  it('asks for a token with the scope of the repository alone, as the account of the registry’s host', async () => {
    const hosts: string[] = []
    const CAROL = passwordSource(
      () => 'carol',
      () => 'not-a-secret',
    )
    const realm = await startScriptedServer(scope, (_, response) => response.end('{"access_token":"T"}'))
    const answer: Answer = (heard, response) => {
      if (heard.headers.authorization === 'Bearer T') serve(BYTES)(heard, response)
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm.url}/token",service="hub"` }).end()
    }
    const { resolve } = await started(answer, {
      tokenRealms: [`${realm.url}/token`],
      host: 'docker.io',
      credentials: {
        credentialsFor: (host) => {
          hosts.push(host)
          return CAROL.credentialsFor(host)
        },
      },
    })
    expect((await resolve('alpine:3.20')).sha256).to.equal(SHA256)
    expect(realm.heard.map(({ url }) => url)).to.deep.equal([
      '/token?account=carol&scope=repository%3Alibrary%2Falpine%3Apull&service=hub',
    ])
    expect(hosts).to.deep.equal(['docker.io'])
  })
})
