// A rival with a key of its own publishes in the same repository of a real notary-server: before us, between our read and our upload,
// and all the time. Both results stand. A version in our own role that we did not sign is another thing: it freezes the repository.
import { createHash, createPublicKey } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hexOfBase64Digest, parseGun, parseTargets, publicKeyOf, RELEASES, type Gun } from '@countersign/tuf'
import { expect } from 'chai'
import { request as httpRequest } from 'undici'
import { Countersign, type SigningRequestJson } from '../support/countersign.ts'
import { startFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { publishedFile } from '../support/peers/published.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { RIVAL, RivalSigner } from '../support/peers/rival-signer.ts'
import { startScriptedRegistry, type ScriptedRegistry } from '../support/peers/scripted-registry.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const CLIENTS = 8
const REQUESTS = 50
/** Milliseconds between two publications of the rival. */
const RIVAL_PAUSE = 100
/** In one of so many it writes the role that we write too; oftener, and a loaded machine never has the time between. */
const RELEASES_EVERY = 5

describe('rivals and outages at a real notary-server', function () {
  this.timeout(120_000)
  const scope = new Scope()
  const ca = createTestCa()
  let notary: NotaryServer
  let proxy: FaultProxy
  let registry: ScriptedRegistry
  let countersign: Countersign

  before(async function () {
    requirePeers(this, 'notary-server', 'notary')
    registry = await startScriptedRegistry(scope)
    // Every tag has a manifest of its own.
    registry.answer = (reference) => ({
      status: 200,
      headers: { 'content-type': MANIFEST_TYPE },
      body: manifestOf(reference),
    })
    notary = await startNotaryServer(scope, { ca })
    proxy = await startFaultProxy(scope, { target: notary.url, ca, rate: 0, delayMs: 3_000, faults: ['drop'] })
    countersign = await Countersign.start(scope, {
      notary: { ...notary, url: proxy.url, host: proxy.host },
      registry,
      // What a signature finds by itself is tested here.
      config: { watch: { every: '0s' } },
    })
  })
  after(() => scope.close())

  function manifestOf(tag: string): string {
    const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${hashOf(tag)}`, size: 2 }
    return JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config: empty, layers: [] })
  }

  /** A repository of the rival, in which we sign too. */
  async function shared(name: string): Promise<RivalSigner> {
    const rival = await RivalSigner.create(scope, notary, parseGun(`${registry.host}/${name}`))
    const file = join(countersign.folder, `cli/${name.replace('/', '-')}.pem`)
    const pin = ['--pin', rival.rootKeyId, '--trust-server', notary.url, '--ca-file', notary.caFile]
    const more = ['--operator-socket', countersign.operatorSocket, '--key-out', file]
    await countersign.must(['repo', 'adopt', rival.gun, ...pin, ...more])
    await rival.delegateTo(publicKeyOf(createPublicKey(readFileSync(file))))
    return rival
  }

  /** What `targets/releases` holds now: tag -> digest. */
  async function released(gun: Gun): Promise<Map<string, string>> {
    const listed = await new NotaryClient(scope, { notary }).list(gun, RELEASES)
    return new Map(listed.map(({ name, sha256 }) => [name, sha256]))
  }

  it('a rival publishes between our read and our upload: both results stand', async () => {
    const rival = await shared('team/between')
    proxy.plan('delay', (method) => method === 'POST')
    const before = proxy.struck.length
    const signing = countersign.request(['sign', `${rival.gun}:ours`])
    await waitFor('our upload', () => (proxy.struck.length > before ? true : undefined))
    await rival.sign('theirs', hashOf('theirs'))
    const { status, text } = await signing
    expect(status, `${text}\n${countersign.logs()}`).to.equal(0)
    expect(await released(rival.gun)).to.deep.equal(
      new Map([
        ['ours', hashOf(manifestOf('ours'))],
        ['theirs', hashOf('theirs')],
      ]),
    )
  })

  it(`${REQUESTS} concurrent requests from ${CLIENTS} clients, while a rival publishes in a loop`, async () => {
    const rival = await shared('team/crowd')
    const over = new AbortController()
    const publishing = (async () => {
      for (let count = 0; !over.signal.aborted; count++) {
        const tag = `theirs-${count}`
        await rival.sign(tag, hashOf(tag), count % RELEASES_EVERY === 0 ? [RELEASES, RIVAL] : [RIVAL])
        await delay(RIVAL_PAUSE)
      }
    })()
    let next = 0
    const results: SigningRequestJson[] = []
    const client = async (): Promise<void> => {
      for (;;) {
        // On a fast machine all would be over before the rival comes again.
        if (next >= REQUESTS / 2) await waitFor('the turn of the rival', () => rival.signed.size >= 2 || undefined)
        if (next >= REQUESTS) return
        results.push(...(await submitMany(rival.gun, [`ours-${next++}`])))
      }
    }
    // Each client has several requests under way, as pipelines do.
    await Promise.all(Array.from({ length: CLIENTS }, () => Promise.all(Array.from({ length: 7 }, client))))
    over.abort()
    await publishing

    expect(results).to.have.length(REQUESTS)
    for (const { images } of results) expect(images[0], JSON.stringify(images)).to.include({ status: 'published' })
    const ours = new Map(
      Array.from({ length: REQUESTS }, (_, index) => [`ours-${index}`, hashOf(manifestOf(`ours-${index}`))]),
    )
    expect(await released(rival.gun)).to.deep.equal(new Map([...ours, ...rival.signed]))
    const { versions, times } = await historyOf(rival.gun, ours)
    expect([...times.values()], 'each was published once').to.deep.equal(Array.from(ours, () => 1))
    expect(versions, 'versions that hold something new of ours').to.be.below(25)
    expect(rival.signed.size, 'the rival had its turn').to.be.at.least(2)
  })

  /** How many versions of releases brought something of ours, and how often each tag came. */
  async function historyOf(
    gun: Gun,
    ours: ReadonlyMap<string, string>,
  ): Promise<{ versions: number; times: Map<string, number> }> {
    const times = new Map<string, number>()
    let versions = 0
    let before = new Map<string, string>()
    const current = parseTargets(
      Buffer.from((await publishedFile(notary, gun, 'targets/releases.json')) ?? ''),
      RELEASES,
    )
    for (let version = 1; version <= current.metadata.version; version++) {
      const text = await publishedFile(notary, gun, `${version}.targets/releases.json`)
      if (text === undefined) continue
      const { targets } = parseTargets(Buffer.from(text), RELEASES).metadata
      const now = new Map([...targets].map(([tag, { hashes }]) => [tag, hexOfBase64Digest(hashes.get('sha256') ?? '')]))
      const news = [...now].filter(([tag, sha256]) => ours.has(tag) && before.get(tag) !== sha256)
      if (news.length > 0) versions += 1
      for (const [tag] of news) times.set(tag, (times.get(tag) ?? 0) + 1)
      before = now
    }
    return { versions, times }
  }

  async function submitMany(gun: Gun, tags: readonly string[]): Promise<SigningRequestJson[]> {
    const token = readFileSync(countersign.clientEnvironment['COUNTERSIGN_TOKEN_FILE'] ?? '', 'utf8').trim()
    return Promise.all(
      tags.map(async (tag) => {
        const answer = await httpRequest(`${countersign.url}/v1/signing-requests?wait=1m`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ images: [`${gun}:${tag}`] }),
        })
        return (await answer.body.json()) as SigningRequestJson
      }),
    )
  }

  it('the server is down: the request waits, the command line says so, and it is published when it is back', async () => {
    const gun = parseGun(`${registry.host}/team/down`)
    await countersign.must(['repo', 'init', gun])
    proxy.setRate(1)
    const signing = countersign.begin(['sign', `${gun}:1.0`])
    await waitFor('words of the command line', () =>
      signing.output().includes('waiting (NOTARY_UNAVAILABLE)') ? true : undefined,
    )
    expect(await publishedFile(notary, gun, '2.targets/releases.json')).to.equal(undefined)
    proxy.setRate(0)
    expect(await waitFor('its end', () => signing.ended(), 60_000), signing.output()).to.equal('status 0')
    expect(await released(gun)).to.deep.equal(new Map([['1.0', hashOf(manifestOf('1.0'))]]))
  })

  it('a version in a role whose keys are all ours, and that we did not sign: the repository freezes', async () => {
    const gun = parseGun(`${registry.host}/team/thief`)
    await countersign.must(['repo', 'init', gun])
    const copy = join(countersign.folder, 'copy')
    // Whoever has a copy of the key holder's folder signs as it does, and the original knows nothing of it.
    await exchangeKeys(() => {
      copyFolder(countersign.keyHolderFolder, copy)
    })
    await countersign.must(['sign', `${gun}:theft`])
    const stolen = await publishedFile(notary, gun, 'timestamp.json')
    await exchangeKeys(() => {
      rmSync(countersign.keyHolderFolder, { recursive: true })
      copyFolder(copy, countersign.keyHolderFolder)
    })
    expect(await countersign.refusal(['sign', `${gun}:next`])).to.include({ status: 1, code: 'BASE_VERSION_NOT_OURS' })
    expect((await countersign.refusal(['sign', `${gun}:more`])).status).to.equal(1)
    expect(await publishedFile(notary, gun, 'timestamp.json')).to.equal(stolen)
    const { stdout } = await countersign.must(['repo', 'status', gun, '--json'])
    expect(stdout).to.include('targets/countersign version 2').and.include('targets/releases version 2')
  })

  async function exchangeKeys(work: () => void): Promise<void> {
    await countersign.daemon.stop()
    await countersign.keyHolder.stop()
    work()
    await countersign.startKeyHolder()
    await countersign.startDaemon()
  }
})

/** Owners and modes included: the key holder's folder belongs to its user. */
function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to])
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
