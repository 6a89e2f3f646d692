// `doctor`: what the facts of a machine mean, that they are gathered without doing anything, and what the errors of stock clients mean.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect } from 'chai'
import { explain, EXPLANATIONS } from '../../src/cli/doctor/explain.ts'
import type { MachineFacts } from '../../src/cli/doctor/facts.ts'
import { findingsOf } from '../../src/cli/doctor/findings.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts'
import { createTestCa } from '../support/tls.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

const PAGE = readFileSync(resolve(import.meta.dirname, '../../docs/troubleshooting.md'), 'utf8')
const GUN = 'registry.example.com/team/app'

/** A machine on which all is well. */
const WELL: MachineFacts = {
  now: new Date('2026-11-29T00:00:00Z'),
  node: '24.4.0',
  docker: '28.2.2',
  secretVariables: [],
  keyFiles: [],
  server: { address: 'https://countersign.example.com', isReached: true, status: 200, clockOffset: 400 },
  token: { kind: 'kept', isAccepted: true },
  trustServer: { address: 'https://notary.example.com', isReached: true, status: 401, clockOffset: -90_000 },
  registry: { address: 'https://registry.example.com', isReached: true, status: 401 },
  pins: { gun: GUN, pinned: 1 },
}

const away = (code: string) =>
  ({ address: 'https://a.example', isReached: false, code, reason: 'ECONNREFUSED' }) as const

describe('the findings of doctor', () => {
  function statesOf(change: Partial<MachineFacts>): Record<string, string> {
    return Object.fromEntries(findingsOf({ ...WELL, ...change }).map(({ id, state }) => [id, state]))
  }

  it('are all well where all is well, each once, and all stand in the documentation', () => {
    const findings = findingsOf(WELL)
    expect(findings.filter(({ state, next }) => state !== 'ok' || next !== undefined)).to.deep.equal([])
    const documented = [...PAGE.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, id]) => id)
    expect(findings.map(({ id }) => id)).to.deep.equal(documented)
  })

  const cases: readonly (readonly [string, Partial<MachineFacts>, Readonly<Record<string, string>>])[] = [
    ['an old Node', { node: '20.18.9' }, { 'node-version': 'problem' }],
    ['a Node of no long support', { node: '23.1.0' }, { 'node-version': 'problem' }],
    ['Docker 29', { docker: '29.1.3' }, { 'docker-client': 'warning' }],
    [
      'Docker 29 with content trust',
      { docker: '29.1.3', contentTrust: '1' },
      { 'docker-client': 'warning', 'content-trust': 'problem' },
    ],
    ['content trust', { contentTrust: 'yes' }, { 'content-trust': 'warning' }],
    ['content trust that is off', { contentTrust: 'False' }, {}],
    ['a trust server without TLS', { contentTrustServer: 'http://notary' }, { 'content-trust-server': 'problem' }],
    [
      'a password for the trust server',
      { contentTrustServer: 'https://bob:s3cret@notary.example.com' },
      { 'content-trust-server': 'problem' },
    ],
    [
      'a user name for the trust server',
      { contentTrustServer: 'https://bob@notary.example.com' },
      { 'content-trust-server': 'problem' },
    ],
    ['a trust server that is no address', { contentTrustServer: 'https://' }, { 'content-trust-server': 'problem' }],
    ['a trust server of its own', { contentTrustServer: 'https://notary.example.com' }, {}],
    [
      'no server',
      { server: { code: 'SERVER_NOT_CONFIGURED', reason: 'none' } },
      { server: 'warning', clock: 'warning' },
    ],
    [
      'an address that is none',
      { server: { code: 'SERVER_INSECURE', reason: 'x' } },
      { server: 'problem', clock: 'warning' },
    ],
    [
      'a server that is away',
      { server: away('NET_REFUSED'), token: { kind: 'kept' } },
      { server: 'problem', token: 'warning', clock: 'warning' },
    ],
    [
      'something else in its place',
      { server: { ...WELL.server, status: 404 } as MachineFacts['server'] },
      { server: 'problem' },
    ],
    ['a token that is not taken', { token: { kind: 'kept', isAccepted: false } }, { token: 'problem' }],
    [
      'an exposed token',
      { token: { kind: 'unusable', code: 'SECRET_FILE_EXPOSED', reason: 'x' } },
      { token: 'problem' },
    ],
    ['a certificate', { token: { kind: 'certificate' } }, {}],
    ['a pipeline', { token: { kind: 'workload' } }, {}],
    ['a trust server that is away', { trustServer: away('NET_TLS') }, { 'trust-server': 'problem' }],
    [
      'a trust server that cannot be',
      { trustServer: { code: 'SERVER_ADDRESS_INVALID', reason: 'x' } },
      { 'trust-server': 'problem' },
    ],
    ['a registry that is away', { registry: away('NET_DNS') }, { registry: 'problem' }],
    [
      'authorities of a registry that cannot be read',
      { registry: { code: 'FILE_UNREADABLE', reason: 'x' } },
      { registry: 'problem' },
    ],
    ['no pins', { pins: { pinned: 0 } }, { pins: 'warning' }],
    ['no pins of the repository', { pins: { gun: GUN, pinned: 0 } }, { pins: 'warning' }],
    ['a first use', { pins: { gun: GUN, pinned: 0, memory: 'first-use' } }, { pins: 'warning' }],
    ['a pin that was named', { pins: { gun: GUN, pinned: 0, memory: 'pinned' } }, {}],
    [
      'an expired bundle',
      { pins: { gun: GUN, pinned: 1, expiresAt: '2026-11-28T00:00:00.000Z' } },
      { pins: 'warning' },
    ],
    ['damaged pins', { pins: { pinned: 0, fault: { code: 'PINS_DAMAGED', reason: 'x' } } }, { pins: 'problem' }],
    ['secrets', { secretVariables: ['DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE'] }, { 'left-over-secrets': 'warning' }],
    ['keys', { keyFiles: ['a', 'b', 'c', 'd', 'e', 'f'] }, { 'left-over-keys': 'warning' }],
    [
      'a clock that is wrong',
      { trustServer: away('NET_DNS'), server: { ...WELL.server, clockOffset: 400_000 } as MachineFacts['server'] },
      { 'trust-server': 'problem', clock: 'problem' },
    ],
  ]
  for (const [name, change, expected] of cases) {
    it(`tell of ${name}, and of nothing else`, () => {
      const told = Object.entries(statesOf(change)).filter(([, state]) => state !== 'ok')
      expect(Object.fromEntries(told)).to.deep.equal(expected)
      for (const { state, next } of findingsOf({ ...WELL, ...change }))
        expect(next !== undefined).to.equal(state !== 'ok')
    })
  }
})

