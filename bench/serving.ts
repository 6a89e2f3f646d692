// The embedded trust server beside a real notary-server with memory storage: the same updates, the same reads, the same client.
import { TARGETS } from '@countersign/tuf'
import { compareFigures, type Comparison } from './comparison.ts'
import type { Embedded } from './embedded.ts'
import { fill } from './fill.ts'
import { residentMiB } from './memory.ts'
import { NativeClient } from './native.ts'
import { Owner } from './owner.ts'
import { Readers } from './reading.ts'
import type { Scenario } from './scenario.ts'
import type { Stage } from './stage.ts'
import { tagNames } from './tags.ts'
import { TrustServerClient } from './trust-server-client.ts'

type Tell = (line: string) => void
type Side = 'native' | 'ours'
const SIDES = ['native', 'ours'] as const
const NAMES = { native: 'notary-server', ours: 'embedded trust server' } as const

export const SERVING_SCENARIOS: readonly Scenario[] = [
  serving({ name: 'serve-small', tags: 10, updates: 40, commands: 20, target: 1 }),
  serving({ name: 'serve-10000', tags: 10_000, updates: 12, commands: 8, target: 0.5 }),
  serving({ name: 'serve-100000', tags: 100_000, updates: 6, commands: 3, target: 0.5 }),
  signing({ name: 'serve-sign', tags: 0, pairs: 30, target: 0.5 }),
  signing({ name: 'serve-sign-10000', tags: 10_000, pairs: 12, target: 0.3 }),
  { name: 'serve-reads', about: 'reads of timestamp.json', run: reads },
  { name: 'serve-memory', about: 'memory of servers with many repositories', run: memory },
]

/** Measurements of each side that are thrown away. */
const WARM_UP = 2

interface Serving {
  readonly name: string
  /** In the repository beforehand. */
  readonly tags: number
  /** Prepared updates, and commands of the stock client, that count. */
  readonly updates: number
  readonly commands: number
  readonly target: number
}

function serving(o: Serving): Scenario {
  const about = `one tag into a repository of ${o.tags}, at both servers`
  return {
    name: o.name,
    about,
    async run(stage, tell) {
      const embedded = await stage.embedded()
      return [await preparedUpdates(o, stage, embedded, tell), await commands(o, stage, embedded, tell)]
    },
  }
}

/** The servers' own time: the same prepared update over a connection that is open. */
async function preparedUpdates(
  { name, tags, updates, target }: Serving,
  stage: Stage,
  embedded: Embedded,
  tell: Tell,
): Promise<Comparison> {
  const owner = new Owner(stage.gun(`served/${name}`), tagNames('v', tags))
  const first = owner.targets()
  // All of them before the first connection: servers close those on which nothing comes for seconds.
  const next = Array.from({ length: updates + WARM_UP }, (_, at) => owner.nextTargets(`more${at}`))
  const servers = { native: new TrustServerClient(stage.notary), ours: new TrustServerClient(embedded) }
  const values: Record<Side, number[]> = { native: [], ours: [] }
  try {
    for (const side of SIDES) await owner.create(servers[side], first)
    for (const [at, targets] of next.entries()) {
      const files = new Map([[TARGETS, targets]])
      for (const side of turns(at)) values[side].push(await servers[side].publish(owner.gun, files))
      tell(`${name} ${at + 1}/${next.length}: ${last(values.native)} ms native, ${last(values.ours)} ms ours`)
    }
  } finally {
    for (const side of SIDES) await servers[side].close()
  }
  return compareFigures(
    { scenario: name, title: `one update, ${tags} tags, ready to send`, target },
    { what: NAMES.native, values: values.native.slice(WARM_UP) },
    { what: NAMES.ours, values: values.ours.slice(WARM_UP) },
  )
}

/** The whole command of the stock client. */
async function commands(
  { name, tags, commands: count }: Serving,
  stage: Stage,
  embedded: Embedded,
  tell: Tell,
): Promise<Comparison> {
  const gun = stage.gun(`commands/${name}`)
  const clients = {
    native: new NativeClient(stage.scope, stage.notary),
    ours: new NativeClient(stage.scope, embedded, embedded.login),
  }
  const values: Record<Side, number[]> = { native: [], ours: [] }
  for (const side of SIDES) {
    await clients[side].init(gun, [TARGETS])
    // The client itself would take minutes for so many tags.
    const owner = new Owner(gun, tagNames('v', tags), { key: clients[side].targetsKey(gun), version: 100 })
    const targets = owner.targets()
    const server = new TrustServerClient(side === 'native' ? stage.notary : embedded)
    await server.publish(gun, new Map([[TARGETS, targets]]))
    await server.close()
  }
  for (let at = 0; at < count + WARM_UP; at++) {
    for (const side of turns(at)) values[side].push(await clients[side].addOne(gun, [TARGETS]))
    tell(`${name} command ${at + 1}/${count + WARM_UP}: ${last(values.native)} ms native, ${last(values.ours)} ms ours`)
  }
  return compareFigures(
    { scenario: name, title: `notary addhash -p, ${tags} tags` },
    { what: NAMES.native, values: values.native.slice(WARM_UP) },
    { what: NAMES.ours, values: values.ours.slice(WARM_UP) },
  )
}

