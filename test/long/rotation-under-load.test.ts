// Every key of a repository is rotated while pipelines ask for twenty signatures a second and stock clients with cached metadata pull all the
// time: no request fails, and no pull. Real notary-server, registry and engine. Shows its figures on standard error.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { runToSuccess } from '../support/processes.ts'
import { RotationLoad, type Asked } from '../support/rotation-load.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const PER_SECOND = 20
/** However long the rotations take: more than three minutes of it. */
const MAX_REQUESTS = 4_000
/** Of load before, between and after the rotations. */
const PAUSE_MS = 3_000
const LIMITS = {
  repositories: [{ gun: '*', initialize: true, versionsPerHour: 100_000, entriesPerHour: 100_000 }],
  recordsPerHour: 1_000_000,
}

const tell = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

describe('rotating every key under load', function () {
  this.timeout(900_000)
  const scope = new Scope()
  let notary: NotaryServer
  let engine: DockerEngine
  let images: ImageMaker
  let countersign: Countersign
  let first: PushedImage
  let folder: string

  const path = (name: string): string => join(folder, name)
  /** On a machine that knows of no server. */
  const offline = (...args: readonly string[]) =>
    runToSuccess(process.execPath, [countersign.program, ...args], { env: {} })
  const create = (name: string) =>
    offline('root', 'create', '--gun', first.gun, '--out', path(name), '--passphrase-file', path('passphrase'))
  const socket = (): readonly string[] => ['--operator-socket', countersign.operatorSocket]
  /** Exports, signs with each of these keys, applies. */
  async function ceremony(name: string, asked: readonly string[], keys: readonly string[]): Promise<void> {
    await countersign.must(['root', 'export', first.gun, ...asked, ...socket(), '--out', path(`${name}-0.json`)])
    for (const [index, key] of keys.entries()) {
      const signing = ['--root', path(key), '--passphrase-file', path('passphrase')]
      await offline(
        'root',
        'sign',
        path(`${name}-${index}.json`),
        '--out',
        path(`${name}-${index + 1}.json`),
        ...signing,
      )
    }
    await countersign.must(['root', 'apply', path(`${name}-${keys.length}.json`)])
  }

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine')
    const ca = createTestCa()
    const registry = await startDockerRegistry(scope, { isTuned: true })
    notary = await startNotaryServer(scope, { ca })
    engine = await startDockerEngine(scope, { ca })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const config = { log: { level: 'info' } }
    countersign = await Countersign.start(scope, { notary, registry, limits: LIMITS, config })
    first = await images.pushManifest('team/app', 'first')
    folder = scope.folder('ceremony')
    writeFileSync(path('passphrase'), 'correct horse battery\n', { mode: 0o600 })
    await create('root.key')
    await create('successor.key')
    const root = ['--root', path('root.key'), '--passphrase-file', path('passphrase')]
    await countersign.must(['repo', 'init', first.gun, ...root])
    await countersign.must(['sign', first.reference])
  })
  after(() => scope.close())

  it('fails no request and no pull', async () => {
    const { gun, reference } = first
    const old = new DockerClient(scope, { notary, engine })
    const current = new DockerClient(scope, { notary, engine })
    const looking = new NotaryClient(scope, { notary })
    // All three have everything in their caches before the first rotation.
    for (const docker of [old, current]) expect((await docker.trustedPull(reference)).status).to.equal(0)
    await looking.must(['lookup', gun, first.tag])

    // Pushed before: a registry that is busy with pushes is another test.
    const tags: PushedImage[] = []
    for (let index = 0; index < MAX_REQUESTS; index++) tags.push(await images.tag(first, `load-${index}`))

    const load = new RotationLoad(reference)
    load.pull('docker pull of one tag', () => old.trustedPull(reference))
    load.pull('docker pull of the newest tag', () => current.trustedPull(load.newest))
    load.pull('notary lookup', () => looking.run(['lookup', gun, first.tag]))
    load.ask(countersign, tags, PER_SECOND)

    const reason = ['--reason', 'yearly']
    const rotations: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['delegation', () => countersign.must(['key', 'rotate', gun, ...reason, ...socket()])],
      ['targets', () => ceremony('targets', ['--rotate', 'targets', ...reason], ['root.key'])],
      ['snapshot', () => ceremony('snapshot', ['--rotate', 'snapshot'], ['root.key'])],
      ['timestamp', () => ceremony('timestamp', ['--rotate', 'timestamp'], ['root.key'])],
      [
        'root, signed by both keys',
        () => ceremony('root', ['--root-certificate', path('successor.key.crt')], ['root.key', 'successor.key']),
      ],
      ['root, signed by the new key alone', () => ceremony('alone', [], ['successor.key'])],
    ]
    const spans: { name: string; from: number; to: number }[] = []
    const broken: string[] = []
    await delay(PAUSE_MS)
    for (const [name, rotate] of rotations) {
      const from = load.elapsedMs
      tell(`rotation: ${name}, with ${load.waiting} requests under way`)
      await rotate().catch((error: unknown) => {
        broken.push(`${name}: ${String(error)}`)
      })
      spans.push({ name, from, to: load.elapsedMs })
      await delay(PAUSE_MS)
    }
    const seconds = load.elapsedMs / 1000
    const { asked, pulls } = await load.stop()

    tell(`rotation: ${asked.length} requests in ${seconds.toFixed(1)} s: ${figures(asked)}`)
    for (const { name, from, to } of spans) {
      const during = asked.filter(({ atMs, ms }) => atMs < to && atMs + ms > from)
      tell(`rotation: ${name}: ${Math.round(to - from)} ms; ${during.length} requests under way: ${figures(during)}`)
    }
    for (const { name, count, failed } of pulls) tell(`rotation: ${name}: ${count}, failed ${failed.length}`)
    expect(broken).to.deep.equal([])
    expect(countersign.daemon.output(), 'no version of ours was taken for that of others').to.not.include(
      'somebody else',
    )
    expect(asked.filter(({ outcome }) => outcome !== 'published')).to.deep.equal([])
    for (const { name, count, failed } of pulls) {
      expect(failed, name).to.deep.equal([])
      expect(count, name).to.be.greaterThan(rotations.length)
    }
    // The rate was kept: otherwise there was no such load.
    expect(asked.length).to.be.greaterThan(0.9 * Math.min(PER_SECOND * seconds, MAX_REQUESTS))

    // Whoever was there all the time and whoever comes now see the same, signed by the new keys.
    for (const docker of [old, current, new DockerClient(scope, { notary, engine })]) {
      const { SignedTags } = await docker.inspectTrust(gun)
      expect(SignedTags.map(({ SignedTag }) => SignedTag)).to.have.members([first.tag, ...asked.map(({ tag }) => tag)])
    }
    const { keys } = JSON.parse((await countersign.must(['key', 'list', gun, '--json'])).stdout) as {
      keys: { role: string; state: string }[]
    }
    for (const role of ['targets', 'targets/countersign']) {
      expect(keys.filter((key) => key.role === role).map(({ state }) => state)).to.deep.equal(['replaced', 'active'])
    }
  })
})

/** Milliseconds from the submission of a request to its end. */
function figures(asked: readonly Asked[]): string {
  const times = asked.map(({ ms }) => ms).sort((one, other) => one - other)
  const at = (part: number): number =>
    Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0)
  return `median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms`
}