/** What docker 28.2.2 and notary 0.7.0 say, by the explanation that it gets. */
const SAID: Readonly<Record<string, string>> = {
  'no-signing-keys': 'failed to sign registry.example.com/team/app:1.4: no valid signing keys for delegation roles',
  'new-root-key': 'You are about to create a new root signing key passphrase. This passphrase\nwill be used to protect',
  'unknown-authority':
    'Error: error contacting notary server: tls: failed to verify certificate: x509: certificate signed by unknown authority',
  'https-required': 'valid https URL required for trust server, got http://notary.example.com',
  'not-authorized': 'Error: you are not authorized to perform this operation: server returned 401.',
  'root-changed':
    'could not rotate trust to a new trusted root: failed to validate data with current trusted certificates',
  'not-pinned': 'failed to validate root with trust pinning',
  'rolled-back':
    'Warning: potential malicious behavior - trust data version is lower than expected for remote repository a: version 1 is lower than current version 5',
  'insufficient-signatures':
    'Warning: potential malicious behavior - trust data has insufficient signatures for remote repository a: x',
  expired: 'Error: remote repository registry.example.com/team/app out-of-date: timestamp expired',
  'no-trust-data':
    'Error: remote trust data does not exist for a/b: notary.example.com does not have trust data for a/b',
  'tag-not-signed': 'No valid trust data for 1.4',
  'server-unreachable': 'Error: error contacting notary server: dial tcp 127.0.0.1:9: connect: connection refused',
  rejected: 'Error: trust server rejected operation.',
  'no-docker-trust': "docker: unknown command: docker trust\n\nRun 'docker --help' for more information",
}

describe('the explanations of doctor', () => {
  for (const { id, means, next } of EXPLANATIONS) {
    it(`${id}: is found by what the client says, and stands in the documentation`, () => {
      expect(explain(`some words before\n${SAID[id] ?? ''}\n`)?.id).to.equal(id)
      const row = PAGE.split('\n').find((line) => line.includes(means))
      expect(row, means).to.include(`| ${next} |`)
    })
  }
})

