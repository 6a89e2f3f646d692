// `root create` and `repo init` with an offline root: a server of any intent gets a signature over a proper first root, or none.
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { expect } from 'chai'
import {
  certificateKey,
  decodeBase64,
  encodeBase64,
  newRoot,
  parsePrivateKeyFile,
  publicKeyOf,
  verifySignature,
  type PublicKey,
} from '@countersign/tuf'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const PASSPHRASE = 'correct horse battery'
const DAY_MS = 86_400_000

function newKey(): PublicKey {
  return publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey)
}

/** A first root as an honest server proposes it. */
function rootBytes(rootKey: PublicKey, more: Partial<Parameters<typeof newRoot>[0]> = {}): Buffer {
  const unsigned = newRoot({
    version: 1,
    expiresAt: new Date(Date.now() + 3650 * DAY_MS),
    rootKeys: [rootKey],
    targetsKeys: [newKey()],
    snapshotKeys: [newKey()],
    timestampKeys: [newKey()],
    ...more,
  })
  return Buffer.from(unsigned.message)
}

describe('cli root create', () => {
  let place: Workplace
  beforeEach(() => {
    place = new Workplace()
    place.file('passphrase', `${PASSPHRASE}\n`)
  })
  afterEach(() => {
    place.remove()
  })

  function create(gun: string, argv: readonly string[] = []): Promise<Ran> {
    const files = ['--out', place.path('root.key'), '--passphrase-file', place.path('passphrase')]
    return place.run(['root', 'create', '--gun', gun, ...files, ...argv])
  }

  it('writes an encrypted key of mode 0600 and a certificate that belongs to it', async () => {
    const ran = await create('registry.example.com/team/*', ['--json'])
    expect(ran.exit).to.equal(0)
    const keyFile = readFileSync(place.path('root.key'))
    expect(statSync(place.path('root.key')).mode & 0o777).to.equal(0o600)
    expect(keyFile.toString()).to.match(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\npath: [0-9a-f]{64}\nrole: root\n\n/)
    const [opened] = parsePrivateKeyFile(keyFile, Buffer.from(PASSPHRASE))
    const pem = readFileSync(place.path('root.key.crt'), 'utf8')
    const key = certificateKey(pem)
    expect(publicKeyOf(opened!.privateKey).canonicalKeyId).to.equal(key.canonicalKeyId)
    expect(new X509Certificate(pem).subject).to.equal('CN=registry.example.com/team/*')
    expect(ran.json()).to.deep.equal({
      gun: 'registry.example.com/team/*',
      keyFile: place.path('root.key'),
      certificateFile: place.path('root.key.crt'),
      tufKeyId: key.tufKeyId,
      canonicalKeyId: key.canonicalKeyId,
    })
  })

  it('leaves nothing behind when one of the two files exists', async () => {
    place.file('root.key.crt', 'mine')
    expect((await create(GUN)).codes()).to.deep.equal(['FILE_EXISTS'])
    expect(existsSync(place.path('root.key'))).to.equal(false)
    place.remove()
    place = new Workplace()
    place.file('passphrase', PASSPHRASE)
    place.file('root.key', 'mine')
    expect((await create(GUN)).codes()).to.deep.equal(['FILE_EXISTS'])
    expect(existsSync(place.path('root.key.crt'))).to.equal(false)
  })

  it('never replaces a file', async () => {
    await create(GUN)
    const before = readFileSync(place.path('root.key'))
    const ran = await create(GUN)
    expect(ran.codes()).to.deep.equal(['FILE_EXISTS'])
    expect(ran.exit).to.equal(1)
    expect(readFileSync(place.path('root.key')).equals(before)).to.equal(true)
  })

  for (const gun of ['*', '*/team', 'registry.example.com/*/app', 'registry.example.com/te*', 'Registry/UPPER', '']) {
    it(`refuses the pattern "${gun}"`, async () => {
      const ran = await create(gun)
      expect(ran.exit).to.equal(2)
    })
  }

  it('refuses a passphrase that is short, or that others can read', async () => {
    place.file('passphrase', 'short')
    expect((await create(GUN)).codes()).to.deep.equal(['PASSPHRASE_TOO_SHORT'])
    place.remove()
    place = new Workplace()
    place.file('passphrase', PASSPHRASE, 0o644)
    expect((await create(GUN)).codes()).to.deep.equal(['SECRET_FILE_EXPOSED'])
  })
})

