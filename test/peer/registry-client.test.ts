// The client and a real docker-registry: open, with a password file, and with tokens.
import { expect } from 'chai'
import { parseImageReference } from '../../src/domain/image-reference.ts'
import { ANONYMOUS, passwordSource, type CredentialSource } from '../../src/net/credentials.ts'
import { RegistryClient } from '../../src/registry/client.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { HTPASSWD_ACCOUNT, startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { basicAuthorization, ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startTokenServer } from '../support/peers/token-server.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const ca = createTestCa()

describe('RegistryClient at a real registry', function () {
  this.timeout(30_000)
  const scope = new Scope()

  before(function () {
    requirePeers(this, 'registry')
  })
  after(() => scope.close())

  interface Access {
    readonly credentials?: CredentialSource
    readonly tokenRealms?: readonly string[]
    readonly maxManifestBytes?: number
  }

  function clientOf(registry: DockerRegistry, access: Access = {}): RegistryClient {
    const client = new RegistryClient({
      url: registry.url,
      host: registry.host,
      maxManifestBytes: access.maxManifestBytes ?? 4 * 1024 ** 2,
      tls: registry.ca === undefined ? {} : { caPem: registry.ca.certificatePem },
      timeouts: { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 },
      tokenRealms: access.tokenRealms ?? [],
      credentials: access.credentials ?? ANONYMOUS,
    })
    scope.add(() => client.close())
    return client
  }

  function maker(registry: DockerRegistry, login?: { username: string; password: string }): ImageMaker {
    const made = new ImageMaker(registry, login === undefined ? undefined : basicAuthorization(login))
    scope.add(() => made.close())
    return made
  }

  function password({ username, password: secret }: { username: string; password: string }): CredentialSource {
    return passwordSource(
      () => username,
      () => secret,
    )
  }

  async function expectResolved(client: RegistryClient, image: PushedImage, platforms: readonly string[] = []) {
    const { sha256, length, mediaType } = image
    const expected = { sha256, length, mediaType, platforms }
    expect(await client.resolve(parseImageReference(image.reference))).to.deep.equal(expected)
    expect(await client.resolve(parseImageReference(`${image.gun}@sha256:${sha256}`))).to.deep.equal(expected)
  }

  describe('that is open', () => {
    let registry: DockerRegistry
    let images: ImageMaker

    before(async () => {
      registry = await startDockerRegistry(scope)
      images = maker(registry)
    })

    for (const flavour of ['oci', 'docker'] as const) {
      it(`resolves a manifest and an index (${flavour}) to their raw bytes, by tag and by digest`, async () => {
        const client = clientOf(registry)
        await expectResolved(client, await images.pushManifest('team/app', `one-${flavour}`, { flavour }))
        const index = await images.pushIndex('team/app', `many-${flavour}`, { flavour })
        await expectResolved(client, index, ['linux/amd64', 'linux/arm64'])
      })
    }

    it('follows a tag that moves', async () => {
      const client = clientOf(registry)
      await expectResolved(client, await images.pushManifest('team/app', 'moving'))
      await expectResolved(client, await images.pushManifest('team/app', 'moving'))
    })

    it('finds no image that is not there', async () => {
      const client = clientOf(registry)
      const { gun } = await images.pushManifest('team/app', 'there')
      for (const reference of [
        `${gun}:not-there`,
        `${gun}@sha256:${'0'.repeat(64)}`,
        `${registry.host}/no/such/repository:v1`,
      ]) {
        await expectCodeAsync('IMAGE_NOT_FOUND', () => client.resolve(parseImageReference(reference)))
      }
    })

    it('reads no manifest over the limit', async () => {
      const image = await images.pushManifest('team/app', 'limited')
      await expectResolved(clientOf(registry, { maxManifestBytes: image.length }), image)
      const narrow = clientOf(registry, { maxManifestBytes: image.length - 1 })
      await expectCodeAsync('MANIFEST_TOO_LARGE', () => narrow.resolve(parseImageReference(image.reference)))
    })
  })

  it('answers the challenge of a password file, over TLS with a private authority', async () => {
    const registry = await startDockerRegistry(scope, { ca, auth: 'htpasswd' })
    const image = await maker(registry, HTPASSWD_ACCOUNT).pushManifest('team/app', 'v1')
    await expectResolved(clientOf(registry, { credentials: password(HTPASSWD_ACCOUNT) }), image)
    const reference = parseImageReference(image.reference)
    await expectCodeAsync('REGISTRY_UNAUTHORIZED', () => clientOf(registry).resolve(reference))
    const wrong = clientOf(registry, { credentials: password({ ...HTPASSWD_ACCOUNT, password: 'wrong' }) })
    await expectCodeAsync('REGISTRY_UNAUTHORIZED', () => wrong.resolve(reference))
  })

  it('gets a token for this repository alone, once, from the configured realm alone', async () => {
    const tokens = await startTokenServer(scope, {
      ca,
      accounts: {
        reader: { password: 'test-only', actions: (name) => (name === 'team/app' ? ['pull'] : []) },
      },
    })
    const registry = await startDockerRegistry(scope, { ca, auth: tokens })
    const credentials = password({ username: 'reader', password: 'test-only' })
    const client = clientOf(registry, { credentials, tokenRealms: [tokens.realm] })
    const image = (path: string) => parseImageReference(`${registry.host}/${path}:v1`)
    // Let in, and told that there is no such tag.
    await expectCodeAsync('IMAGE_NOT_FOUND', () => client.resolve(image('team/app')))
    await expectCodeAsync('IMAGE_NOT_FOUND', () => client.resolve(image('team/app')))
    expect(tokens.requests.map(({ account, scopes }) => [account, ...scopes])).to.deep.equal([
      ['reader', 'repository:team/app:pull'],
    ])
    await expectCodeAsync('REGISTRY_UNAUTHORIZED', () => client.resolve(image('team/other')))
    const before = tokens.requests.length
    const careful = clientOf(registry, { credentials })
    await expectCodeAsync('TOKEN_REALM_NOT_ALLOWED', () => careful.resolve(image('team/app')))
    expect(tokens.requests.length).to.equal(before)
  })
})
