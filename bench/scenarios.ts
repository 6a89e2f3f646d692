// What is measured. Both sides take turns in one run, on the same Notary server, in repositories of their own that hold the same.
import type { PushedImage } from '../test/support/peers/images.ts'
import { compare, type Comparison, type Measured } from './comparison.ts'
import { fill } from './fill.ts'
import { NativeClient } from './native.ts'
import { ServerTime } from './server-time.ts'
import { SERVING_SCENARIOS } from './serving.ts'
import type { Scenario } from './scenario.ts'
import type { Stage } from './stage.ts'
import { tagNames } from './tags.ts'

const ONE_ROLE = ['targets'] as const
/** What `docker trust sign` writes where there are delegations. */
const TWO_ROLES = ['targets/releases', 'targets/countersign'] as const

const MANY_TAGS = 10_000
const BURST = 200
const REPOSITORIES = 20
const REQUESTS_EACH = 5

export const SCENARIOS: readonly Scenario[] = [
  oneTag({ name: 'small', tags: 0, roles: ONE_ROLE, pairs: 30, target: 0.75 }),
  oneTag({ name: 'small-two-roles', tags: 0, roles: TWO_ROLES, pairs: 30, target: 0.75 }),
  oneTag({ name: 'large', tags: MANY_TAGS, roles: ONE_ROLE, pairs: 15, target: 0.6 }),
  oneTag({ name: 'large-two-roles', tags: MANY_TAGS, roles: TWO_ROLES, pairs: 15, target: 0.75 }),
  { name: 'burst', about: `${BURST} concurrent requests into one repository`, run: burst },
  { name: 'fleet', about: `${REPOSITORIES * REQUESTS_EACH} requests over ${REPOSITORIES} repositories`, run: fleet },
  ...SERVING_SCENARIOS.map((scenario) => ({ ...scenario, isOnDemand: true })),
]

/** Measurements that are thrown away: caches fill, code is compiled. */
const WARM_UP_PAIRS = 3

interface OneTag {
  readonly name: string
  /** In the repository beforehand. */
  readonly tags: number
  readonly roles: readonly string[]
  readonly pairs: number
  readonly target: number
}

/** One request at a time against one `notary addhash -p` at a time, in turns. */
function oneTag({ name, tags, roles, pairs, target }: OneTag): Scenario {
  const title = `one tag, ${tags === 0 ? 'small repository' : `${tags} tags`}, ${roles.join(' and ')}`
  return {
    name,
    about: title,
    async run(stage, tell) {
      const all = pairs + WARM_UP_PAIRS
      const native = new NativeClient(stage.scope, stage.notary)
      const [nativeGun, ourName] = [stage.gun(`native/${name}`), `ours/${name}`]
      await native.init(nativeGun, roles)
      await stage.api.init(stage.gun(ourName), roles === TWO_ROLES)
      if (tags > 0) {
        const names = tagNames('v', tags)
        await native.fill(nativeGun, roles, names)
        await fill({ countersign: stage.countersign, server: stage.notary }, stage.gun(ourName), roles, names)
      }
      const images = await stage.pushTags(ourName, tagNames('ours', all))
      const servers = new ServerTime(stage.notary.process, stage.registry.process)
      const runs: { native: Measured[]; ours: Measured[] } = { native: [], ours: [] }
      const measure = {
        native: async () => ({ milliseconds: await native.addOne(nativeGun, roles), servers: await servers.lap() }),
        ours: async (position: number) => {
          const image = images[position]
          if (image === undefined) throw new Error('There are too few images.')
          return { milliseconds: await stage.api.sign(image), servers: await servers.lap() }
        },
      }
      await servers.lap()
      for (let pair = 0; pair < all; pair++) {
        // Each side goes first in every other pair, so that what slows the machine down meets both.
        const order = pair % 2 === 0 ? (['native', 'ours'] as const) : (['ours', 'native'] as const)
        for (const side of order) runs[side].push(await measure[side](pair))
        tell(`${name} ${pair + 1}/${all}: ${last(runs.native)} ms native, ${last(runs.ours)} ms ours`)
      }
      const command = `notary addhash -p${roles === TWO_ROLES ? ' -r … -r …' : ''}`
      return compare(
        { scenario: name, title, target },
        { what: command, runs: runs.native.slice(WARM_UP_PAIRS) },
        { what: 'one request', runs: runs.ours.slice(WARM_UP_PAIRS) },
      )
    },
  }
}

