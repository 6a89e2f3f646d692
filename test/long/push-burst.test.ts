// Five hundred pushes in a burst into a real registry, some twice, some late, with blobs and deletions between, and the daemon killed in the middle: every
// tag is signed once. Real notary-server and registry. Shows its figures on standard error.
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { freePort } from '../support/free-port.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import {
  eventsOf,
  expectSignedOnce,
  forgedEvents,
  pushBurst,
  PUSH_SECRET,
  PUSH_SECRETS,
  sendEvents,
  signOnPush,
} from '../support/push-burst.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { waitFor } from '../support/polling.ts'
import { createTestCa } from '../support/tls.ts'

const NAME = 'team/app'
const COUNT = 500
const LIMITS = {
  repositories: [{ gun: '*', initialize: true, versionsPerHour: 100_000, entriesPerHour: 100_000 }],
  recordsPerHour: 1_000_000,
}

describe('five hundred pushes', function () {
  this.timeout(600_000)
  const scope = new Scope()
  let registry: DockerRegistry
  let images: ImageMaker
  let countersign: Countersign

  before(async function () {
    requirePeers(this, 'notary-server', 'registry')
    const port = await freePort()
    const events = { url: `http://127.0.0.1:${port}/v1/events/main`, secret: PUSH_SECRET }
    registry = await startDockerRegistry(scope, { events, isTuned: true })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    const gun = `${registry.host}/${NAME}`
    countersign = await Countersign.start(scope, {
      notary,
      registry,
      port,
      secrets: PUSH_SECRETS,
      limits: LIMITS,
      config: { signOnPush: signOnPush(registry.host, gun) },
    })
    await countersign.must(['repo', 'init', gun])
  })
  after(() => scope.close())

  it('are signed once each, across a kill of the daemon', async () => {
    const gun = `${registry.host}/${NAME}`
    const victim = await startScriptedServer(scope, (_, response) => response.writeHead(200).end())
    const started = performance.now()
    const first = await pushBurst(images, NAME, COUNT)
    const pushedIn = performance.now() - started
    // What it has accepted must not be lost; what the registry could not deliver comes again.
    const { daemon } = countersign
    process.kill(daemon.pid, 'SIGKILL')
    await waitFor('the end of the daemon', () => daemon.ended())
    await countersign.startDaemon()
    await sendEvents(countersign, forgedEvents(new URL(victim.url).host))
    await expectSignedOnce(countersign, gun, first, { others: [], withinMs: 300_000 })
    const signedIn = performance.now() - started
    await sendEvents(countersign, eventsOf(first.toReversed(), NAME))
    await expectSignedOnce(countersign, gun, first, { others: [], withinMs: 120_000 })
    expect(victim.heard).to.deep.equal([])
    process.stderr.write(`${COUNT} pushes in ${Math.round(pushedIn)} ms, all signed after ${Math.round(signedIn)} ms\n`)
  })
})
