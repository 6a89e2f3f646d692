// A repository with 10,000 signed tags, half of them gone: the real key holder takes the plan in one publication.
import { RELEASES, targetsOf } from '@countersign/tuf'
import { expect } from 'chai'
import { requestStatus } from '../../src/domain/signing-request.ts'
import type { PrunePage } from '../../src/service/services.ts'
import { startHeldWorld } from '../support/fakes/held-world.ts'
import { load } from '../support/fakes/rival.ts'
import { app, ended, everybody } from '../support/fakes/world.ts'
import { Scope } from '../support/scope.ts'

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
  this.timeout(600_000)
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
    const submission = { kind: 'unsign', isPruning: true, images } as const
    const { request } = await world.services.requests.submit(everybody, submission)
    expect(requestStatus((await ended(world, request)).images)).to.equal('published')
    expect(world.observer.publications.slice(before).map(({ changes }) => changes)).to.deep.equal([TAGS / 2])
    expect(world.server.version(app, RELEASES)).to.equal(version + 1)
    const standing = [...(targetsOf(await load(world, app), RELEASES)?.metadata.targets.keys() ?? [])]
    expect(standing).to.have.members(left)
  })
})
