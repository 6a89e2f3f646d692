// The stock notary client's commands, as one script, at our trust server (with the real key holder) and at a real notary-server (with a real
// notary-signer): what the client says and how it ends, what it asks for and is told, and the metadata afterwards are the same, but for the
// rows of the table of differences that are named here.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publicKeyPem } from '@countersign/tuf'
import { expect } from 'chai'
import { DIFFERENCES } from '../../src/trust-server/differences.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { isStorageSql, startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startTokenServer } from '../support/peers/token-server.ts'
import {
  expectOutcome,
  expectSame,
  siteOf,
  Transcript,
  type Difference,
  type Site,
  type Step,
} from '../support/peers/transcript.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { ServedTrust } from '../support/trust-server/served-trust.ts'
import { TOKEN } from '../support/trust-server/server.ts'

const GUN = 'registry.example.com/team/stock'
const HASHES = 'ab'.repeat(32)
const LOGIN = { username: 'bot', password: TOKEN }

/** What differs, and the row that explains it. */
const DIFFERING: Readonly<Record<string, Difference>> = {
  'publish with none': {
    row: 'D20',
    ours: { exit: 0, request: /^POST .* > 200$/, isChanged: false },
    original: { exit: 0, request: /^POST .* > 200$/, isChanged: true },
  },
  'init -p again': {
    row: 'D14',
    ours: { exit: 1, request: /^POST .* > 400 INVALID_UPDATE ErrBadRoot /, isChanged: false },
    original: { exit: 0, request: /^POST .* > 200$/, isChanged: true },
  },
}

/** What differs besides where the original has PostgreSQL for its storage. */
const DIFFERING_FROM_SQL: Readonly<Record<string, Difference>> = {
  'list with a cache of what is deleted': {
    row: 'D21',
    ours: {
      exit: 1,
      request: /^GET .*targets\/releases\.\S+\.json Bearer > 404 METADATA_NOT_FOUND$/,
      isChanged: false,
    },
    original: { exit: 0, request: /^GET .*targets\/releases\.\S+\.json Bearer > 200$/, isChanged: false },
  },
}

const differing = { ...DIFFERING, ...(isStorageSql() && DIFFERING_FROM_SQL) }

/** What a client without rights, keys or sense is refused, by itself or by the server. */
const FAILING: readonly string[] = [
  'list before there is anything',
  'init -p by nobody',
  'init -p of what is there',
  'lookup of nothing',
  'verify of another',
  'addhash -p without keys',
  'addhash -p outside the paths',
  'delegation with a bad name',
  'key rotate timestamp',
  'key rotate targets -r too',
  'key rotate root -r too',
  'key rotate by nobody',
  'delete --remote by nobody',
  'list with a cache of what is deleted',
  'init -p again',
]

