// The client against registries that misbehave on purpose. What a real registry does is told by test/peer/registry-client.test.ts.
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { parseImageReference } from '../../src/domain/image-reference.ts'
import { ANONYMOUS, passwordSource } from '../../src/net/credentials.ts'
import { RegistryClient, type RegistryOptions } from '../../src/registry/client.ts'
import { MANIFEST_TYPES } from '../../src/registry/manifest.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { freePort } from '../support/free-port.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer } from '../support/scripted-server.ts'

const HOST = 'registry.test'
const MAX_BYTES = 1_000
// White space that no re-encoding would keep: the digest is of these bytes.
const BYTES = Buffer.from('{\n  "schemaVersion": 2,\n  "config": {},\n  "layers": []\n}\n')
const SHA256 = createHash('sha256').update(BYTES).digest('hex')
const OTHER = '0123456789abcdef'.repeat(4)
const TAGGED = parseImageReference(`${HOST}/team/app:1.4`)
const BY_DIGEST = parseImageReference(`${HOST}/team/app@sha256:${SHA256}`)

function manifest(headers: Record<string, string> = {}, body: Buffer = BYTES): Answer {
  return (_, response) => response.writeHead(200, { 'content-type': MANIFEST_TYPES.ociManifest, ...headers }).end(body)
}

