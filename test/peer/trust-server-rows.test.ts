// The table of differences, row by row: what it says of notary-server is asked of a real one, and what it says of ours of ours.
import { generateKeyPairSync } from 'node:crypto'
import { encodeCanonical, ROOT, sha256Hex, SNAPSHOT, TARGETS, TIMESTAMP, type JsonValue } from '@countersign/tuf'
import { expect } from 'chai'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startTokenServer } from '../support/peers/token-server.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testCertificateKey, testKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { takeServerKeys } from '../support/trust-server/server-keys.ts'
import {
  filesOf,
  HttpCaller,
  startTestTrustServer,
  testConfig,
  type Answer,
  type TestTrustServer,
} from '../support/trust-server/server.ts'

const RELEASES = 'targets/releases'
const LIMITS = `limits: { fileBytes: '256KiB', updateBytes: '512KiB', memory: '1MiB' }`

type Side = 'ours' | 'original'

describe('the rows of the table of differences', function () {
  this.timeout(30_000)
  const scope = new Scope()
  const ca = createTestCa()
  const callers: Partial<Record<Side | 'signer' | 'tokens', HttpCaller>> = {}
  let server: TestTrustServer

  before(async function () {
    requirePeers(this, 'notary-server')
    server = await startTestTrustServer(scope, { config: testConfig('', LIMITS) })
    const tokens = await startTokenServer(scope, { ca, accounts: {} })
    const [original, signer, asking] = await Promise.all([
      startNotaryServer(scope, { ca }),
      startNotaryServer(scope, { ca, keys: 'signer' }),
      startNotaryServer(scope, { ca, tokens }),
    ])
    const tls = { ca: ca.certificatePem }
    callers.ours = server.http
    callers.original = new HttpCaller(original.url, tls)
    callers.signer = new HttpCaller(signer.url, tls)
    callers.tokens = new HttpCaller(asking.url, tls)
  })
  after(() => scope.close())

  const at = (side: keyof typeof callers): HttpCaller => {
    const caller = callers[side]
    if (caller === undefined) throw new Error('not started')
    return caller
  }

  /** A repository with a delegation, as a client would have published it; with a snapshot of its own where the client holds that key. */
  async function published(
    side: keyof typeof callers,
    name: string,
    isSnapshotOurs = false,
  ): Promise<RepositoryBuilder> {
    const builder = new RepositoryBuilder(`registry.example.com/rows/${name}`).delegate(RELEASES)
    await takeServerKeys(at(side), builder)
    if (isSnapshotOurs) builder.role(SNAPSHOT).keys = [testKey('client snapshot')]
    const roles = [ROOT, TARGETS, RELEASES, ...(isSnapshotOurs ? [SNAPSHOT] : [])]
    const { status, words } = await at(side).post(builder.gun, filesOf(builder, ...roles))
    expect(status, words).to.equal(200)
    return builder
  }

  const said = ({ status, code = '', name = '' }: Answer): string => [status, code, name].join(' ').trim()

  /** What each server says to the same update. */
  async function expectUpdate(
    row: string,
    o: { original: string; ours: string; at?: keyof typeof callers; isSnapshotOurs?: boolean },
    roles: readonly string[],
    change: (builder: RepositoryBuilder) => void,
  ): Promise<void> {
    const answers: string[] = []
    for (const side of [o.at ?? 'original', 'ours'] as const) {
      const builder = await published(side, row.toLowerCase(), o.isSnapshotOurs)
      change(builder)
      answers.push(said(await at(side).post(builder.gun, filesOf(builder, ...roles))))
    }
    expect(answers).to.deep.equal([o.original, o.ours])
  }

  const next = (b: RepositoryBuilder, ...roles: string[]): RepositoryBuilder => b.nextVersions(...roles)

  for (const [name, what, change] of [
    ['pretty', 'pretty-printed', mangled((text) => JSON.stringify(JSON.parse(text), null, 2))],
    ['end', 'with a line break at its end (trap Q17)', mangled((text) => `${text}\n`)],
    [
      'expires',
      'with milliseconds in its expiry (trap Q2)',
      (b: RepositoryBuilder) => {
        b.role(RELEASES).edit = (signed) => signed.set('expires', '2029-01-01T00:00:00.000Z')
      },
    ],
  ] as const) {
    it(`a file ${what} (row D1)`, async () => {
      const answers = { original: '200', ours: '400 INVALID_UPDATE ErrBadTargets' }
      await expectUpdate(`d1-${name}`, answers, [RELEASES], (b) => {
        change(next(b, RELEASES))
      })
      // What the original took is not to be found by the hash that its snapshot names.
      const gun = `registry.example.com/rows/d1-${name}`
      expect(await listedFile(at('original'), gun, RELEASES)).to.equal(404)
      expect(await listedFile(at('ours'), gun, RELEASES)).to.equal(200)
    })
  }

  it('a root with other targets keys alone (row D2)', () =>
    expectUpdate('D2', { original: '200', ours: '400 INVALID_UPDATE ErrBadTargets' }, [ROOT], (b) => {
      b.nextRoot().role(TARGETS).keys = [testKey('others')]
    }))

  it('a threshold above the number of keys (row D3)', () =>
    expectUpdate('D3', { original: '200', ours: '400 INVALID_UPDATE ErrBadRoot' }, [ROOT], (b) => {
      b.nextRoot().role(TARGETS).threshold = 2
    }))

  it('a delegation to a short RSA key (row D3)', () =>
    expectUpdate('d3-rsa', { original: '200', ours: '400 INVALID_UPDATE ErrBadTargets' }, [TARGETS], (b) => {
      const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
      const text = publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
      const key = new Map<string, JsonValue>([
        ['keytype', 'rsa'],
        ['keyval', new Map([['private', null] as const, ['public', text] as const])],
      ])
      const id = sha256Hex(encodeCanonical(key))
      next(b, TARGETS).role(TARGETS).edit = (signed) => {
        const delegations = signed.get('delegations') as Map<string, Map<string, JsonValue>>
        const [role = new Map()] = delegations.get('roles') as unknown as Map<string, JsonValue>[]
        const short = new Map<string, JsonValue>([...role, ['name', 'targets/short'], ['keyids', [id]]])
        const keys = new Map([...(delegations.get('keys') ?? []), [id, key] as const])
        signed.set(
          'delegations',
          new Map<string, JsonValue>([
            ['keys', keys],
            ['roles', [role, short]],
          ]),
        )
      }
    }))

  it('a name outside the paths (row D4)', () =>
    expectUpdate('D4', { original: '200', ours: '400 INVALID_UPDATE ErrBadTargets' }, [TARGETS, RELEASES], (b) => {
      b.role(RELEASES).paths = ['v']
      next(b.put(RELEASES, 'x', 'x'), TARGETS, RELEASES)
    }))

  it('a client’s snapshot that describes a published role wrongly (row D5)', () =>
    expectUpdate(
      'D5',
      { original: '200', ours: '400 INVALID_UPDATE ErrBadSnapshot', isSnapshotOurs: true },
      [SNAPSHOT],
      (b) => {
        next(b).role(SNAPSHOT).edit = (signed) => {
          const meta = new Map(signed.get('meta') as Map<string, JsonValue>)
          signed.set('meta', meta.set(RELEASES, meta.get(ROOT) ?? null))
        }
      },
    ))

  for (const [index, [what, find, replacement]] of (
    [
      ['invalid UTF-8', Buffer.from('\ufffd'), Buffer.from([0xff])],
      ['a member that stands twice', Buffer.from('"version":2'), Buffer.from('"version":2,"version":2')],
      ['a number as 1e3', Buffer.from('"n":1000'), Buffer.from('"n":1e3')],
    ] as const
  ).entries()) {
    it(`${what} (row D6)`, async () => {
      const answers = { original: '200', ours: '400 MALFORMED_JSON' }
      await expectUpdate(`d6-${index}`, answers, [RELEASES], (b) => {
        b.put(RELEASES, '\ufffd', 'x')
        const entry = b.role(RELEASES).targets.get('\ufffd') as Map<string, JsonValue>
        b.role(RELEASES).targets.set('\ufffd', new Map([...entry, ['custom', new Map([['n', 1000]])]]))
        next(b, RELEASES).role(RELEASES).mangle = (bytes) => {
          const start = Buffer.from(bytes).indexOf(find)
          return Buffer.concat([bytes.subarray(0, start), replacement, bytes.subarray(start + find.byteLength)])
        }
      })
    })
  }

  it('a timestamp key that the server does not have, at a server with a signer (row D10)', () =>
    expectUpdate(
      'D10',
      { original: '400 INVALID_UPDATE ErrValidation', ours: '400 INVALID_UPDATE ErrBadRoot', at: 'signer' },
      [ROOT],
      (b) => {
        b.nextRoot().role(TIMESTAMP).keys = [testKey('unknown')]
      },
    ))

  it('a key that stands in two certificates (row D19)', () =>
    expectUpdate('D19', { original: '200', ours: '400 INVALID_UPDATE ErrBadTargets' }, [TARGETS, RELEASES], (b) => {
      const certificate = (serialNumber: number) => testCertificateKey('twice', { commonName: 'twice', serialNumber })
      b.role(RELEASES).keys = [certificate(1), certificate(2)]
      b.role(RELEASES).threshold = 2
      next(b, TARGETS, RELEASES)
    }))

  it('a file above our limit (row D16)', () =>
    expectUpdate('D16', { original: '200', ours: '400 INVALID_UPDATE ErrValidation' }, [RELEASES], (b) => {
      for (let tag = 0; tag < 4000; tag++) b.put(RELEASES, `v${tag}`, 'image')
      next(b, RELEASES)
    }))

  /** What each server says to the same request. */
  async function expectAnswers(
    call: Parameters<HttpCaller['call']>[0],
    o: { original: string; ours: string; at?: keyof typeof callers },
  ): Promise<void> {
    expect(said(await at(o.at ?? 'original').call(call)), 'original').to.equal(o.original)
    expect(said(await at('ours').call(call)), 'ours').to.equal(o.ours)
  }

  for (const path of ['/v2//registry.example.com/a/_trust/tuf/root.json', '/v2/a/../b/_trust/tuf/root.json']) {
    it(`the path ${path} (row D11)`, () => expectAnswers({ path }, { original: '301', ours: '404 METADATA_NOT_FOUND' }))
  }

  it('a name that Docker cannot form (row D12)', async () => {
    const base = '/v2/registry.example.com/Upper/_trust/tuf/'
    await expectAnswers({ path: `${base}timestamp.key` }, { original: '200', ours: '404 METADATA_NOT_FOUND' })
    const upload = { method: 'POST', path: base, headers: { 'content-type': 'multipart/form-data; boundary=b' } }
    await expectAnswers(
      { ...upload, body: Buffer.from('--b--\r\n') },
      { original: '400 INVALID_UPDATE ErrValidation', ours: '400 INVALID_GUN' },
    )
  })

  it('keys, and a first update, for a repository that nobody allowed (row D13)', async () => {
    const gun = 'registry.example.com/rows/d13'
    const path = `/v2/${gun}/_trust/tuf/timestamp.key`
    const keys = async (side: Side): Promise<number> => {
      const [first, second] = [await at(side).call({ path }), await at(side).call({ path })]
      return new Set([first, second].map(({ status, body }) => `${status} ${body.toString()}`)).size
    }
    expect([await keys('original'), await keys('ours')]).to.deep.equal([2, 1])
    const builder = new RepositoryBuilder(gun)
    await takeServerKeys(at('ours'), builder)
    server.signer.isAllowed = () => false
    expect(said(await at('ours').call({ path }))).to.equal('404 METADATA_NOT_FOUND')
    expect(said(await at('ours').post(gun, filesOf(builder, ROOT, TARGETS)))).to.equal('400 INVALID_GUN')
    server.signer.isAllowed = () => true
    await takeServerKeys(at('original'), builder)
    expect(said(await at('original').post(gun, filesOf(builder, ROOT, TARGETS)))).to.equal('200')
  })

  it('somebody without any credential, where no token server is configured (row D17)', async () => {
    const path = '/v2/registry.example.com/rows/d17/_trust/tuf/timestamp.key'
    await expectAnswers({ path, isAuthorized: false }, { original: '200', ours: '401 UNAUTHORIZED' })
    await expectAnswers({ path: '/v2/', isAuthorized: false }, { original: '200', ours: '401 UNAUTHORIZED' })
  })

  it('an unknown path gets the same challenge from both', async () => {
    const path = '/nothing'
    const challenged = '401 UNAUTHORIZED'
    await expectAnswers({ path, isAuthorized: false }, { original: challenged, ours: challenged, at: 'tokens' })
    const scopes = (['tokens', 'ours'] as const).map(async (side) => {
      const { headers } = await at(side).call({ path, isAuthorized: false })
      return /scope="[^"]*"/.exec(String(headers['www-authenticate']))?.[0]
    })
    expect(await Promise.all(scopes)).to.deep.equal(Array(2).fill('scope="registry:catalog:*"'))
    await expectAnswers({ path }, { original: '404 METADATA_NOT_FOUND', ours: '404 METADATA_NOT_FOUND' })
  })

  it('an update without files (row D20)', async () => {
    for (const [side, isSigned] of [
      ['original', true],
      ['ours', false],
    ] as const) {
      const { gun } = await published(side, 'd20')
      const before = (await at(side).get(gun, 'timestamp.json')).body
      expect((await at(side).post(gun, new Map())).status).to.equal(200)
      expect((await at(side).get(gun, 'timestamp.json')).body.equals(before)).to.equal(!isSigned)
    }
  })
})

function mangled(change: (text: string) => string): (builder: RepositoryBuilder) => void {
  return (builder) => {
    builder.role(RELEASES).mangle = (bytes) => Buffer.from(change(Buffer.from(bytes).toString()))
  }
}

/** The status of the file of a role as clients ask for it: by the hash in the newest snapshot. */
async function listedFile(http: HttpCaller, gun: string, role: string): Promise<number> {
  const { body } = await http.get(gun, 'snapshot.json')
  interface Snapshot {
    readonly signed: { readonly meta: Readonly<Record<string, { readonly hashes: { readonly sha256: string } }>> }
  }
  const sha256 = (JSON.parse(body.toString()) as Snapshot).signed.meta[role]?.hashes.sha256 ?? ''
  return (await http.get(gun, `${role}.${Buffer.from(sha256, 'base64').toString('hex')}.json`)).status
}
