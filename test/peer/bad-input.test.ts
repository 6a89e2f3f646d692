// Bad input at the real daemon: a stable code in a problem document, nothing stored, nobody asked. The long table of what the HTTP layer
// refuses is in test/http/refusals.test.ts; here one of each kind goes all the way, and the store is looked at afterwards.
import { writeFileSync } from 'node:fs'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startScriptedRegistry, type ScriptedRegistry } from '../support/peers/scripted-registry.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

interface Ask {
  readonly method?: string
  readonly path?: string
  /** Names and values in turn, as they go over the wire, after Authorization and Content-Type. */
  readonly headers?: readonly string[]
  readonly type?: string
  readonly body?: string | Buffer
}

const DIGEST = `sha256:${'a'.repeat(64)}`

describe('bad input at the daemon', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let registry: ScriptedRegistry
  let countersign: Countersign
  let gun: string
  let token: string

  before(async function () {
    requirePeers(this, 'notary-server')
    registry = await startScriptedRegistry(scope)
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    countersign = await Countersign.start(scope, { notary, registry })
    gun = `${registry.host}/team/app`
    await countersign.must(['repo', 'init', gun])
    token = readFileSync(join(countersign.folder, 'cli/admin.token'), 'utf8').trim()
  })
  after(() => scope.close())

  function ask(o: Ask): Promise<{ status: number; type: string; code: unknown; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = ['Host', new URL(countersign.url).host, 'Authorization', `Bearer ${token}`]
      if (o.body !== undefined)
        headers.push('Content-Type', o.type ?? 'application/json', 'Transfer-Encoding', 'chunked')
      const sent = request(
        countersign.url + (o.path ?? '/v1/signing-requests'),
        { method: o.method ?? 'POST', headers: [...headers, ...(o.headers ?? [])], agent: false },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            const { code } = JSON.parse(text) as { code?: unknown }
            resolve({ status: answer.statusCode ?? 0, type: answer.headers['content-type'] ?? '', code, text })
          })
        },
      )
      sent.on('error', reject)
      sent.end(o.body)
    })
  }

  async function stored(): Promise<string> {
    const lists = [
      ['request', 'list'],
      ['repo', 'list'],
      ['token', 'list'],
    ]
    const texts = []
    for (const list of lists) texts.push((await countersign.must([...list, '--json'])).stdout)
    return texts.join('\n')
  }

  function images(...list: readonly string[]): string {
    return JSON.stringify({ images: list })
  }

  /** Made late, since the repository is known only then. */
  function cases(): readonly (readonly [name: string, code: string, ask: Ask])[] {
    return [
      ['an empty reference', 'BODY_INVALID', { body: images('') }],
      ['a reference in upper case', 'IMAGE_REFERENCE_INVALID', { body: images(`${gun.toUpperCase()}/X:1`) }],
      ['a reference that climbs', 'IMAGE_REFERENCE_INVALID', { body: images(`${registry.host}/../../etc/passwd:1`) }],
      ['a reference with a newline', 'IMAGE_REFERENCE_INVALID', { body: images(`${gun}:1\n`) }],
      ['a reference with a scheme', 'IMAGE_REFERENCE_INVALID', { body: images(`https://${gun}:1`) }],
      ['a reference with half a digest', 'IMAGE_REFERENCE_INVALID', { body: images(`${gun}:1@sha256:abc`) }],
      ['another kind of digest', 'IMAGE_DIGEST_UNSUPPORTED', { body: images(`${gun}:1@sha512:${'a'.repeat(128)}`) }],
      ['a reference without a tag', 'IMAGE_TAG_MISSING', { body: images(gun) }],
      ['a reference with a digest alone', 'IMAGE_TAG_MISSING', { body: images(`${gun}@${DIGEST}`) }],
      ['one tag twice', 'REQUEST_IMAGE_REPEATED', { body: images(`${gun}:1`, `${gun}:1@${DIGEST}`) }],
      ['half a document', 'BODY_MALFORMED', { body: '{"images":[' }],
      ['a name that stands twice', 'BODY_MALFORMED', { body: `{"images":["${gun}:1"],"images":["${gun}:2"]}` }],
      ['bytes that are not UTF-8', 'BODY_MALFORMED', { body: Buffer.from('7b22ff223a317d', 'hex') }],
      ['an unknown member', 'BODY_INVALID', { body: `{"images":["${gun}:1"],"force":true}` }],
      ['a member named __proto__', 'BODY_INVALID', { body: `{"images":["${gun}:1"],"__proto__":{"kind":"unsign"}}` }],
      ['too many images', 'BODY_INVALID', { body: images(...Array.from({ length: 101 }, (_, i) => `${gun}:${i}`)) }],
      ['a body over the limit', 'BODY_TOO_LARGE', { body: `"${'x'.repeat(1024 ** 2)}"` }],
      ['another content type', 'CONTENT_TYPE_UNSUPPORTED', { body: images(`${gun}:1`), type: 'text/plain' }],
      [
        'a body that is compressed',
        'CONTENT_ENCODING_UNSUPPORTED',
        { body: images(`${gun}:1`), headers: ['Content-Encoding', 'gzip'] },
      ],
      [
        'an idempotency key with a space',
        'IDEMPOTENCY_KEY_INVALID',
        { body: images(`${gun}:1`), headers: ['Idempotency-Key', 'a b'] },
      ],
      [
        'two idempotency keys',
        'HEADER_REPEATED',
        { body: images(`${gun}:1`), headers: ['Idempotency-Key', 'a', 'Idempotency-Key', 'b'] },
      ],
      [
        'a second Authorization',
        'HEADER_REPEATED',
        { body: images(`${gun}:1`), headers: ['Authorization', 'Bearer x'] },
      ],
      [
        'headers too large',
        'HEADERS_TOO_LARGE',
        { body: images(`${gun}:1`), headers: ['X-Large', 'x'.repeat(20_000)] },
      ],
      ['a wait that is none', 'QUERY_INVALID', { path: '/v1/signing-requests?wait=soon', body: images(`${gun}:1`) }],
      [
        'a repository that is none',
        'GUN_INVALID',
        { path: '/v1/repositories', body: '{"gun":"a b","root":{"kind":"online"}}' },
      ],
      [
        'a root certificate that is none',
        'CERTIFICATE_PEM',
        {
          path: '/v1/repositories',
          body: JSON.stringify({
            gun: `${registry.host}/team/new`,
            root: { kind: 'offline', certificatePem: 'no PEM' },
          }),
        },
      ],
      [
        'a grant on a pattern that is none',
        'GRANT_INVALID',
        { path: '/v1/tokens', body: '{"name":"x","grants":[{"grant":"read","repositories":["a b"]}]}' },
      ],
      [
        'a token’s expiry that is none',
        'BODY_INVALID',
        { path: '/v1/tokens', body: '{"name":"x","grants":[],"expiresAt":"soon"}' },
      ],
      ['a method that is not known', 'METHOD_NOT_ALLOWED', { method: 'PUT', body: '{}' }],
      ['an address that is not known', 'ROUTE_NOT_FOUND', { path: '/v1/keys', body: '{}' }],
    ]
  }

  it('each has its code, and the store and both servers are as before', async () => {
    const before = await stored()
    const asked = registry.requests.length
    for (const [name, code, request] of cases()) {
      const answer = await ask(request)
      expect(answer.code, `${name}: ${answer.text}`).to.equal(code)
      expect(answer.type, name).to.equal('application/problem+json')
      expect(answer.status, name).to.be.within(400, 499)
    }
    expect(await stored()).to.equal(before)
    expect(registry.requests.length).to.equal(asked)
    // While it starts, it is not ready, and says so.
    const lines = countersign.logs().split('\n')
    expect(lines.filter((line) => /"status":5\d\d/.test(line) && !line.includes('"/readyz"'))).to.deep.equal([])
  })

  for (const [name, text, code] of [
    ['an unknown setting', 'colour: red', 'CONFIG_INVALID'],
    ['a setting of another kind', 'http: { listen: 8750 }', 'CONFIG_INVALID'],
    ['a setting that stands twice', 'log: {}\nlog: {}', 'CONFIG_INVALID'],
    ['no YAML', 'http: [', 'CONFIG_INVALID'],
    ['a secret in place of a file', 'registries: [{ host: r.test, credentials: { password: x } }]', 'CONFIG_INVALID'],
    ['an open address without TLS', 'http: { listen: "0.0.0.0:8750" }', 'CONFIG_INVALID'],
  ] as const) {
    it(`a configuration with ${name} is refused by the check and by serve, with the path`, async () => {
      const file = join(scope.folder('config'), 'countersign.yaml')
      writeFileSync(file, text)
      for (const command of [['config', 'check'], ['serve']]) {
        const { status, stdout, text: said } = await countersign.run([...command, '--config', file, '--json'])
        expect(status, said).to.equal(1)
        if (command[0] === 'config') {
          const problem = JSON.parse(stdout) as { code: string; errors: readonly { path: string }[] }
          expect(problem.code).to.equal(code)
          expect(problem.errors).not.to.deep.equal([])
        } else expect(said).to.contain(code)
      }
    })
  }
})
