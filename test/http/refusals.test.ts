import { createConnection } from 'node:net'
import { DomainError } from '../../src/domain/errors.ts'
import { expect } from 'chai'
import { type Ask, expectProblem, type Fixture, startFixture, TOKEN } from './fixture.ts'

const submit: Ask = { method: 'POST', path: '/v1/signing-requests', body: { images: ['registry.example.com/a:1'] } }
const nested = (depth: number) => `{"images":${'['.repeat(depth)}${']'.repeat(depth)}}`

describe('what the HTTP layer refuses', () => {
  let fixture: Fixture

  beforeEach(async () => {
    fixture = await startFixture()
  })
  afterEach(async () => {
    await fixture.stop()
  })

  const table: readonly (readonly [name: string, status: number, code: string, ask: Ask])[] = [
    ['no token', 401, 'TOKEN_MISSING', { ...submit, token: null }],
    ['an empty Authorization header', 401, 'TOKEN_MISSING', { ...submit, token: null, headers: { authorization: '' } }],
    ['another scheme', 401, 'TOKEN_MISSING', { ...submit, token: null, headers: { authorization: 'Basic YTpi' } }],
    ['two tokens in one header', 401, 'TOKEN_MISSING', { ...submit, token: `${TOKEN} ${TOKEN}` }],
    ['a token of another form', 401, 'TOKEN_INVALID', { ...submit, token: 'cs_short' }],
    ['an unknown token', 401, 'TOKEN_INVALID', { ...submit, token: `cs_${'b'.repeat(43)}` }],
    ['a token with a character too many', 401, 'TOKEN_INVALID', { ...submit, token: `${TOKEN}a` }],
    ['an unknown address', 404, 'ROUTE_NOT_FOUND', { path: '/v1/nothing' }],
    ['a trailing slash', 404, 'ROUTE_NOT_FOUND', { path: '/v1/signing-requests/' }],
    ['another case', 404, 'ROUTE_NOT_FOUND', { path: '/V1/signing-requests' }],
    ['a repository name that is not encoded', 404, 'ROUTE_NOT_FOUND', { path: '/v1/repositories/a.example/b' }],
    ['a method that is not known here', 405, 'METHOD_NOT_ALLOWED', { method: 'PUT', path: '/v1/signing-requests' }],
    ['OPTIONS', 405, 'METHOD_NOT_ALLOWED', { method: 'OPTIONS', path: '/v1/signing-requests' }],
    ['an unknown query parameter', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?colour=red' }],
    ['a repeated query parameter', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?limit=1&limit=2' }],
    ['a query parameter named __proto__', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?__proto__=1' }],
    ['a limit of zero', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?limit=0' }],
    ['a limit too high', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?limit=201' }],
    ['a limit that is no number', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?limit=1e2' }],
    ['an unknown status', 400, 'QUERY_INVALID', { path: '/v1/signing-requests?status=lost' }],
    ['a wait without a unit', 400, 'QUERY_INVALID', { path: '/v1/signing-requests/req-1?wait=30' }],
    ['a wait below zero', 400, 'QUERY_INVALID', { path: '/v1/signing-requests/req-1?wait=-1s' }],
    ['an id that is none', 400, 'PARAMETER_INVALID', { path: '/v1/signing-requests/REQ%00' }],
    ['a path that is badly encoded', 400, 'PARAMETER_INVALID', { path: '/v1/signing-requests/%E0%A4%A' }],
    ['a repository name that is none', 422, 'GUN_INVALID', { path: '/v1/repositories/..%2F..%2Fetc' }],
    ['a list for a repository name that is none', 422, 'GUN_INVALID', { path: '/v1/signing-requests?gun=A%20B' }],
    ['a state of deliveries that is none', 400, 'QUERY_INVALID', { path: '/v1/webhooks/chat/deliveries?state=lost' }],
    ['a limit of deliveries too high', 400, 'QUERY_INVALID', { path: '/v1/webhooks/chat/deliveries?limit=201' }],
    ['an endpoint name that is none', 400, 'PARAMETER_INVALID', { path: '/v1/webhooks/..%2Fchat/deliveries' }],
    [
      'a delivery id that is none',
      400,
      'PARAMETER_INVALID',
      { method: 'POST', path: '/v1/webhooks/chat/deliveries/A%20B/redeliver' },
    ],
    ['no body', 415, 'CONTENT_TYPE_UNSUPPORTED', { method: 'POST', path: '/v1/signing-requests' }],
    ['a form', 415, 'CONTENT_TYPE_UNSUPPORTED', { ...submit, headers: { 'content-type': 'text/plain' } }],
    [
      'another charset',
      415,
      'CONTENT_TYPE_UNSUPPORTED',
      { ...submit, headers: { 'content-type': 'application/json; charset=latin1' } },
    ],
    ['a compressed body', 415, 'CONTENT_ENCODING_UNSUPPORTED', { ...submit, headers: { 'content-encoding': 'gzip' } }],
    ['a body where none belongs', 400, 'BODY_UNEXPECTED', { method: 'DELETE', path: '/v1/tokens/tok_2', body: {} }],
    ['an empty document', 400, 'BODY_MALFORMED', { ...submit, body: ' ' }],
    ['half a document', 400, 'BODY_MALFORMED', { ...submit, body: '{"images":[' }],
    ['two documents', 400, 'BODY_MALFORMED', { ...submit, body: '{}{}' }],
    ['a byte order mark', 400, 'BODY_MALFORMED', { ...submit, body: '\ufeff{}' }],
    [
      'a repeated name',
      400,
      'BODY_MALFORMED',
      { ...submit, body: '{"images":["a.example/b:1"],"images":["a.example/c:1"]}' },
    ],
    ['a repeated name, escaped', 400, 'BODY_MALFORMED', { ...submit, body: '{"kind":"sign","k\\u0069nd":"unsign"}' }],
    ['a fraction', 400, 'BODY_MALFORMED', { ...submit, body: '{"images":[1.5]}' }],
    ['half a character', 400, 'BODY_MALFORMED', { ...submit, body: '{"images":["\\ud800"]}' }],
    ['deep nesting', 400, 'BODY_MALFORMED', { ...submit, body: nested(17) }],
    ['very deep nesting', 400, 'BODY_MALFORMED', { ...submit, body: nested(100_000) }],
    ['a list in place of an object', 422, 'BODY_INVALID', { ...submit, body: [] }],
    ['null', 422, 'BODY_INVALID', { ...submit, body: 'null' }],
    ['an unknown member', 422, 'BODY_INVALID', { ...submit, body: { images: ['a:1'], digest: 'x' } }],
    [
      'a member named __proto__',
      422,
      'BODY_INVALID',
      { ...submit, body: '{"images":["a:1"],"__proto__":{"kind":"unsign"}}' },
    ],
    ['a member named constructor', 422, 'BODY_INVALID', { ...submit, body: '{"images":["a:1"],"constructor":1}' }],
    ['no image', 422, 'BODY_INVALID', { ...submit, body: { images: [] } }],
    ['too many images', 422, 'BODY_INVALID', { ...submit, body: { images: Array<string>(101).fill('a:1') } }],
    ['an image that is no text', 422, 'BODY_INVALID', { ...submit, body: { images: [7] } }],
    [
      'an image reference of 2,000 characters',
      422,
      'BODY_INVALID',
      { ...submit, body: { images: ['a'.repeat(2000)] } },
    ],
    [
      'a description of more than 1,000 characters',
      422,
      'BODY_INVALID',
      { ...submit, body: { images: ['a:1'], description: 'x'.repeat(1001) } },
    ],
    ['an unknown kind', 422, 'BODY_INVALID', { ...submit, body: { kind: 'erase', images: ['a:1'] } }],
    ['an empty idempotency key', 400, 'IDEMPOTENCY_KEY_INVALID', { ...submit, headers: { 'idempotency-key': '' } }],
    [
      'an idempotency key with blanks',
      400,
      'IDEMPOTENCY_KEY_INVALID',
      { ...submit, headers: { 'idempotency-key': 'a b' } },
    ],
    [
      'an idempotency key too long',
      400,
      'IDEMPOTENCY_KEY_INVALID',
      { ...submit, headers: { 'idempotency-key': 'a'.repeat(129) } },
    ],
    ['an address too long', 414, 'URL_TOO_LONG', { path: `/v1/signing-requests?cursor=${'a'.repeat(5000)}` }],
    [
      'too many headers',
      431,
      'HEADERS_TOO_LARGE',
      { ...submit, headers: Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`x-${i}`, '1'])) },
    ],
    ['headers too large', 431, 'HEADERS_TOO_LARGE', { ...submit, headers: { 'x-large': 'a'.repeat(20_000) } }],
    [
      'an unknown grant',
      422,
      'BODY_INVALID',
      { method: 'POST', path: '/v1/tokens', body: { name: 'x', grants: [{ grant: 'root', repositories: ['*'] }] } },
    ],
    [
      'a grant on nothing',
      422,
      'BODY_INVALID',
      { method: 'POST', path: '/v1/tokens', body: { name: 'x', grants: [{ grant: 'read', repositories: [] }] } },
    ],
    [
      'an expiry that is no date',
      422,
      'BODY_INVALID',
      {
        method: 'POST',
        path: '/v1/tokens',
        body: { name: 'x', grants: [{ grant: 'read', repositories: ['*'] }], expiresAt: 'soon' },
      },
    ],
    [
      'a root of another kind',
      422,
      'BODY_INVALID',
      { method: 'POST', path: '/v1/repositories', body: { gun: 'a.example/b', root: { kind: 'stolen' } } },
    ],
    [
      'an offline root without its certificate',
      422,
      'BODY_INVALID',
      { method: 'POST', path: '/v1/repositories', body: { gun: 'a.example/b', root: { kind: 'offline' } } },
    ],
    [
      'a new repository with a bad name',
      422,
      'GUN_INVALID',
      { method: 'POST', path: '/v1/repositories', body: { gun: 'NO', root: { kind: 'online' } } },
    ],
    [
      'a signature that is not base64',
      422,
      'BODY_INVALID',
      {
        method: 'POST',
        path: '/v1/repositories/a.example%2Fb/root-signatures',
        body: { signatures: [{ keyId: 'a'.repeat(64), method: 'ecdsa', signature: '%%%' }] },
      },
    ],
    ['no image to inspect', 400, 'QUERY_INVALID', { path: '/v1/inspections' }],
  ]

  for (const [name, status, code, ask] of table) {
    it(`${name}: ${status} ${code}`, async () => {
      const answer = await fixture.ask(ask)
      expectProblem(answer, status, code)
      expect(fixture.calls).to.deep.equal([])
    })
  }

  it('names the methods of an address', async () => {
    const answer = await fixture.ask({ method: 'DELETE', path: '/v1/signing-requests' })
    expectProblem(answer, 405, 'METHOD_NOT_ALLOWED')
    expect(answer.headers['allow']).to.equal('GET, HEAD, POST')
  })

  it('challenges whoever has no token, and says which error where one was sent', async () => {
    const without = await fixture.ask({ ...submit, token: null })
    expect(without.headers['www-authenticate']).to.equal('Bearer realm="countersign"')
    const wrong = await fixture.ask({ ...submit, token: 'cs_x' })
    expect(wrong.headers['www-authenticate']).to.include('error="invalid_token"')
  })

  it('names the members that are wrong, and never their values', async () => {
    const answer = await fixture.ask({ ...submit, body: { images: ['a:1', 7], secret: 'hunter2' } })
    const problem = expectProblem(answer, 422, 'BODY_INVALID')
    expect(problem.errors?.map(({ path }) => path)).to.have.members(['images[1]', 'secret'])
    expect(answer.text).not.to.include('hunter2')
  })

  it('refuses a body that is announced too large without reading it', async () => {
    const answer = await fixture.ask({ ...submit, body: `{"images":["${'a'.repeat(1024 * 1024)}"]}` })
    const problem = expectProblem(answer, 413, 'BODY_TOO_LARGE')
    expect(problem.facts?.['maxBytes']).to.equal(1024 * 1024)
    expect(fixture.calls).to.deep.equal([])
  })

  it('asks who is there before it reads the body', async () => {
    const announced = 'Content-Type: application/json\r\nContent-Length: 1000000'
    const text = await raw(fixture.url, `POST /v1/signing-requests HTTP/1.1\r\nHost: x\r\n${announced}\r\n\r\n{`)
    expect(text).to.match(/^HTTP\/1\.1 401 /)
    expect(text).to.match(/connection: close/i)
  })

  it('refuses a header that stands twice', async () => {
    const text = await raw(
      fixture.url,
      `GET /v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`,
    )
    expect(text).to.match(/^HTTP\/1\.1 400 /)
    expect(text).to.include('"code":"HEADER_REPEATED"')
    expect(fixture.calls).to.deep.equal([])
  })

  for (const [name, bytes] of [
    ['what is not HTTP', 'hello\r\n\r\n'],
    [
      'length and chunks together',
      'POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'two different lengths',
      'POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}',
    ],
    ['what names no host', 'GET /livez HTTP/1.1\r\n\r\n'],
    ['what takes it for a proxy', 'CONNECT elsewhere.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a bare line feed in a header', 'GET /livez HTTP/1.1\nHost: x\r\nX: a\rb\r\n\r\n'],
  ] as const) {
    it(`answers ${name} on the socket and closes it`, async () => {
      const text = await raw(fixture.url, bytes)
      expect(text).to.match(/^HTTP\/1\.1 400 /)
      expect(text).to.include('application/problem+json')
      expect(text).to.include('"code":"REQUEST_MALFORMED"')
      expect(fixture.calls).to.deep.equal([])
    })
  }

  for (const header of ['Host: >x', 'Host: a b', 'Host: x\r\nExpect: the impossible']) {
    it(`answers in spite of ${JSON.stringify(header)}`, async () => {
      const text = await raw(fixture.url, `GET /livez?x=1 HTTP/1.1\r\n${header}\r\nConnection: close\r\n\r\n`)
      expect(text).to.match(/^HTTP\/1\.1 400 /)
      expect(text).to.include('"code":"QUERY_INVALID"')
    })
  }

  it('cuts off a chunked body that is too large', async () => {
    const chunk = 'a'.repeat(64 * 1024)
    const chunks = `${chunk.length.toString(16)}\r\n${chunk}\r\n`.repeat(17)
    const text = await raw(
      fixture.url,
      `POST /v1/signing-requests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    )
    expect(text).to.match(/^HTTP\/1\.1 413 /)
    expect(text).to.include('"code":"BODY_TOO_LARGE"')
    expect(fixture.calls).to.deep.equal([])
  })
})

describe('what the services refuse', () => {
  for (const [code, status, retryAfter] of [
    ['NOT_PERMITTED', 403, undefined],
    ['REQUEST_NOT_FOUND', 404, undefined],
    ['IDEMPOTENCY_KEY_REUSED', 422, undefined],
    ['IMAGE_REFERENCE_INVALID', 422, undefined],
  ] as const) {
    it(`${code} is answered with ${status}, message and facts`, async () => {
      const fixture = await startFixture({
        services: { requests: { submit: () => Promise.reject(new DomainError(code, 'Said so.', { gun: 'a/b' })) } },
      })
      try {
        const answer = await fixture.ask(submit)
        const problem = expectProblem(answer, status, code)
        expect(problem.detail).to.equal('Said so.')
        expect(problem.facts).to.deep.equal({ gun: 'a/b' })
        expect(answer.headers['retry-after']).to.equal(retryAfter)
      } finally {
        await fixture.stop()
      }
    })
  }
})

/** Sends bytes as they are and reads until the server closes. */
function raw(url: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(Number(new URL(url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (text.includes('}')) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      resolve(text)
    })
    socket.write(bytes)
  })
}
