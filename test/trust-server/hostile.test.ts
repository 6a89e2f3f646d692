// Clients that mean harm: every one gets an answer or loses its connection, memory stays bounded, and others are served meanwhile.
import { connect, type Socket } from 'node:net'
import { ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { encodeMultipart } from '../../src/notary/multipart.ts'
import type { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import {
  BOUNDARY,
  filesOf,
  newRepository,
  startTestTrustServer,
  testConfig,
  TOKEN,
  type TestTrustServer,
} from '../support/trust-server/server.ts'

const LIMITS = `limits: { fileBytes: '256KiB', updateBytes: '1MiB', parts: 16, memory: '2MiB' }`
const GUN = 'registry.example.com/hostile'
const AUTHORIZATION = `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`

describe('hostile traffic', () => {
  const scope = new Scope()
  let server: TestTrustServer
  let builder: RepositoryBuilder
  before(async () => {
    const config = testConfig('', LIMITS).replace(
      "http: { listen: '127.0.0.1:0' }",
      "http: { listen: '127.0.0.1:0', headersTimeout: '1s', requestTimeout: '2s' }",
    )
    server = await startTestTrustServer(scope, { config })
    builder = await newRepository(server, GUN)
    await server.http.post(GUN, filesOf(builder, ROOT, TARGETS, 'targets/releases', 'targets/countersign'))
  })
  after(() => scope.close())
  afterEach(async () => {
    const started = Date.now()
    expect((await server.http.get(GUN, 'timestamp.json')).status).to.equal(200)
    expect(Date.now() - started).to.be.lessThan(3000)
    const metrics = await server.http.call({ path: '/metrics' })
    expect(metrics.body.toString()).to.match(/countersign_trust_server_upload_bytes 0\n/)
  })

  const multipart = (parts: Readonly<Record<string, string | Buffer>>): Buffer =>
    encodeMultipart(new Map(Object.entries(parts).map(([name, text]) => [name, Buffer.from(text)])) as never, BOUNDARY)

  it('an upload that is announced too large is not read', async () => {
    const answer = await raw(server, [head(5_000_000_000)])
    expect(answer).to.match(/^HTTP\/1\.1 400 /)
    expect(answer).to.include('"Name":"ErrValidation"')
  })

  it('an upload without end is cut off', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'a')
    const start = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="targets"\r\n\r\n`
    const pieces = [headChunked(), chunked(Buffer.from(start)), ...Array.from({ length: 64 }, () => chunked(chunk))]
    expect(await raw(server, pieces)).to.match(/^HTTP\/1\.1 400 [^]*ErrValidation/)
  })

  it('many parts, and many empty parts', async () => {
    const parts = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`targets/a${index}`, '{}']))
    expect(await server.http.upload(GUN, multipart(parts))).to.include({ status: 400, name: 'ErrValidation' })
    const empty = Buffer.from(`--${BOUNDARY}\r\n\r\n\r\n`.repeat(5000) + `--${BOUNDARY}--\r\n`)
    expect((await server.http.upload(GUN, empty)).status).to.equal(400)
  })

  it('parts that name no file, alone and after good ones', async () => {
    const nameless = `--${BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n{}\r\n`
    const good = multipart({ targets: '{"signed":{"version":9}}' })
      .toString()
      .slice(0, -(BOUNDARY.length + 6))
    for (const parts of [nameless, good + nameless, `--${BOUNDARY}\r\n\r\n\r\n`]) {
      const body = Buffer.from(`${parts}--${BOUNDARY}--\r\n`)
      expect(await server.http.upload(GUN, body)).to.include({ status: 400, code: 'NO_FILENAME' })
    }
  })

  it('headers of a part that do not end', async () => {
    const body = Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="${'x'.repeat(300_000)}`)
    expect(await server.http.upload(GUN, body)).to.include({ status: 400, code: 'MALFORMED_UPLOAD' })
  })

  for (const [name, body] of [
    ['is cut off in a file (trap Q16)', multipart({ targets: '{}' }).subarray(0, -40)],
    [
      'is cut off before its last boundary (trap Q16)',
      multipart({ targets: '{}' }).subarray(0, -(BOUNDARY.length + 6)),
    ],
    [
      'has a part that ends within its headers',
      Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data\r\n--${BOUNDARY}--\r\n`),
    ],
    ['has no boundary in it', Buffer.from('nothing of the kind')],
    ['is empty', Buffer.alloc(0)],
  ] as const) {
    it(`an upload that ${name}`, async () => {
      expect(await server.http.upload(GUN, body)).to.include({ status: 400, code: 'MALFORMED_UPLOAD' })
    })
  }

  for (const [name, text, code] of [
    ['deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'MALFORMED_JSON'],
    ['deep inside signed', `{"signed":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`, 'MALFORMED_JSON'],
    [
      'deep, in what begins and ends as Notary writes it',
      normal('['.repeat(50_000), ']'.repeat(50_000)),
      'MALFORMED_JSON',
    ],
    ['that ends early, in what begins and ends as Notary writes it', normal('{', ''), 'MALFORMED_JSON'],
    ['of empty lists without number', `[${'[],'.repeat(80_000)}[]]`, 'MALFORMED_JSON'],
    ['with a member twice', '{"signed":{"version":1,"version":2}}', 'MALFORMED_JSON'],
    ['with a name of the prototype', '{"__proto__":{"signed":1},"constructor":1}', 'INVALID_UPDATE'],
    ['of bytes that are no text', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'MALFORMED_JSON'],
  ] as const) {
    it(`JSON ${name}`, async () => {
      expect(await server.http.upload(GUN, multipart({ targets: text }))).to.include({ status: 400, code })
    })
  }

  it('an upload of somebody who may not, without end: it is not read', async () => {
    const start = head(5_000_000_000).toString().replace(AUTHORIZATION, 'Basic eDp5')
    const answer = await raw(
      server,
      [Buffer.from(start), ...Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024))],
      false,
    )
    expect(answer).to.match(/^HTTP\/1\.1 401 /)
    expect(answer).to.match(/connection: close/i)
  })

  for (const [name, lines] of [
    ['two lengths', ['Content-Length: 5', 'Content-Length: 50']],
    ['a length, and none by chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['a header that is none', ['Content-Length: 5', 'no header']],
  ] as const) {
    it(`a request with ${name}`, async () => {
      expect(await raw(server, [headWith(lines.join('\r\n')), Buffer.from('0\r\n\r\n')])).to.match(/^HTTP\/1\.1 400 /)
    })
  }

  it('a form without end at the token realm, and scopes without number', async () => {
    const form = { method: 'POST', path: '/token', headers: { 'content-type': 'application/x-www-form-urlencoded' } }
    expect(await server.http.call({ ...form, body: Buffer.alloc(100_000, 'a') })).to.include({
      status: 400,
      code: 'MALFORMED_UPLOAD',
    })
    const scopes = `scope=${encodeURIComponent('repository:a:push ')}`.repeat(400)
    const { status, body } = await server.http.call({ ...form, body: Buffer.from(scopes) })
    expect(status).to.equal(200)
    expect(body.byteLength).to.be.lessThan(4096)
  })

  for (const path of [
    `/v2/${GUN}/../other/_trust/tuf/root.json`,
    `/v2/${GUN}/%2e%2e/other/_trust/tuf/root.json`,
    `/v2//${GUN}/_trust/tuf/root.json`,
    `/v2/${GUN}%2F%2F_trust/tuf/root.json`,
    `/v2/${GUN}/_trust/tuf/targets/..%2froot.json`,
    `/v2/${GUN}%00/_trust/tuf/root.json`,
    `/v2/${GUN}/_trust/tuf/root.json%0d%0aX: y`.replaceAll(' ', '%20'),
    `/v2/${GUN}/_trust/tuf/%ff.json`,
    `/v2/%252e%252e/_trust/tuf/root.json`,
    `/v2/${GUN}\\_trust\\tuf\\root.json`,
    `/v2/${'a/'.repeat(3000)}_trust/tuf/root.json`,
  ]) {
    it(`the path ${path.slice(0, 80)}`, async () => {
      expect(await server.http.call({ path })).to.include({ status: 404, code: 'METADATA_NOT_FOUND' })
    })
  }

  it('takes %2F for a slash, as the original does', async () => {
    const { status } = await server.http.call({ path: `/v2/${GUN.replaceAll('/', '%2F')}/_trust/tuf/root.json` })
    expect(status).to.equal(200)
  })

  it('slow senders lose their connection, and hold nobody up', async function () {
    this.timeout(15_000)
    const slow = Array.from({ length: 50 }, () => raw(server, [head(100_000), Buffer.from(`--${BOUNDARY}\r\n`)], false))
    const headless = Array.from({ length: 50 }, () =>
      raw(server, [Buffer.from('GET /v2/ HTTP/1.1\r\nHost: x\r\n')], false),
    )
    expect((await server.http.get(GUN, 'root.json')).status).to.equal(200)
    for (const answer of await Promise.all([...slow, ...headless])) expect(answer).to.match(/^(HTTP\/1\.1 408 |$)/)
  })

  it('a flood on one repository leaves the others alone', async function () {
    this.timeout(20_000)
    let isHeld = true
    server.signer.pause = async () => {
      while (isHeld) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    builder.nextVersions('targets/releases')
    const files = filesOf(builder, 'targets/releases')
    const flood = Array.from({ length: 200 }, () => server.http.post(GUN, files))
    expect((await server.http.get(GUN, 'targets.json')).status).to.equal(200)
    expect((await server.http.get('registry.example.com/other', 'root.json')).status).to.equal(404)
    // Whoever waited for the flood would have waited for ever.
    await new Promise((resolve) => setTimeout(resolve, 300))
    isHeld = false
    const answers = await Promise.all(flood)
    server.signer.pause = () => Promise.resolve()
    const codes = new Map<string, number>()
    for (const { status, code } of answers)
      codes.set(`${status} ${code ?? ''}`, (codes.get(`${status} ${code ?? ''}`) ?? 0) + 1)
    expect([...codes.keys()].sort()).to.deep.equal(['200 ', '400 VERSION', '429 TOOMANYREQUESTS'])
    expect(codes.get('200 ')).to.equal(1)
    expect(codes.get('429 TOOMANYREQUESTS')).to.be.at.least(100)
  })

  it('uploads together hold no more than their memory', async function () {
    this.timeout(15_000)
    const start = Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="targets"\r\n\r\n`,
    )
    const part = Buffer.concat([start, Buffer.alloc(200 * 1024, 'a')])
    const answers = await Promise.all(Array.from({ length: 30 }, () => raw(server, [head(900_000), part], false)))
    expect(answers.filter((answer) => /^HTTP\/1\.1 503 [^]*UNAVAILABLE/.test(answer)).length).to.be.greaterThan(10)
  })
})

/** A file in Notary's form, but for what stands inside. */
function normal(opening: string, closing: string): string {
  return `{"signed":{"_type":"Targets","targets":${opening}${closing},"version":9},"signatures":[]}`
}

function head(length: number): Buffer {
  return headWith(`Content-Length: ${length}`)
}

function headChunked(): Buffer {
  return headWith('Transfer-Encoding: chunked')
}

function headWith(line: string): Buffer {
  return Buffer.from(
    `POST /v2/${GUN}/_trust/tuf/ HTTP/1.1\r\nHost: x\r\nAuthorization: ${AUTHORIZATION}\r\n` +
      `Content-Type: multipart/form-data; boundary=${BOUNDARY}\r\n${line}\r\n\r\n`,
  )
}

function chunked(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

/** What comes back until the server closes the connection. */
function raw({ running }: TestTrustServer, pieces: readonly Buffer[], isEnded = true): Promise<string> {
  const { hostname, port } = new URL(running.url)
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket: Socket = connect(Number(port), hostname, () => {
      for (const piece of pieces) socket.write(piece)
      if (isEnded) socket.end()
    })
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      resolve(Buffer.concat(chunks).toString('latin1'))
    })
  })
}
