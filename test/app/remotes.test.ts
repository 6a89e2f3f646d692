import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { connectRegistries, connectTrustServers } from '../../src/app/remotes.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { parseImageReference } from '../../src/domain/image-reference.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'

const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: `sha256:${'a'.repeat(64)}`, size: 2 },
  layers: [],
})

describe('connections as they are configured', () => {
  let folder: string
  let server: Server
  let host: string
  let requests: IncomingMessage[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cs-remotes-'))
    requests = []
    server = createServer((request, response) => {
      requests.push(request)
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      } else {
        response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end(MANIFEST)
      }
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true })
  })

  function config(text: string) {
    const parsed = parseConfig(text)
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    return parsed.config
  }

  function secret(content: string, mode = 0o600): string {
    const path = join(folder, 'secret')
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }

  const withPassword = (path: string) =>
    config(
      `registries: [{ host: "${host}", url: "http://${host}", credentials: { kind: file, username: me, passwordFile: ${path} } }]`,
    )

  it('send the password of the file, and a new one as soon as the file has it', async () => {
    const registries = connectRegistries(withPassword(secret('first\n')).registries)
    try {
      await registries.resolve(parseImageReference(`${host}/a:1`))
      secret('second\n')
      await registries.resolve(parseImageReference(`${host}/a:1`))
    } finally {
      await registries.close()
    }
    const sent = requests.flatMap(({ headers }) => headers.authorization ?? []).map((text) => atob(text.slice(6)))
    expect([sent.at(0), sent.at(-1)]).to.deep.equal(['me:first', 'me:second'])
  })

  it('are refused at the start where a password can be read by others', () => {
    expectCode('SECRET_FILE_EXPOSED', () => connectRegistries(withPassword(secret('first\n', 0o644)).registries))
    expect(requests).to.deep.equal([])
  })

  it('are refused at the start where a file is missing', () => {
    const text = (name: string) =>
      `trustServers: [{ url: "https://notary.example.com", guns: ["*"], ${name}: ${join(folder, 'none')}${name === 'clientKeyFile' ? `, clientCertFile: ${secret('x')}` : ''} }]`
    expectCode('CONFIG_UNREADABLE', () => connectTrustServers(config(text('caFile')).trustServers))
    expectCode('SECRET_FILE_UNREADABLE', () => connectTrustServers(config(text('clientKeyFile')).trustServers))
  })

  it('are made to nobody who is not configured', async () => {
    const registries = connectRegistries(config('registries: [{ host: registry.example.com }]').registries)
    const servers = connectTrustServers(
      config(`trustServers: [{ url: "http://${host}", guns: ["registry.example.com/*"] }]`).trustServers,
    )
    try {
      await expectCodeAsync('REGISTRY_NOT_CONFIGURED', () => registries.resolve(parseImageReference(`${host}/a:1`)))
      await expectCodeAsync('NOTARY_NOT_CONFIGURED', () =>
        servers.read(parseGun('other.example.com/a'), 'root.json', 1),
      )
    } finally {
      await Promise.all([registries.close(), servers.close()])
    }
    expect(requests).to.deep.equal([])
  })

  it('go to the registry that an image names where none is configured, without credentials', async () => {
    const registries = connectRegistries(config('').registries)
    try {
      // This one wants credentials: it is asked once, over plain HTTP since it is on this machine, and gets none.
      await expectCodeAsync('REGISTRY_UNAUTHORIZED', () => registries.resolve(parseImageReference(`${host}/a:1`)))
    } finally {
      await registries.close()
    }
    expect(requests.map(({ headers }) => headers.authorization)).to.deep.equal([undefined])
  })

  it('keep to the limit on manifests', async () => {
    const text = `registries: [{ host: "${host}", url: "http://${host}", limits: { manifest: 1KiB }, credentials: { kind: file, username: me, passwordFile: ${secret('x')} } }]`
    const registries = connectRegistries(config(text).registries)
    const large = `${MANIFEST}${' '.repeat(1024)}`
    server.removeAllListeners('request').on('request', (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end(large)
    })
    try {
      await expectCodeAsync('MANIFEST_TOO_LARGE', () => registries.resolve(parseImageReference(`${host}/a:1`)))
    } finally {
      await registries.close()
    }
  })
})
