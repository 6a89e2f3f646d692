// A repository with 10,000 signed tags, half of them gone: the real key holder takes the plan in one publication; and the whole with a real
// registry and Notary server, judged by the notary client.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RELEASES, targetsOf } from '@countersign/tuf'
import { expect } from 'chai'
import { requestStatus } from '../../src/domain/signing-request.ts'
import type { PrunePage } from '../../src/service/services.ts'
import { startHeldWorld } from '../support/fakes/held-world.ts'
import { load } from '../support/fakes/rival.ts'
import { app, ended, everybody } from '../support/fakes/world.ts'
import { Countersign } from '../support/countersign.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const TAGS = 10_000
/** As many as one request may name here. */
const AT_ONCE = 5_000
const LIMITS = `
recordsPerHour: 100000
repositories:
  - gun: '*'
    initialize: true
    entriesPerHour: 100000
`

describe('pruning of 10,000 tags', function () {
  this.timeout(1_200_000)
  const scope = new Scope()
  after(() => scope.close())

  it('unsigns the gone half in one publication: preview and effect are the same', async () => {
    const { world } = await startHeldWorld(scope, LIMITS, { maxImages: AT_ONCE })
    await world.initialize(app)
    const tags = Array.from({ length: TAGS }, (_, number) => `t${number}`)
    for (const tag of tags) world.registry.push(app, tag, 'a')
    for (let start = 0; start < TAGS; start += AT_ONCE) {
      await world.sign(...tags.slice(start, start + AT_ONCE).map((tag) => `${app}:${tag}`))
    }
    const left = tags.filter((_tag, number) => number % 2 === 0)
    for (const tag of tags) if (!left.includes(tag)) world.registry.remove(app, tag)

    const entries: PrunePage['entries'][number][] = []
    for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const page = await world.services.requests.planPruning(everybody, app, { gone: true }, after)
      expect([page.signed, page.kept]).to.deep.equal([TAGS, []])
      entries.push(...page.entries)
      after = page.nextCursor
    }
    expect(entries.map(({ tag }) => tag)).to.have.members(tags.filter((tag) => !left.includes(tag)))

    const [before, version] = [world.observer.publications.length, world.server.version(app, RELEASES)]
    const images = entries.map(({ tag, sha256 }) => `${app}:${tag}@sha256:${sha256}`)
    const pruning = entries.map(() => ({ reason: 'gone' as const, plannedAt: world.time.now() }))
    const submission = { kind: 'unsign', pruning, images } as const
    const { request } = await world.services.requests.submit(everybody, submission)
    expect(requestStatus((await ended(world, request)).images)).to.equal('published')
    expect(world.observer.publications.slice(before).map(({ changes }) => changes)).to.deep.equal([TAGS / 2])
    expect(world.server.version(app, RELEASES)).to.equal(version + 1)
    const standing = [...(targetsOf(await load(world, app), RELEASES)?.metadata.targets.keys() ?? [])]
    expect(standing).to.have.members(left)
  })

  it('stock clients agree', async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry')
    const registry = await startDockerRegistry(scope, { isTuned: true })
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    const config = { limits: { imagesPerRequest: 1000 } }
    const limits = {
      recordsPerHour: 100_000,
      repositories: [{ gun: '*', initialize: true, entriesPerHour: 100_000 }],
    }
    const countersign = await Countersign.start(scope, { notary, registry, config, limits })
    const name = 'team/app'
    const gun = `${registry.host}/${name}`
    await countersign.must(['repo', 'init', gun])
    const halves = [await images.pushManifest(name, 'kept-0'), await images.pushManifest(name, 'gone-0')] as const
    const tags = Array.from({ length: TAGS / 2 }, (_, number) => [`kept-${number}`, `gone-${number}`] as const)
    for (let start = 0; start < tags.length; start += 500) {
      const some = tags.slice(start, start + 500)
      for (let first = 0; first < some.length; first += 20) {
        const few = some.slice(first, first + 20)
        await Promise.all(few.flatMap((pair) => halves.map((image, half) => images.tag(image, pair[half]!))))
      }
      const list = join(scope.folder('list'), 'images.txt')
      writeFileSync(list, some.flatMap((pair) => pair.map((tag) => `${gun}:${tag}`)).join('\n'))
      await countersign.must(['sign', '--from', list, '--timeout', '5m'], { timeoutMs: 300_000 })
    }
    await images.remove(halves[1])
    const { stdout } = await countersign.must(['prune', gun, '--gone', '--json'], { timeoutMs: 300_000 })
    const plan = JSON.parse(stdout) as { entries: { tag: string }[]; kept: unknown[]; signed: number }
    expect([plan.signed, plan.kept]).to.deep.equal([TAGS, []])
    expect(plan.entries.map(({ tag }) => tag)).to.have.members(tags.map(([, gone]) => gone))
    const file = join(scope.folder('plan'), 'plan.json')
    writeFileSync(file, stdout)
    const applied = await countersign.must(['prune', gun, '--apply', file, '--json'], { timeoutMs: 300_000 })
    const { images: results } = JSON.parse(applied.stdout) as { images: { roles: object[] }[] }
    // All by the same versions of the same roles: one publication.
    expect(new Set(results.map(({ roles }) => JSON.stringify(roles))).size).to.equal(1)
    for (const role of ['targets/releases', 'targets/countersign']) {
      const listed = await new NotaryClient(scope, { notary }).list(gun, role)
      expect(listed.map((entry) => entry.name)).to.have.members(tags.map(([kept]) => kept))
    }
  })
})