interface Signing {
  readonly name: string
  readonly tags: number
  readonly pairs: number
  readonly target: number
}

/** All of Countersign on its own trust server, beside the stock client on the real one: published, and verified by reading it back. */
function signing({ name, tags, pairs, target }: Signing): Scenario {
  const title = `one tag, ${tags === 0 ? 'small repository' : `${tags} tags`}, signed and published`
  return {
    name,
    about: `${title}, each on its own server`,
    async run(stage, tell) {
      const embedded = await stage.embedded()
      const native = new NativeClient(stage.scope, stage.notary)
      const [nativeGun, ourName] = [stage.gun(`native/${name}`), `embedded/${name}`]
      await native.init(nativeGun, [TARGETS])
      await embedded.api.init(stage.gun(ourName), false)
      if (tags > 0) {
        await native.fill(nativeGun, [TARGETS], tagNames('v', tags))
        const { countersign } = embedded
        await fill({ countersign, server: embedded }, stage.gun(ourName), [TARGETS], tagNames('v', tags))
      }
      const images = await stage.pushTags(ourName, tagNames('ours', pairs + WARM_UP))
      const values: Record<Side, number[]> = { native: [], ours: [] }
      for (const [at, image] of images.entries()) {
        for (const side of turns(at)) {
          values[side].push(
            side === 'native' ? await native.addOne(nativeGun, [TARGETS]) : await embedded.api.sign(image),
          )
        }
        tell(`${name} ${at + 1}/${images.length}: ${last(values.native)} ms native, ${last(values.ours)} ms ours`)
      }
      return compareFigures(
        { scenario: name, title, target },
        { what: 'notary addhash -p, notary-server', values: values.native.slice(WARM_UP) },
        { what: 'one request, embedded trust server', values: values.ours.slice(WARM_UP) },
      )
    },
  }
}

const READERS = 16
const READS = 4000
const READ_ROUNDS = 7

async function reads(stage: Stage, tell: Tell): Promise<Comparison> {
  const embedded = await stage.embedded()
  const owner = new Owner(stage.gun('served/reads'), tagNames('v', 10))
  const path = `/v2/${owner.gun}/_trust/tuf/timestamp.json`
  const addresses = { native: stage.notary, ours: embedded }
  const values: Record<Side, number[]> = { native: [], ours: [] }
  for (let round = 0; round < READ_ROUNDS + WARM_UP; round++) {
    for (const side of turns(round)) {
      if (round === 0) {
        const server = new TrustServerClient(addresses[side])
        await owner.create(server, owner.targets())
        await server.close()
      }
      const readers = await Readers.connect(addresses[side], path, READERS)
      values[side].push(((await readers.read(READS)) / READS) * 1000)
      readers.close()
    }
    const perSecond = (side: Side): string => (1e6 / (values[side].at(-1) ?? Number.NaN)).toFixed(0)
    tell(`serve-reads: ${perSecond('native')} per second native, ${perSecond('ours')} ours`)
  }
  return compareFigures(
    { scenario: 'serve-reads', title: `1,000 reads of timestamp.json over ${READERS} connections`, target: 1 },
    { what: NAMES.native, values: values.native.slice(WARM_UP) },
    { what: NAMES.ours, values: values.ours.slice(WARM_UP) },
  )
}

const MANY_REPOSITORIES = 1000

async function memory(stage: Stage, tell: Tell): Promise<readonly Comparison[]> {
  const embedded = await stage.embedded()
  const sides = [
    ['native', stage.notary, [stage.notary.process.pid]],
    ['ours', embedded, [embedded.process.pid, embedded.countersign.keyHolder.pid]],
  ] as const
  const figures: Record<Side, { before: number[]; after: number[] }> = {
    native: { before: [], after: [] },
    ours: { before: [], after: [] },
  }
  for (const [side, address, pids] of sides) {
    figures[side].before = pids.map(residentMiB)
    const server = new TrustServerClient(address)
    for (let at = 0; at < MANY_REPOSITORIES; at++) {
      const owner = new Owner(stage.gun(`many/repository${at}`), tagNames('v', 10))
      await owner.create(server, owner.targets())
      for (const tag of ['next', 'last']) {
        await server.publish(owner.gun, new Map([[TARGETS, owner.nextTargets(tag)]]))
      }
    }
    await server.close()
    figures[side].after = pids.map(residentMiB)
    tell(`serve-memory: ${side} ${figures[side].before.join(' + ')} before, ${figures[side].after.join(' + ')} after`)
  }
  const title = `memory with ${MANY_REPOSITORIES} repositories of 10 tags, three updates each`
  const ours = (at: number, what: string): Comparison =>
    compareFigures(
      { scenario: 'serve-memory', title, unit: 'MiB' },
      { what: NAMES.native, values: figures.native.after },
      { what, values: [figures.ours.after[at] ?? Number.NaN] },
    )
  return [ours(0, NAMES.ours), ours(1, 'its key holder')]
}

/** Each side goes first in every other round, so that what slows the machine down meets both. */
function turns(round: number): readonly Side[] {
  return round % 2 === 0 ? SIDES : [...SIDES].reverse()
}

function last(values: readonly number[]): string {
  return (values.at(-1) ?? Number.NaN).toFixed(1)
}