describe('cli repo init', () => {
  let place: Workplace
  let api: FakeApi | undefined
  let rootKey: PublicKey

  beforeEach(async () => {
    place = new Workplace()
    place.file('passphrase', `${PASSPHRASE}\n`)
    const files = ['--out', place.path('root.key'), '--passphrase-file', place.path('passphrase')]
    await place.run(['root', 'create', '--gun', 'registry.example.com/team/*', ...files])
    rootKey = certificateKey(readFileSync(place.path('root.key.crt'), 'utf8'))
  })
  afterEach(async () => {
    await api?.stop()
    api = undefined
    place.remove()
  })

  async function init(script: Script, argv: readonly string[] = [], gun = GUN): Promise<Ran> {
    api = await new FakeApi(script).start()
    const server = ['--server', api.url, '--token-file', place.file('token', `cs_${'t'.repeat(43)}`)]
    const root = ['--root', place.path('root.key'), '--passphrase-file', place.path('passphrase')]
    return place.run(['repo', 'init', gun, ...root, ...server, ...argv])
  }

  /** Proposes these bytes, and finishes when a signature comes. */
  const proposing =
    (bytes: Uint8Array): Script =>
    ({ path }) =>
      path.endsWith('/root-signatures')
        ? { body: { gun: GUN, state: 'ready', rootKeyIds: [rootKey.tufKeyId] } }
        : {
            status: 201,
            body: {
              gun: GUN,
              state: 'awaiting-root-signature',
              rootKeyIds: [rootKey.tufKeyId],
              rootSigned: encodeBase64(bytes),
            },
          }

  it('sends the certificate, signs a proper first root, and sends the signature alone', async () => {
    const bytes = rootBytes(rootKey)
    const ran = await init(proposing(bytes), ['--json'])
    expect(ran.exit).to.equal(0)
    expect(ran.json()).to.deep.equal({ gun: GUN, state: 'ready', rootKeyIds: [rootKey.tufKeyId], root: 'offline' })
    const [first, second] = api!.requests
    expect(first?.body).to.deep.equal({
      gun: GUN,
      root: { kind: 'offline', certificatePem: readFileSync(place.path('root.key.crt'), 'utf8') },
      delegations: true,
    })
    expect(second?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/root-signatures`)
    const { signatures } = second?.body as { signatures: { keyId: string; method: string; signature: string }[] }
    expect(Object.keys(second?.body as object)).to.deep.equal(['signatures'])
    expect(signatures).to.have.length(1)
    expect(signatures[0]?.keyId).to.equal(rootKey.tufKeyId)
    expect(verifySignature(rootKey, signatures[0]!.method, bytes, decodeBase64(signatures[0]!.signature))).to.equal(
      true,
    )
  })

  it('shows what it signs: repository, roles, key IDs and expiry', async () => {
    const targetsKey = newKey()
    const ran = await init(proposing(rootBytes(rootKey, { targetsKeys: [targetsKey] })))
    for (const shown of [
      GUN,
      rootKey.tufKeyId,
      targetsKey.tufKeyId,
      'targets',
      'snapshot',
      'timestamp',
      'expires 20',
    ]) {
      expect(ran.stderr).to.include(shown)
    }
  })

  it('puts no private key and no passphrase into output or requests', async () => {
    const ran = await init(proposing(rootBytes(rootKey)), ['--json'])
    const [opened] = parsePrivateKeyFile(readFileSync(place.path('root.key')), Buffer.from(PASSPHRASE))
    const { d } = opened!.privateKey.export({ format: 'jwk' }) as { d: string }
    const everything = ran.stdout + ran.stderr + JSON.stringify(api!.requests)
    for (const secret of [
      d,
      Buffer.from(d, 'base64url').toString('base64'),
      Buffer.from(d, 'base64url').toString('hex'),
      PASSPHRASE,
      'PRIVATE KEY',
    ]) {
      expect(everything).not.to.include(secret)
    }
  })

  const hostile: Readonly<Record<string, () => Uint8Array>> = {
    'another root key': () => rootBytes(newKey()),
    'a second root key': () => rootBytes(rootKey, { rootKeys: [rootKey, newKey()] }),
    'the root key for targets too': () => rootBytes(rootKey, { targetsKeys: [rootKey] }),
    'version 2': () => changed(rootBytes(rootKey), (text) => text.replace('"version":1}', '"version":2}')),
    'an expiry in the past': () => rootBytes(rootKey, { expiresAt: new Date(Date.now() - DAY_MS) }),
    'an expiry in twenty years': () => rootBytes(rootKey, { expiresAt: new Date(Date.now() + 7300 * DAY_MS) }),
    'threshold 2 for the root': () =>
      changed(rootBytes(rootKey), (text) => text.replace(/("root":\{"keyids":\["\w+"\],"threshold":)1/, '$12')),
    'a member that is not known': () =>
      changed(rootBytes(rootKey), (text) => text.replace('"version":1}', '"version":1,"x":{}}')),
    'a role that is not known': () =>
      changed(rootBytes(rootKey), (text) =>
        text.replace('"roles":{', '"roles":{"mirrors":{"keyids":[],"threshold":1},'),
      ),
    'bytes that are not canonical': () =>
      changed(rootBytes(rootKey), (text) => text.replace('"version":1', '"version": 1')),
    'targets metadata': () =>
      Buffer.from(
        '{"_type":"Targets","delegations":{"keys":{},"roles":[]},"expires":"2030-01-01T00:00:00Z","targets":{},"version":1}',
      ),
    'an envelope within the bytes': () => Buffer.concat([rootBytes(rootKey), Buffer.from(',"signed":{}')]),
    nothing: () => new Uint8Array(),
    text: () => Buffer.from('sign this'),
  }
  for (const [name, bytes] of Object.entries(hostile)) {
    it(`signs nothing when asked for ${name}`, async () => {
      const ran = await init(proposing(bytes()))
      expect(ran.exit).to.equal(1)
      expect(ran.codes()).to.deep.equal(['ROOT_NOT_AS_EXPECTED'])
      expect(api!.requests).to.have.length(1)
    })
  }

  it('does not take a repository with another root for its own', async () => {
    const ran = await init(() => ({ status: 201, body: { gun: GUN, state: 'ready', rootKeyIds: [newKey().tufKeyId] } }))
    expect(ran.exit).to.equal(1)
    expect(ran.codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
  })

  it('asks no server when the certificate may not stand for the repository', async () => {
    const ran = await init(() => problem(500, 'INTERNAL'), [], 'registry.example.com/other/app')
    expect(ran.exit).to.equal(1)
    expect(api!.requests).to.deep.equal([])
  })

  it('asks no server when key, certificate or passphrase do not fit', async () => {
    const other = ['--out', place.path('other.key'), '--passphrase-file', place.path('passphrase')]
    await place.run(['root', 'create', '--gun', 'registry.example.com/team/*', ...other])
    writeFileSync(place.path('other.key.crt'), readFileSync(place.path('root.key.crt')))
    const mixed = await init(() => problem(500, 'INTERNAL'), ['--root', place.path('other.key')])
    expect(mixed.codes()).to.deep.equal(['ROOT_CERTIFICATE_MISMATCH'])
    expect(api!.requests).to.deep.equal([])
    await api!.stop()
    const wrong = await init(
      () => problem(500, 'INTERNAL'),
      ['--passphrase-file', place.file('wrong', 'a wrong passphrase')],
    )
    expect(wrong.codes()).to.deep.equal(['PASSPHRASE_WRONG'])
    expect(api!.requests).to.deep.equal([])
  })

  it('warns that an online root is for a try', async () => {
    api = await new FakeApi(() => ({
      status: 201,
      body: { gun: GUN, state: 'ready', rootKeyIds: [rootKey.tufKeyId] },
    })).start()
    const ran = await place.run(
      ['repo', 'init', GUN, '--no-delegations', '--key-type', 'ed25519', '--server', api.url],
      {
        env: { COUNTERSIGN_TOKEN: 'cs_x' },
      },
    )
    expect(ran.exit).to.equal(0)
    expect(ran.stderr).to.include('warning')
    expect(api.requests[0]?.body).to.deep.equal({
      gun: GUN,
      root: { kind: 'online' },
      delegations: false,
      keyType: 'ed25519',
    })
  })

  it('lists repositories, and shows what could not be found out as a failure', async () => {
    const repository = {
      gun: GUN,
      state: 'ready',
      root: 'offline',
      signer: 'countersign',
      keyType: 'ecdsa',
      createdAt: '2026-11-24T10:00:00.000Z',
      createdBy: 'x',
    }
    const report = {
      ...repository,
      custody: {},
      roles: [{ role: 'targets', version: 3, expiresAt: '2029-11-24T10:00:00.000Z', sha256: 'ab', entries: 0 }],
      warnings: [{ code: 'ROOT_KEY_ONLINE', detail: 'The root key is online.' }],
    }
    api = await new FakeApi(({ path }, count) =>
      path === '/v1/repositories'
        ? { body: { repositories: [repository] } }
        : { body: count > 3 ? { ...report, trouble: { code: 'NOTARY_UNREACHABLE', detail: 'away' } } : report },
    ).start()
    const env = { COUNTERSIGN_TOKEN: 'cs_x', COUNTERSIGN_SERVER: api.url }
    const list = await place.run(['repo', 'list', '--json'], { env })
    expect(list.json()).to.deep.equal({ repositories: [repository] })
    const all = await place.run(['repo', 'status'], { env })
    expect(all.exit).to.equal(0)
    expect(all.stdout).to.include('ROOT_KEY_ONLINE').and.to.include('2029-11-24')
    const one = await place.run(['repo', 'status', GUN], { env })
    expect(one.exit).to.equal(1)
    expect(one.codes()).to.deep.equal(['NOTARY_UNREACHABLE'])
    expect(api.requests.at(-1)?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}`)
  })

  it('shows what expires, who signs it again, and what a person has to do', async () => {
    const forecast = {
      gun: GUN,
      from: '2026-11-24T10:00:00.000Z',
      until: '2029-11-23T10:00:00.000Z',
      roles: [{ role: 'root', expiresAt: '2027-03-01T00:00:00.000Z', by: 'ceremony' }],
      acts: [
        {
          role: 'root',
          kind: 'person',
          by: 'ceremony',
          at: '2026-11-24T10:00:00.000Z',
          expiresAt: '2027-03-01T00:00:00.000Z',
          plan: 'A root ceremony.',
        },
      ],
    }
    let acts: readonly object[] = forecast.acts
    api = await new FakeApi(({ path }) =>
      path === '/v1/repositories'
        ? { body: { repositories: [{ gun: GUN, state: 'ready' }] } }
        : { body: { ...forecast, acts } },
    ).start()
    const env = { COUNTERSIGN_TOKEN: 'cs_x', COUNTERSIGN_SERVER: api.url }
    const one = await place.run(['repo', 'status', '--expiry', GUN], { env })
    expect(one.exit).to.equal(0)
    expect(one.stdout).to.match(/^2026-11-24 +root +2027-03-01 +A root ceremony\.$/m)
    expect(api.requests.at(-1)?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/expiry-forecast`)
    expect((await place.run(['repo', 'status', '--expiry', GUN, '--json'], { env })).json()).to.deep.equal(forecast)
    expect((await place.run(['repo', 'status', '--expiry', '--json'], { env })).json()).to.deep.equal({
      forecasts: [forecast],
    })
    acts = []
    const calm = await place.run(['repo', 'status', '--expiry'], { env })
    expect(calm.stdout).to.include('Until 2029-11-23 nothing has to be done.')
  })

  it('shows what has drifted, of one repository and of all, and versions that wait for a decision', async () => {
    const tag = {
      tag: '1.4',
      state: 'moved',
      signed: 'sha256:aa',
      found: 'sha256:bb',
      since: '2026-11-24T00:00:00.000Z',
    }
    const drift = { gun: GUN, signed: 9, moved: 1, gone: 0, unknown: 2, tags: [tag], hasMore: true }
    const foreign = { versions: [{ role: 'targets/releases', version: 12, decision: 'none' }], leftOut: 3 }
    api = await new FakeApi(({ path }) =>
      path === '/v1/repositories'
        ? { body: { repositories: [{ gun: GUN, state: 'ready' }] } }
        : { body: path.endsWith('/drift') ? drift : { gun: GUN, state: 'ready', custody: { foreign } } },
    ).start()
    const env = { COUNTERSIGN_TOKEN: 'cs_x', COUNTERSIGN_SERVER: api.url }
    const one = await place.run(['repo', 'drift', GUN], { env })
    expect(one.exit).to.equal(0)
    expect(one.stdout).to.include(`${GUN}: 9 signed tags, 1 moved, 0 gone, 2 without an answer`)
    expect(one.stdout).to.match(/^1\.4 +moved +sha256:aa +sha256:bb +2026-11-24T00:00:00\.000Z$/m)
    expect(one.stdout).to.include('There are more')
    expect(api.requests.at(-1)?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/drift`)
    expect((await place.run(['repo', 'drift', GUN, '--json'], { env })).json()).to.deep.equal(drift)
    expect((await place.run(['repo', 'drift', '--json'], { env })).json()).to.deep.equal({ repositories: [drift] })
    const status = await place.run(['repo', 'status', GUN], { env })
    expect(status.stdout).to.include('not signed here, and not decided about: targets/releases version 12')
    expect(status.stdout).to.include('and 3 older ones that wait; the audit log names them')
  })

  it('shows what was pushed and is not signed, and why', async () => {
    const since = '2026-11-29T00:00:00.000Z'
    const tags = [
      { tag: 'v1', since, digest: 'sha256:aa', request: 'request-1', status: 'denied' },
      { tag: 'v2', since, digest: 'sha256:bb' },
      { tag: 'v3', since },
      { tag: 'v4', since, trouble: 'REGISTRY_UNAVAILABLE' },
    ]
    const unsigned = { gun: GUN, unsigned: 9, waiting: 2, tags, hasMore: true }
    api = await new FakeApi(({ path }) => ({
      body: path === '/v1/repositories' ? { repositories: [{ gun: GUN, state: 'ready' }] } : unsigned,
    })).start()
    const env = { COUNTERSIGN_TOKEN: 'cs_x', COUNTERSIGN_SERVER: api.url }
    const { exit, stdout } = await place.run(['repo', 'unsigned', GUN], { env })
    expect(exit).to.equal(0)
    expect(stdout).to.include(`${GUN}: 9 pushed tags are not signed, 2 of them not looked at yet`)
    expect(stdout).to.match(/^v1 +\S+ +sha256:aa +denied +request-1$/m)
    expect(stdout).to.match(/^v2 +\S+ +sha256:bb +no event for this digest +-$/m)
    expect(stdout).to.match(/^v3 +\S+ +- +not looked at yet +-$/m)
    expect(stdout).to.match(/^v4 +\S+ +- +REGISTRY_UNAVAILABLE +-$/m)
    expect(stdout).to.include('There are more')
    expect(api.requests.at(-1)?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/unsigned-tags`)
    expect((await place.run(['repo', 'unsigned', '--json'], { env })).json()).to.deep.equal({
      repositories: [unsigned],
    })
  })

  it('removes a repository, and says what stays', async () => {
    api = await new FakeApi(() => ({ status: 204 })).start()
    const env = { COUNTERSIGN_TOKEN: 'cs_x', COUNTERSIGN_SERVER: api.url }
    const removed = await place.run(['repo', 'remove', GUN, '--json'], { env })
    expect([removed.exit, removed.json()]).to.deep.equal([0, { gun: GUN, removed: true }])
    const [request] = api.requests
    expect([request?.method, request?.path]).to.deep.equal(['DELETE', `/v1/repositories/${encodeURIComponent(GUN)}`])
  })

  it('refuses an image where a repository is meant, and half of a root', async () => {
    expect((await place.run(['repo', 'init', `${GUN}:1.4`])).exit).to.equal(2)
    expect((await place.run(['repo', 'init', GUN, '--root', 'x'])).exit).to.equal(2)
  })
})

function changed(bytes: Buffer, change: (text: string) => string): Buffer {
  const text = change(bytes.toString('utf8'))
  if (text === bytes.toString('utf8')) throw new Error('the change changes nothing')
  return Buffer.from(text, 'utf8')
}