describe('the notary client at our trust server', function () {
  this.timeout(240_000)
  const scope = new Scope()
  const ca = createTestCa()
  let ours: readonly Step[] = []
  let original: readonly Step[] = []

  before(async function () {
    requirePeers(this, 'notary', 'notary-server')
    const sites = await Promise.all([startOurs(), startOriginal()])
    ;[ours = [], original = []] = await Promise.all(sites.map((site) => script(site)))
  })
  after(() => scope.close())

  async function startOurs(): Promise<Site> {
    return siteOf(scope, await ServedTrust.start(scope, { ca }))
  }

  async function startOriginal(): Promise<Site> {
    const account = { password: TOKEN, actions: () => ['*', 'push', 'pull'] }
    const tokens = await startTokenServer(scope, { ca, accounts: { bot: account }, anonymous: () => ['pull'] })
    const notary = await startNotaryServer(scope, { ca, keys: 'signer', tokens })
    const headers = { authorization: `Bearer ${tokens.tokenFor(`repository:${GUN}:pull`)}` }
    return siteOf(scope, notary, { tokens, headers })
  }

  async function script(site: Site): Promise<readonly Step[]> {
    const owner = new NotaryClient(scope, { notary: site, login: LOGIN })
    const reader = new NotaryClient(scope, { notary: site })
    const other = new NotaryClient(scope, { notary: site, login: LOGIN })
    const newcomer = new NotaryClient(scope, { notary: site, login: LOGIN })
    const transcript = new Transcript(site, GUN)
    const { names } = transcript
    for (const { folder } of [owner, reader, other, newcomer]) names.set(folder, 'FOLDER')
    const file = join(owner.folder, 'artifact')
    writeFileSync(file, 'an artifact')
    const keyFile = (name: string): string => {
      const path = join(owner.folder, `${name}.pem`)
      writeFileSync(path, publicKeyPem(testKey(name).publicKey))
      return path
    }
    const privateKeyFile = (name: string): string => {
      const path = join(owner.folder, `${name}.private.pem`)
      writeFileSync(path, testKey(name).privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
      return path
    }
    const id = (name: string): string => testKey(name).publicKey.tufKeyId
    for (const name of ['alice', 'bob']) names.set(id(name), name)

    const run = async (title: string, args: readonly string[], client = owner): Promise<void> => {
      await transcript.note(title, await client.run(args, 'yes\n'))
    }
    const addhash = (tag: string, ...more: string[]): string[] => [
      'addhash',
      GUN,
      tag,
      '523',
      '--sha256',
      HASHES,
      ...more,
    ]
    const delegation = (action: string, ...args: string[]): string[] => ['delegation', action, GUN, ...args]
    const rotate = (...args: string[]): string[] => ['key', 'rotate', GUN, ...args]

    // The client holds the snapshot key, as notary init leaves it.
    await run('list before there is anything', ['list', GUN], reader)
    await run('init -p by nobody', ['init', GUN, '-p'], reader)
    await run('init', ['init', GUN])
    await run('publish after init', ['publish', GUN])
    await run('init -p of what is there', ['init', GUN, '-p'], other)
    await run('addhash -p', addhash('v1', '-p'))
    await run(
      'delegation add -p with the snapshot key here',
      delegation('add', 'targets/early', keyFile('alice'), '--all-paths', '-p'),
    )
    await run('key rotate snapshot', rotate('snapshot'))
    await run('witness with the snapshot key here', ['witness', GUN, 'targets', '-p'])
    await run('key rotate snapshot -r', rotate('snapshot', '-r'))

    await run('add', ['add', GUN, 'v2', file])
    await run('addhash', addhash('v3'))
    await run('remove', ['remove', GUN, 'v1'])
    await run('status', ['status', GUN])
    await run('publish with several changes', ['publish', GUN])
    await run('list', ['list', GUN], reader)
    await run('lookup', ['lookup', GUN, 'v2'], reader)
    await run('lookup of nothing', ['lookup', GUN, 'v1'], reader)
    await run('verify', ['verify', GUN, 'v2', '-i', file], reader)
    await run('verify of another', ['verify', GUN, 'v3', '-i', file], reader)
    await run('remove -p', ['remove', GUN, 'v3', '-p'])
    await run('addhash -p without keys', addhash('v9', '-p'), newcomer)

    await run(
      'delegation add',
      delegation('add', 'targets/releases', keyFile('alice'), keyFile('bob'), '--all-paths', '-p'),
    )
    await run('delegation add another', delegation('add', 'targets/alice', keyFile('alice'), '--paths', 'v', '-p'))
    await run('key import', ['key', 'import', privateKeyFile('alice'), '-r', 'delegation'])
    await run('addhash to two delegations', addhash('v6', '-r', 'targets/alice', '-r', 'targets/releases'))
    await run('delegation add below', delegation('add', 'targets/alice/deep', keyFile('bob'), '--paths', 'v1'))
    await run('publish to several roles', ['publish', GUN])
    await run('addhash -p outside the paths', addhash('x6', '-r', 'targets/alice', '-p'))
    await run('reset', ['reset', GUN, '--all'])
    await run('list of all roles', ['list', GUN], reader)
    await run('list of one role', ['list', GUN, '-r', 'targets/alice'], reader)
    await run('delegation list', delegation('list'), reader)
    await run('delegation remove a key', delegation('remove', 'targets/releases', id('bob'), '-p'))
    await run('witness of delegations', ['witness', GUN, 'targets/alice', 'targets/releases', '-p'])
    await run('delegation add paths', delegation('add', 'targets/alice', '--paths', 'w', '-p'))
    await run('delegation remove paths', delegation('remove', 'targets/alice', '--paths', 'v', '-p'))
    await run('delegation purge', delegation('purge', '--key', id('alice'), '-p'))
    await run('list after purge', ['list', GUN], reader)
    await run('delegation add again', delegation('add', 'targets/alice', keyFile('alice'), '--all-paths', '-p'))
    await run('addhash -p to the delegation again (trap Q5)', addhash('v7', '-r', 'targets/alice', '-p'))
    await run('reset again', ['reset', GUN, '--all'])
    await run('delegation remove all', delegation('remove', 'targets/alice', '-y', '-p'))
    await run('delegation with a bad name', delegation('add', 'targets/Bob', keyFile('bob'), '--all-paths', '-p'))

    for (const role of ['targets', 'root', 'timestamp']) await run(`key rotate ${role}`, rotate(role))
    for (const role of ['targets', 'root', 'snapshot', 'timestamp'])
      await run(`key rotate ${role} -r too`, rotate(role, '-r'))
    await run('key rotate by nobody', rotate('snapshot', '-r'), reader)
    await run('addhash -p after all rotations', addhash('v5', '-p'))
    await run('list with a cache from before', ['list', GUN], reader)
    await run('list with another cache from before', ['list', GUN], newcomer)

    await run('delete --remote by nobody', ['delete', GUN, '--remote'], reader)
    await run('delete', ['delete', GUN])
    await run('list after delete', ['list', GUN])
    await run('publish with none', ['publish', GUN])
    await run('delete --remote', ['delete', GUN, '--remote'])
    await run('list with a cache of what is deleted', ['list', GUN], newcomer)
    await run('init -p again', ['init', GUN, '-p'])
    return transcript.steps
  }

  it('says, asks for and leaves the same at both, but where a row says so', () => {
    expect(ours.length).to.be.greaterThan(60)
    expectSame(ours, original, differing)
  })

  it('fails where the client is to fail, and nowhere else', () => {
    expect(ours.filter(({ exit }) => exit !== 0).map(({ title }) => title)).to.deep.equal(FAILING)
  })

  for (const [title, difference] of Object.entries(differing)) {
    it(`${title}: as row ${difference.row} says`, () => {
      expect(DIFFERENCES.map(({ id }) => id)).to.include(difference.row)
      expectOutcome(ours, title, difference.ours)
      expectOutcome(original, title, difference.original)
    })
  }
})
