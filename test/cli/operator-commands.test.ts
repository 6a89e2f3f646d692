// `repo adopt`, `freeze`, `unfreeze` against a real key holder on a socket in a temporary folder, with metadata that Docker wrote.
import { createPublicKey, randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseGun, publicKeyOf } from '@countersign/tuf'
import { expect } from 'chai'
import { requireProof } from '../../src/cli/adoption-wait.ts'
import { versionsInWords } from '../../src/cli/foreign-versions.ts'
import { startKeyHolder, type RunningKeyHolder } from '../../src/key-holder/main.ts'
import { silentLog } from '../../src/key-holder/holder-log.ts'
import { adoptionMessage } from '../../src/key-holder-protocol/adoption-proof.ts'
import type { OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { expectCode } from '../support/expect-code.ts'
import { TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer as Served } from '../support/scripted-server.ts'
import { ServedRepository } from '../support/served-repository.ts'
import { signWith, testKey, type TestKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { FakeApi, problem, type Answer, type Script } from './support/fake-api.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

/** What docker 28.2.2 left in its trust folder for this repository; the timestamp expires on 2026-12-07. */
const METADATA = resolve(import.meta.dirname, '../vectors/notary-v1/docker-cli-28.2.2/metadata')
const REPOSITORY = 'localhost:5055/proto/demo'
const PIN = '7561ad1d0e61d97345fadce33b542acb41c8e6fd2321b4aec1d3d6e39ed39904'
const NOW = new Date('2026-11-25T00:00:00Z')

const REPORT = {
  gun: REPOSITORY,
  state: 'ready',
  root: 'adopted',
  signer: 'countersign',
  keyType: 'ecdsa',
  createdAt: NOW.toISOString(),
  createdBy: 'token:1',
  custody: {},
  roles: [],
  warnings: [],
}

describe('cli operator commands', () => {
  let place: Workplace
  let holder: RunningKeyHolder
  let api: FakeApi
  let script: Script

  beforeEach(async () => {
    place = new Workplace()
    script = () => ({ status: 201, body: REPORT })
    api = await new FakeApi((request, count) => script(request, count)).start()
    place.file('unlock.key', randomBytes(32).toString('hex').slice(0, 32))
    holder = await startKeyHolder(
      {
        folder: place.path('keys'),
        serviceSocket: place.path('service.sock'),
        operatorSocket: place.path('operator.sock'),
        socketMode: 0o600,
        unlock: { kind: 'key-file', path: place.path('unlock.key') },
        limitsFile: place.file('limits.yaml', 'repositories: [{ gun: "localhost:5055/*" }]\n'),
        logOrigin: 'countersign.test/cli',
        logLevel: 'error',
      },
      { now: () => NOW, log: silentLog },
    )
  })
  afterEach(async () => {
    await holder.close()
    await api.stop()
    place.remove()
  })

  function repo(argv: readonly string[], now = NOW): Promise<Ran> {
    const env = {
      COUNTERSIGN_SERVER: api.url,
      COUNTERSIGN_TOKEN: TOKEN,
      COUNTERSIGN_OPERATOR_SOCKET: holder.operatorSocket,
    }
    return place.run(['repo', ...argv], { env, now: () => now })
  }
  const adopt = (argv: readonly string[] = [], now = NOW): Promise<Ran> =>
    repo(['adopt', REPOSITORY, '--pin', PIN, '--metadata', METADATA, '--key-out', place.path('out.pem'), ...argv], now)

  it('pins, keeps the public key, registers, and says the line for the owner', async () => {
    const ran = await adopt(['--json'])
    expect(ran.exit).to.equal(0)
    const pem = readFileSync(place.path('out.pem'), 'utf8')
    expect(pem).to.match(/^-----BEGIN PUBLIC KEY-----\n/)
    expect(ran.json()).to.deep.equal({
      gun: REPOSITORY,
      signer: 'countersign',
      publicKeyPem: pem,
      publicKeyFile: place.path('out.pem'),
      ownerCommand: `docker trust signer add --key ${place.path('out.pem')} countersign ${REPOSITORY}`,
      repository: REPORT,
    })
    expect(api.requests.map(({ method, path }) => [method, path])).to.deep.equal([
      ['POST', `/v1/repositories/${encodeURIComponent(REPOSITORY)}/adoption`],
    ])
  })

  it('may be repeated, with the same key', async () => {
    script = () => problem(503, 'KEY_HOLDER_UNREACHABLE')
    expect((await adopt()).codes()).to.deep.equal(['KEY_HOLDER_UNREACHABLE'])
    const first = readFileSync(place.path('out.pem'), 'utf8')
    script = ({ method }) => (method === 'POST' ? problem(409, 'REPOSITORY_ALREADY_REGISTERED') : { body: REPORT })
    const ran = await adopt()
    expect(ran.exit).to.equal(0)
    expect(ran.stdout).to.include(first).and.to.include('docker trust signer add')
  })

  describe('--wait', () => {
    const ROLES = ['targets/countersign', 'targets/releases']
    /** Time goes on where the command pauses. @param looks what the key is listed for, look by look; the last one stays */
    async function waiting(looks: readonly (readonly string[] | Answer)[], more: readonly string[] = []): Promise<Ran> {
      let now = NOW.getTime()
      let look = 0
      script = ({ method }) => {
        if (method === 'POST') return { status: 201, body: REPORT }
        const signs = looks[Math.min(look++, looks.length - 1)]!
        if (!Array.isArray(signs)) return signs as Answer
        const { canonicalKeyId } = publicKeyOf(createPublicKey(readFileSync(place.path('out.pem'))))
        const key = {
          role: ROLES[0],
          keyType: 'ecdsa',
          canonicalKeyId,
          custody: 'sealed',
          createdAt: '',
          state: 'active',
        }
        return { body: { ...REPORT, custody: { rootCustody: 'foreign', keys: [{ ...key, signs }] } } }
      }
      const env = {
        COUNTERSIGN_SERVER: api.url,
        COUNTERSIGN_TOKEN: TOKEN,
        COUNTERSIGN_OPERATOR_SOCKET: holder.operatorSocket,
      }
      const argv = ['--pin', PIN, '--metadata', METADATA, '--key-out', place.path('out.pem'), '--json', ...more]
      return place.run(['repo', 'adopt', REPOSITORY, '--wait', '1m', ...argv], {
        env,
        now: () => new Date(now),
        pause: (milliseconds) => {
          now += milliseconds
          return Promise.resolve()
        },
      })
    }

    it('ends when every role of the signer lists the key, and the key holder has signed with it', async () => {
      const ran = await waiting([[], problem(503, 'NOTARY_UNAVAILABLE'), [ROLES[0]!], ROLES])
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([0, []])
      expect(ran.json()).to.deep.include({ listedIn: ROLES, proven: true })
      expect(ran.stderr)
        .to.include('Ask the owner of the repository to run: docker trust signer add')
        .and.include('not listed yet for targets/countersign and targets/releases.\n')
        .and.include('(NOTARY_UNAVAILABLE)')
        .and.include('not listed yet for targets/releases.\n')
    })

    it('OWNER_MUST_ADD_KEY, exit 4: when the time is over', async () => {
      const ran = await waiting([[ROLES[0]!]])
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['OWNER_MUST_ADD_KEY']])
      expect(ran.json()).to.deep.include({ listedIn: [ROLES[0]], proven: false })
      expect(api.requests.filter(({ method }) => method === 'GET').length).to.be.within(3, 12)
    })

    it('what does not pass by itself ends it; durations that are none, and imported keys, are refused', async () => {
      const denied = await waiting([problem(403, 'NOT_PERMITTED')])
      expect([denied.exit, denied.codes()]).to.deep.equal([3, ['NOT_PERMITTED']])
      expect((await waiting([ROLES], ['--wait', 'soon'])).codes()).to.deep.equal(['DURATION_INVALID'])
      expect((await repo(['adopt', REPOSITORY, '--pin', PIN, '--wait', '1m', '--imported-keys'])).exit).to.equal(2)
    })

    it('KEYS_NOT_PROVEN: a signature by another key, of another repository, or none', () => {
      const gun = parseGun(REPOSITORY)
      const [ours, other] = [testKey('ours'), testKey('other')]
      const challenge = randomBytes(32).toString('base64')
      const answer = (key: TestKey, of = gun) => {
        const message = adoptionMessage(of, ours.publicKey.canonicalKeyId, challenge)
        const { method, signature } = signWith(key, message)
        const proof = { challenge, method, signature: Buffer.from(signature).toString('base64') }
        return { proof } as unknown as OperationResponse<'pin-repository'>
      }
      requireProof(gun, ours.publicKey, answer(ours))
      const forged = [answer(other), answer(ours, parseGun('localhost:5055/proto/other'))]
      for (const one of [...forged, {} as OperationResponse<'pin-repository'>]) {
        expectCode('KEYS_NOT_PROVEN', () => {
          requireProof(gun, ours.publicKey, one)
        })
      }
    })
  })

  it("reads Docker's own copy without being told", async () => {
    const copy = place.path(`.docker/trust/tuf/${REPOSITORY}/metadata`)
    mkdirSync(dirname(copy), { recursive: true })
    cpSync(METADATA, copy, { recursive: true })
    const ran = await repo(['adopt', REPOSITORY, '--pin', PIN, '--key-out', place.path('out.pem')])
    expect(ran.exit).to.equal(0)
  })

  describe('from a trust server', function () {
    this.timeout(30_000)
    const scope = new Scope()
    afterEach(() => scope.close())

    const answer: Served = ({ url }, response) => {
      const name = url.slice(`/v2/${REPOSITORY}/_trust/tuf/`.length).replace(/\.[0-9a-f]{64}\.json$/, '.json')
      const file = join(METADATA, name)
      if (!existsSync(file)) response.writeHead(404)
      response.end(existsSync(file) ? readFileSync(file) : '')
    }
    const from = (url: string, more: readonly string[] = []): Promise<Ran> =>
      repo(['adopt', REPOSITORY, '--pin', PIN, '--trust-server', url, '--key-out', place.path('out.pem'), ...more])

    it('reads it', async () => {
      const { url } = await startScriptedServer(scope, answer)
      expect((await from(url)).exit).to.equal(0)
    })

    it('NOTARY_UNAUTHORIZED, TOKEN_REALM_NOT_ALLOWED: says what to do where the server wants to know who asks', async () => {
      const basic = await startScriptedServer(scope, (_request, response) => {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      })
      const ran = await from(basic.url)
      expect(ran.codes()).to.deep.equal(['NOTARY_UNAUTHORIZED'])
      expect(ran.stderr).to.include('docker login')
      const elsewhere = 'https://auth.example.com/token'
      const bearer = await startScriptedServer(scope, (_request, response) => {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${elsewhere}",service="notary"` }).end()
      })
      const sent = await from(bearer.url)
      expect(sent.codes()).to.deep.equal(['TOKEN_REALM_NOT_ALLOWED'])
      expect(sent.stderr).to.include(`--realm ${elsewhere}`)
      expect((await from(bearer.url, ['--realm', 'ftp://auth.example.com'])).codes()).to.deep.equal([
        'SERVER_ADDRESS_INVALID',
      ])
    })

    it('trusts the certificate authorities of --ca-file, and without it the usual ones', async () => {
      const ca = createTestCa()
      const { url } = await startScriptedServer(scope, answer, ca)
      expect((await from(url)).codes()).to.deep.equal(['NET_TLS'])
      const own = place.file('ca.crt', ca.certificatePem)
      expect((await from(url, ['--ca-file', own])).exit).to.equal(0)
      expect((await from(url, ['--ca-file', place.path('none')])).codes()).to.deep.equal(['FILE_UNREADABLE'])
    })
  })

  it('changes nothing where the metadata does not verify from the pin', async () => {
    const other = 'ab'.repeat(32)
    const cases: readonly (readonly [string, Promise<Ran>])[] = [
      ['another pin', repo(['adopt', REPOSITORY, '--pin', other, '--metadata', METADATA])],
      ['another repository', repo(['adopt', 'localhost:5055/proto/other', '--pin', PIN, '--metadata', METADATA])],
      ['no metadata', repo(['adopt', REPOSITORY, '--pin', PIN, '--metadata', place.path('none')])],
      ['an expired copy', adopt([], new Date('2027-01-01T00:00:00Z'))],
    ]
    for (const [name, running] of cases) {
      const ran = await running
      expect([name, ran.exit, ran.codes()]).to.deep.equal([name, 1, ['METADATA_NOT_VERIFIED']])
    }
    expect(api.requests).to.deep.equal([])
    expect((await repo(['freeze', REPOSITORY, '--reason', 'is it there?'])).codes()).to.deep.equal(['GUN_NOT_MANAGED'])
  })

  it('leaves a file with another content alone', async () => {
    place.file('out.pem', 'mine')
    const ran = await adopt()
    expect(ran.codes()).to.deep.equal(['FILE_EXISTS'])
    expect(readFileSync(place.path('out.pem'), 'utf8')).to.equal('mine')
  })

  it('freezes and unfreezes', async () => {
    await adopt()
    const frozen = await repo(['freeze', REPOSITORY, '--reason', 'a test', '--json'])
    expect(frozen.exit).to.equal(0)
    expect(frozen.json()).to.deep.include({ gun: REPOSITORY, state: 'frozen' })
    const thawed = await repo(['unfreeze', REPOSITORY, '--reason', 'over', '--json'])
    expect(thawed.json()).to.deep.include({ state: 'ready' })
  })

  it('tells which versions were decided about, and which wait', () => {
    const version = (number: number) => ({ role: 'targets/releases', version: number })
    expect(versionsInWords({ accepted: [version(3)] })).to.deep.equal(['accepted: targets/releases version 3'])
    const foreign = [
      { ...version(4), decision: 'dropped' },
      { ...version(5), decision: 'dropped' },
      { ...version(6), decision: 'none' },
    ] as const
    expect(versionsInWords({ dropped: [version(5)], foreign: [...foreign] })).to.deep.equal([
      'dropped: targets/releases version 5',
      'dropped before, and nothing has followed yet: targets/releases version 4',
      'not signed here, and not decided about: targets/releases version 6',
    ])
  })

  it('NO_VERSION_TO_DROP, FOREIGN_VERSIONS_UNNAMED: decides about nothing that is not there', async () => {
    await adopt()
    const unfreeze = (...argv: string[]) => repo(['unfreeze', REPOSITORY, '--reason', 'over', ...argv, '--json'])
    const nothing = await unfreeze('--drop-foreign')
    expect([nothing.exit, nothing.codes()]).to.deep.equal([1, ['NO_VERSION_TO_DROP']])
    const unknown = await unfreeze('--accept-foreign', '--seen', 'targets/releases@12')
    expect(unknown.codes()).to.deep.equal(['FOREIGN_VERSIONS_UNNAMED'])
    expect((await unfreeze('--seen', 'targets/releases')).exit).to.equal(2)
    expect((await unfreeze('--drop-foreign', '--accept-foreign')).exit).to.equal(2)
  })

  it('permits a deleted repository to begin again, with the certificate that is named', async () => {
    const scope = new Scope()
    try {
      const holder = await TestKeyHolder.start(scope)
      const served = await ServedRepository.create(holder)
      const permit = (...argv: string[]) =>
        repo(['permit-recreation', ...argv, '--operator-socket', holder.config.operatorSocket, '--json'])
      expect((await permit(served.gun, '--reason', 'x')).codes()).to.include('CHANGE_REFUSED')
      await served.delete()
      expect((await permit(served.gun)).exit).to.equal(2)
      const open = await permit(served.gun, '--reason', 'keys lost', '--start-again')
      expect(open.stderr).to.include('--pin')
      const bound = await permit(served.gun, '--reason', 'keys lost', '--pin', PIN)
      expect([bound.exit, bound.stderr]).to.deep.equal([0, ''])
      expect(bound.json()).to.deep.equal({ gun: served.gun, versions: 'go-on', certificateKeyIds: [PIN] })
      const records = holder.log().filter(({ kind }) => kind === 'recreation-permitted')
      expect(records.map(({ versions, certificateKeyIds }) => [versions, certificateKeyIds])).to.deep.equal([
        ['start-again', undefined],
        ['go-on', [PIN]],
      ])
    } finally {
      await scope.close()
    }
  })

  it('says that the socket is not there, with a word on how to find it', async () => {
    const ran = await repo(['freeze', REPOSITORY, '--reason', 'x', '--operator-socket', place.path('none.sock')])
    expect(ran.exit).to.equal(1)
    expect(ran.codes()).to.deep.equal(['KEY_HOLDER_UNREACHABLE'])
  })

  it('2: pins that are no key IDs, signers that Docker would not take', async () => {
    for (const argv of [
      ['adopt', REPOSITORY],
      ['adopt', REPOSITORY, '--pin', 'AB'],
      ['adopt', REPOSITORY, '--pin', PIN, '--signer', 'releases'],
      ['adopt', REPOSITORY, '--pin', PIN, '--key-type', 'ed25519'],
      ['adopt', REPOSITORY, '--pin', PIN, '--metadata', 'x', '--trust-server', 'https://x.example.com'],
      ['adopt', REPOSITORY, '--pin', PIN, '--trust-server', 'http://x.example.com'],
      ['freeze', REPOSITORY],
    ]) {
      const ran = await repo(argv)
      expect([argv.join(' '), ran.exit]).to.deep.equal([argv.join(' '), 2])
    }
  })
})
