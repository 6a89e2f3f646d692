// Issuers that misbehave, and somebody in their place.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ServerResponse } from 'node:http'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { discoveredKeys, keysAt, keysInFile } from '../../src/identity/key-loaders.ts'
import { HttpClient } from '../../src/net/http-client.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { OidcIssuer } from '../support/oidc-issuer.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer } from '../support/scripted-server.ts'

const TIMEOUTS = { connectMs: 1_000, headersMs: 1_000, totalMs: 2_000 }
const KEYS = '{"keys":[]}'

describe('where the keys of an issuer come from', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  function connect(url: string): HttpClient {
    const client = new HttpClient(new URL(url).origin, {}, TIMEOUTS)
    scope.add(() => client.close())
    return client
  }

  /** The discovery document of `issuer`, or of the server itself, and then what `keys` answers. */
  async function scripted(o: { issuer?: string; address?: string; keys?: Answer }) {
    const server = await startScriptedServer(scope, (heard, response) => {
      if (!heard.url.endsWith('/.well-known/openid-configuration')) {
        if (o.keys === undefined) response.end(KEYS)
        else o.keys(heard, response)
        return
      }
      response.end(JSON.stringify({ issuer: o.issuer ?? server.url, jwks_uri: o.address ?? `${server.url}/keys?x=1` }))
    })
    return server
  }
  const load = (url: string, issuer = url) => discoveredKeys(connect(url), issuer)()

  it('a real provider says where', async () => {
    const issuer = await OidcIssuer.start(scope)
    expect(Buffer.from(await load(issuer.url)).toString()).to.include(issuer.keys.RS256.id)
  })

  it('an issuer with a path, with or without a slash at its end, has its document below it', async () => {
    for (const path of ['/realms/x', '/realms/x/']) {
      const server = await startScriptedServer(scope, (heard, response) => {
        const isDocument = heard.url === '/realms/x/.well-known/openid-configuration'
        response.end(isDocument ? JSON.stringify({ issuer: server.url + path, jwks_uri: `${server.url}/k` }) : KEYS)
      })
      expect(Buffer.from(await load(server.url, server.url + path)).toString()).to.equal(KEYS)
    }
  })

  const invalid: Readonly<Record<string, () => Promise<string>>> = {
    'a discovery document of another issuer': async () => (await scripted({ issuer: 'https://evil.example.com' })).url,
    'a discovery document of the same issuer with a slash': async () => {
      const server = await startScriptedServer(scope, (_, response) => {
        response.end(JSON.stringify({ issuer: `${server.url}/`, jwks_uri: `${server.url}/keys` }))
      })
      return server.url
    },
    'keys on another host': async () => (await scripted({ address: 'http://169.254.169.254/keys' })).url,
    'keys in a file': async () => (await scripted({ address: 'file:///etc/passwd' })).url,
    'keys that are elsewhere (redirect)': async () =>
      (await scripted({ keys: (_, response) => response.writeHead(302, { location: '/other' }).end() })).url,
    'no keys': async () => (await scripted({ keys: (_, response) => response.writeHead(404).end() })).url,
    'keys without end': async () =>
      (
        await scripted({
          keys: (_, response) => {
            endless(response)
          },
        })
      ).url,
    'keys of an announced gigabyte': async () =>
      (
        await scripted({
          keys: (_, response) => {
            response.writeHead(200, { 'content-length': '1000000000' }).flushHeaders()
          },
        })
      ).url,
    'compressed keys': async () =>
      (await scripted({ keys: (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x') })).url,
  }
  for (const [name, start] of Object.entries(invalid)) {
    it(`${name}: OIDC_PROVIDER_INVALID`, async () => {
      const url = await start()
      await expectCodeAsync('OIDC_PROVIDER_INVALID', () => load(url))
    })
  }

  const unreachable: Readonly<Record<string, () => Promise<string>>> = {
    'nobody there': async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as AddressInfo
      await new Promise((resolve) => server.close(resolve))
      return `http://127.0.0.1:${port}`
    },
    'a server in trouble': async () =>
      (await startScriptedServer(scope, (_, response) => response.writeHead(503).end())).url,
    'too many questions': async () =>
      (await startScriptedServer(scope, (_, response) => response.writeHead(429).end())).url,
    'no answer': async () => (await startScriptedServer(scope, () => undefined)).url,
    'a connection that breaks': async () =>
      (await startScriptedServer(scope, (_, response) => response.socket?.destroy())).url,
  }
  for (const [name, start] of Object.entries(unreachable)) {
    it(`${name}: OIDC_PROVIDER_UNREACHABLE`, async () => {
      const url = await start()
      await expectCodeAsync('OIDC_PROVIDER_UNREACHABLE', () => load(url))
    })
  }

  it('an address of the configuration is asked as it stands', async () => {
    const server = await startScriptedServer(scope, (heard, response) => response.end(heard.url))
    const url = `${server.url}/oauth/discovery/keys`
    expect(Buffer.from(await keysAt(connect(url), url)()).toString()).to.equal('/oauth/discovery/keys')
  })

  it('a file is read anew each time, and its loss is a passing failure', async () => {
    const file = join(scope.folder(), 'keys.json')
    writeFileSync(file, KEYS)
    expect(Buffer.from(await keysInFile(file)()).toString()).to.equal(KEYS)
    await expectCodeAsync('OIDC_PROVIDER_UNREACHABLE', keysInFile(`${file}.gone`))
  })
})

function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, ' ')
  const more = (): void => {
    if (response.destroyed) return
    response.write(chunk, () => {
      setImmediate(more)
    })
  }
  more()
}