describe('RegistryClient', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  function clientAt(url: string, options: Partial<RegistryOptions> = {}): RegistryClient {
    const client = new RegistryClient({
      url,
      host: HOST,
      maxManifestBytes: MAX_BYTES,
      tls: {},
      timeouts: { connectMs: 2000, headersMs: 1000, totalMs: 3000 },
      tokenRealms: [],
      credentials: ANONYMOUS,
      ...options,
    })
    scope.add(() => client.close())
    return client
  }

  async function against(answer: Answer) {
    const server = await startScriptedServer(scope, answer)
    return { server, client: clientAt(server.url) }
  }

  it('hashes and measures the raw bytes that a tag leads to', async () => {
    const { server, client } = await against(manifest())
    expect(await client.resolve(TAGGED)).to.deep.equal({
      sha256: SHA256,
      length: BYTES.byteLength,
      mediaType: MANIFEST_TYPES.ociManifest,
      platforms: [],
    })
    expect(server.heard.map((one) => `${one.method} ${one.url}`)).to.deep.equal(['GET /v2/team/app/manifests/1.4'])
    const accepted = server.heard[0]?.headers.accept?.split(', ')
    expect(accepted).to.have.members(Object.values(MANIFEST_TYPES))
  })

  it('asks by digest where there is no tag', async () => {
    const { server, client } = await against(manifest())
    expect((await client.resolve(BY_DIGEST)).sha256).to.equal(SHA256)
    expect(server.heard[0]?.url).to.equal(`/v2/team/app/manifests/sha256:${SHA256}`)
  })

  it('tells what the tag leads to now, where the reference names another digest too', async () => {
    const { client } = await against(manifest())
    const both = parseImageReference(`${HOST}/team/app:1.4@sha256:${OTHER}`)
    expect((await client.resolve(both)).sha256).to.equal(SHA256)
  })

  it('refuses bytes that have not the digest asked for', async () => {
    const { client } = await against(manifest())
    const asked = parseImageReference(`${HOST}/team/app@sha256:${OTHER}`)
    await expectCodeAsync('REGISTRY_DIGEST_MISMATCH', () => client.resolve(asked))
  })

  it('refuses bytes that have not the digest in the header, and takes those that have', async () => {
    const honest = await against(manifest({ 'docker-content-digest': `sha256:${SHA256}` }))
    expect((await honest.client.resolve(TAGGED)).sha256).to.equal(SHA256)
    const lying = await against(manifest({ 'docker-content-digest': `sha256:${OTHER}` }))
    await expectCodeAsync('REGISTRY_DIGEST_MISMATCH', () => lying.client.resolve(TAGGED))
  })

  it('takes a manifest of exactly the limit and none above it, announced or not', async () => {
    const full = Buffer.concat([BYTES, Buffer.alloc(MAX_BYTES - BYTES.byteLength, ' ')])
    const exact = await against(manifest({}, full))
    expect((await exact.client.resolve(TAGGED)).length).to.equal(MAX_BYTES)
    const announced = await against(manifest({}, Buffer.concat([full, Buffer.from(' ')])))
    await expectCodeAsync('MANIFEST_TOO_LARGE', () => announced.client.resolve(TAGGED))
    const endless = await against((_, response) => {
      response.writeHead(200, { 'content-type': MANIFEST_TYPES.ociManifest })
      response.write(full)
      response.write(' ')
    })
    await expectCodeAsync('MANIFEST_TOO_LARGE', () => endless.client.resolve(TAGGED))
  })

  it('refuses a manifest that was cut short', async () => {
    const { client } = await against((_, response) => {
      response.writeHead(200, { 'content-type': MANIFEST_TYPES.ociManifest, 'content-length': BYTES.byteLength })
      response.write(BYTES.subarray(0, 20))
      setTimeout(() => response.socket?.destroy(), 20)
    })
    await expectCodeAsync('REGISTRY_UNAVAILABLE', () => client.resolve(TAGGED))
  })

  const refusals: readonly (readonly [number, string])[] = [
    [404, 'IMAGE_NOT_FOUND'],
    [401, 'REGISTRY_UNAUTHORIZED'],
    [403, 'REGISTRY_UNAUTHORIZED'],
    [302, 'REGISTRY_REDIRECTED'],
    [307, 'REGISTRY_REDIRECTED'],
    [429, 'REGISTRY_UNAVAILABLE'],
    [500, 'REGISTRY_UNAVAILABLE'],
    [503, 'REGISTRY_UNAVAILABLE'],
    [204, 'REGISTRY_RESPONSE_MALFORMED'],
    [206, 'REGISTRY_RESPONSE_MALFORMED'],
    [400, 'REGISTRY_RESPONSE_MALFORMED'],
  ]
  for (const [status, code] of refusals) {
    it(`answers ${status} with ${code}`, async () => {
      const { client } = await against((_, response) => response.writeHead(status).end())
      await expectCodeAsync(code, () => client.resolve(TAGGED))
    })
  }

  it('carries no credentials across a redirect, and does not follow it', async () => {
    const thief = await startScriptedServer(scope, manifest())
    const server = await startScriptedServer(scope, ({ headers }, response) =>
      headers.authorization === undefined
        ? response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end()
        : response.writeHead(307, { location: `${thief.url}/v2/team/app/manifests/1.4` }).end(),
    )
    const credentials = passwordSource(
      () => 'carol',
      () => 'test-only',
    )
    const client = clientAt(server.url, { credentials })
    await expectCodeAsync('REGISTRY_REDIRECTED', () => client.resolve(TAGGED))
    expect(server.heard.at(-1)?.headers.authorization).to.match(/^Basic /)
    expect(thief.heard).to.deep.equal([])
  })

  it('shows credentials to no realm but those configured, and asks it for this repository alone', async () => {
    const realm = await startScriptedServer(scope, (_, response) => response.end('{"token":"T"}'))
    let named = ''
    const server = await startScriptedServer(scope, (heard, response) => {
      if (heard.headers.authorization === 'Bearer T') {
        manifest()(heard, response)
        return
      }
      const challenge = `Bearer realm="${named}",service="s",scope="repository:*:push"`
      response.writeHead(401, { 'www-authenticate': challenge }).end()
    })
    const credentials = passwordSource(
      () => 'carol',
      () => 'test-only',
    )
    const client = clientAt(server.url, { credentials, tokenRealms: [`${realm.url}/token`] })
    for (const foreign of [
      `${realm.url}/tokens`,
      `${realm.url}/`,
      `${realm.url}/token/../admin`,
      realm.url.replace('127.0.0.1', 'localhost') + '/token',
    ]) {
      named = foreign
      await expectCodeAsync('TOKEN_REALM_NOT_ALLOWED', () => client.resolve(TAGGED))
    }
    expect(realm.heard).to.deep.equal([])
    named = `${realm.url}/token`
    expect((await client.resolve(TAGGED)).sha256).to.equal(SHA256)
    const asked = new URL(realm.heard[0]?.url ?? '', realm.url)
    expect(asked.searchParams.getAll('scope')).to.deep.equal(['repository:team/app:pull'])
  })

  it('is unavailable where nobody listens', async () => {
    const client = clientAt(`http://127.0.0.1:${await freePort()}`)
    await expectCodeAsync('REGISTRY_UNAVAILABLE', () => client.resolve(TAGGED))
  })
})