describe('cli doctor', () => {
  const scope = new Scope()
  const ca = createTestCa()
  let place: Workplace
  let server: ScriptedServer
  let status: number

  before(async () => {
    server = await startScriptedServer(
      scope,
      ({ url }, response) => {
        response.statusCode = url.startsWith('/v1/') ? status : 200
        response.setHeader('content-type', 'application/problem+json')
        response.end(JSON.stringify({ code: 'TOKEN_UNKNOWN', title: 'x' }))
      },
      ca,
    )
  })
  after(() => scope.close())
  beforeEach(() => {
    status = 200
    place = new Workplace(server.url)
    place.file('ca.pem', ca.certificatePem)
    place.file('docker', '#!/bin/sh\necho "Docker version 29.1.3, build f52814d"\n', 0o700)
  })
  afterEach(() => {
    place.remove()
  })

  async function run(argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
    const own = { PATH: place.folder, COUNTERSIGN_CA_FILE: place.path('ca.pem') }
    return place.run(['doctor', ...argv, '--json'], { env: { ...own, ...env } })
  }
  async function states(argv: readonly string[], env: Record<string, string> = {}) {
    const ran = await run(argv, env)
    const { ok, findings } = ran.json() as { ok: boolean; findings: { id: string; state: string; means: string }[] }
    expect(ran.exit, ran.stderr).to.equal(ok ? 0 : 1)
    expect(ran.stdout + ran.stderr).not.to.include(TOKEN)
    const means = (id: string) => findings.find((one) => one.id === id)?.means
    return { ...Object.fromEntries(findings.map(({ id, state }) => [id, state])), means, ok }
  }

  it('finds a good machine good, and tells what Docker 29 does not do', async () => {
    const found = await states([])
    expect(found).to.include({ 'docker-client': 'warning', server: 'ok', token: 'ok', clock: 'ok', ok: true })
    expect(server.heard.map(({ url }) => url)).to.include.members(['/livez', '/v1/signing-requests?limit=1'])
    const table = await place.run(['doctor'], {
      env: { PATH: place.folder, COUNTERSIGN_CA_FILE: place.path('ca.pem') },
    })
    expect(table.stdout)
      .to.match(/^ok +server +The Countersign server/m)
      .and.to.match(/^docker-client: Pull with/m)
  })

  it('asks servers as docker and the command line do: authorities, addresses, a token that is not taken', async () => {
    const env = { DOCKER_CONTENT_TRUST_SERVER: server.url, DOCKER_CONTENT_TRUST: '1' }
    const found = await states([`${new URL(server.url).host}/team/app:1.4`], env)
    expect(found).to.include({ 'trust-server': 'ok', registry: 'problem', 'content-trust': 'problem', pins: 'warning' })
    const strange = await states([], { ...env, COUNTERSIGN_CA_FILE: '', COUNTERSIGN_SERVER: 'https://127.0.0.1:9' })
    expect(strange).to.include({ server: 'problem', token: 'warning', 'trust-server': 'problem', ok: false })
    status = 401
    expect(await states([])).to.include({ token: 'problem' })
    status = 403
    expect(await states([])).to.include({ token: 'ok' })
    expect(await states([], { COUNTERSIGN_SERVER: '' })).to.include({ server: 'warning' })
    chmodSync(place.path('token'), 0o644)
    expect(await states([])).to.include({ token: 'problem', server: 'ok' })
  })

  it('names left-over secrets and keys, and opens none', async () => {
    const keys = ['.docker/trust/private/aa.key', '.notary/private/tuf_keys/registry.example.com/bb.key']
    for (const path of keys) {
      mkdirSync(dirname(place.path(path)), { recursive: true })
      writeFileSync(place.path(path), 'nobody reads this', { mode: 0 })
    }
    const found = await states([], {
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'hush',
      NOTARY_TARGETS_PASSPHRASE: 'hush',
      PATH: join(place.folder, 'x'),
    })
    expect(found).to.include({
      'left-over-keys': 'warning',
      'left-over-secrets': 'warning',
      'docker-client': 'warning',
    })
    for (const path of keys) expect(found.means('left-over-keys')).to.include(place.path(path))
    expect(found.means('left-over-secrets'))
      .to.include('DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE, NOTARY_TARGETS_PASSPHRASE')
      .and.not.to.include('hush')
  })

  it('takes a docker that does not answer for absent, and kills it', async () => {
    const [own, kid] = [place.path('own'), place.path('kid')]
    place.file('docker', `#!/bin/sh\n/bin/sleep 60 & echo $! > ${kid}\necho $$ > ${own}\nexec /bin/sleep 60\n`, 0o700)
    try {
      expect(await states([])).to.include({ 'docker-client': 'warning' })
      const pid = Number(readFileSync(own, 'utf8'))
      expect(() => process.kill(pid, 0)).to.throw('ESRCH')
    } finally {
      process.kill(Number(readFileSync(kid, 'utf8')))
    }
  }).timeout(15_000)

  it('shows no password of an address', async () => {
    const { stdout, stderr } = await run([], {
      DOCKER_CONTENT_TRUST_SERVER: 'https://bob:s3cret@127.0.0.1:1/?k=s3cret',
    })
    expect(stdout + stderr).not.to.match(/s3cret|bob/)
    const plain = await run([], { DOCKER_CONTENT_TRUST_SERVER: 'https://127.0.0.1:1/?k=s3cret' })
    expect(plain.stdout).to.include('to https://127.0.0.1:1.').and.not.to.include('s3cret')
  })

  it('explains what docker said; ERROR_UNKNOWN: something else', async () => {
    expect((await run(['--explain', SAID['no-signing-keys'] ?? ''])).json()).to.include({ id: 'no-signing-keys' })
    const unknown = await run(['--explain', 'no space left on device'])
    expect([unknown.exit, unknown.codes()]).to.deep.equal([1, ['ERROR_UNKNOWN']])
  })
})