const BURST_ROUNDS = 3

async function burst(stage: Stage, tell: (line: string) => void): Promise<Comparison> {
  const native = new NativeClient(stage.scope, stage.notary)
  const runs: { native: Measured[]; ours: Measured[] } = { native: [], ours: [] }
  const servers = new ServerTime(stage.notary.process, stage.registry.process)
  for (let round = 0; round <= BURST_ROUNDS; round++) {
    const [nativeGun, ourName] = [stage.gun(`native/burst${round}`), `ours/burst${round}`]
    await stage.api.init(stage.gun(ourName), false)
    const images = await stage.pushTags(ourName, tagNames('ours', BURST))
    await stage.api.connect(BURST)
    await servers.lap()
    const ours = await timed(() => Promise.all(images.map((image) => stage.api.sign(image))))
    const ourRun = { milliseconds: ours, servers: await servers.lap() }
    // The first round only warms up; the native client has nothing to warm.
    if (round === 0) continue
    runs.ours.push(ourRun)
    await native.init(nativeGun, ONE_ROLE)
    await servers.lap()
    const milliseconds = await timed(async () => {
      for (let count = 0; count < BURST; count++) await native.addOne(nativeGun, ONE_ROLE)
    })
    runs.native.push({ milliseconds, servers: await servers.lap() })
    tell(`burst ${round}/${BURST_ROUNDS}: ${last(runs.native)} ms native, ${last(runs.ours)} ms ours`)
  }
  return compare(
    { scenario: 'burst', title: `${BURST} tags into one repository`, target: 1 / 15 },
    { what: `${BURST} sequential notary addhash -p`, runs: runs.native },
    { what: `${BURST} concurrent requests`, runs: runs.ours },
  )
}

const FLEET_ROUNDS = 4
const NATIVE_CLIENTS = 2

async function fleet(stage: Stage, tell: (line: string) => void): Promise<Comparison> {
  const names = tagNames('repository', REPOSITORIES)
  const clients = Array.from({ length: NATIVE_CLIENTS }, () => new NativeClient(stage.scope, stage.notary))
  /** Each client has its half of the repositories. */
  const shares = clients.map((client, index) => ({
    client,
    guns: names.filter((_, at) => at % clients.length === index).map((name) => stage.gun(`native/${name}`)),
  }))
  await Promise.all(
    shares.map(async ({ client, guns }) => {
      for (const gun of guns) await client.init(gun, ONE_ROLE)
    }),
  )
  for (const name of names) await stage.api.init(stage.gun(`ours/${name}`), false)
  const runs: { native: Measured[]; ours: Measured[] } = { native: [], ours: [] }
  const servers = new ServerTime(stage.notary.process, stage.registry.process)
  await stage.api.connect(REPOSITORIES * REQUESTS_EACH)
  for (let round = 0; round < FLEET_ROUNDS; round++) {
    const tags = tagNames(`round${round}`, REQUESTS_EACH)
    const images: PushedImage[] = []
    for (const name of names) images.push(...(await stage.pushTags(`ours/${name}`, tags)))
    await servers.lap()
    const ours = await timed(() => Promise.all(images.map((image) => stage.api.sign(image))))
    const ourRun = { milliseconds: ours, servers: await servers.lap() }
    const native = await timed(() =>
      Promise.all(
        shares.map(async ({ client, guns }) => {
          for (let count = 0; count < REQUESTS_EACH; count++) for (const gun of guns) await client.addOne(gun, ONE_ROLE)
        }),
      ),
    )
    const nativeRun = { milliseconds: native, servers: await servers.lap() }
    // The first round only warms up.
    if (round === 0) continue
    runs.native.push(nativeRun)
    runs.ours.push(ourRun)
    tell(`fleet ${round}/${FLEET_ROUNDS - 1}: ${last(runs.native)} ms native, ${last(runs.ours)} ms ours`)
  }
  const requests = REPOSITORIES * REQUESTS_EACH
  return compare(
    { scenario: 'fleet', title: `${requests} tags over ${REPOSITORIES} repositories`, target: 1 / 3 },
    { what: `${requests} notary addhash -p by ${NATIVE_CLIENTS} clients in parallel`, runs: runs.native },
    { what: `${requests} concurrent requests`, runs: runs.ours },
  )
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

function last(runs: readonly Measured[]): string {
  return (runs.at(-1)?.milliseconds ?? Number.NaN).toFixed(1)
}
