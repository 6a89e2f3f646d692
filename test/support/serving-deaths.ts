// Deaths of the trust server and its key holder, as tests: whoever reads meanwhile gets the old version or the new one, whole; afterwards the
// update is published once, and the files of both versions can still be had.
import { RELEASES, ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import type { PublicationStep } from '../../src/trust-server/publications.ts'
import { KillableServing, type ReadState } from './killable-serving.ts'
import { waitFor } from './polling.ts'
import { RepositoryBuilder } from './repository-builder.ts'
import { Scope } from './scope.ts'
import { filesOf } from './trust-server/server.ts'

export interface Death {
  readonly of: 'trust-server' | 'key-holder'
  readonly step: PublicationStep | Step
  readonly passing: number
  /** The other process dies with it. */
  readonly together: boolean
}

/** Every step of both, in the order in which an update passes them: the snapshot is signed and stored first, then the timestamp. */
const STEPS = [
  ['trust-server', 'staged', 1],
  ['key-holder', 'checked', 1],
  ['key-holder', 'planned', 1],
  ['key-holder', 'committed', 1],
  ['key-holder', 'log-ahead', 1],
  ['key-holder', 'signed', 1],
  ['key-holder', 'stored', 1],
  ['key-holder', 'signed', 2],
  ['key-holder', 'stored', 2],
  ['trust-server', 'signed', 1],
  ['trust-server', 'committed', 1],
] as const

export const DEATHS: readonly Death[] = [false, true].flatMap((together) =>
  STEPS.map(([of, step, passing]) => ({ of, step, passing, together })),
)

/** Tests of these deaths, one after the other, of one pair of processes. Call inside `describe`. */
export function itSurvives(deaths: readonly Death[]): void {
  const scope = new Scope()
  const builder = RepositoryBuilder.withSigner('countersign', 'registry.example.com/team/killed')
  const { gun } = builder
  let serving: KillableServing

  before(async () => {
    serving = await KillableServing.start(scope)
    await serving.takeKeys(builder)
    const answer = await serving.publish(gun, filesOf(builder, ROOT, TARGETS, RELEASES, 'targets/countersign'))
    expect(answer?.status).to.equal(200)
  })
  after(() => scope.close())

  for (const { of, step, passing, together } of deaths) {
    const who = together ? `the ${of}, and the other with it,` : `the ${of}`
    it(`${who} after ${step}${passing === 1 ? '' : `, passing ${passing}`}`, async () => {
      const old = await serving.read(gun)
      if (old === undefined) throw new Error('Nothing is served.')
      builder.put(RELEASES, `${of}-${step}-${passing}`, 'image').nextVersions(RELEASES)
      const files = filesOf(builder, RELEASES)
      const { version } = builder.role(RELEASES)
      const seen: number[] = []
      let isOver = false
      const readOn = async (): Promise<void> => {
        while (!isOver) {
          const state = await serving.read(gun)
          if (state !== undefined) seen.push(versionOf(state))
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      }
      const mix = readOn().then(
        () => undefined,
        (error: unknown) => error,
      )
      const victim = serving.process(of)
      const other = of === 'trust-server' ? 'key-holder' : 'trust-server'
      await victim.dieAt(step, passing)
      const answer = serving.publish(gun, files)
      expect(await victim.ended()).to.equal('SIGKILL')
      if (together) await serving.process(other).kill()
      // Where the key holder died the client hears that it may have been taken; or nothing, where the trust server died too.
      const { status, code } = (await answer) ?? {}
      if (status !== undefined) expect([of, status, code]).to.deep.equal(['key-holder', 503, 'UNAVAILABLE'])
      if (of === 'key-holder' && !together) expect(status).to.equal(503)
      for (const one of together ? ([other, of] as const) : [of]) await serving.startAgain(one)
      // The next start of the trust server ends a staged update; where it lived, its next look at what was left.
      await waitFor('the end of what was left', async () => {
        const state = await serving.read(gun)
        return state !== undefined && versionOf(state) === version ? true : undefined
      })
      isOver = true
      expect(await mix).to.equal(undefined)
      expect(seen.length).to.be.greaterThan(0)
      expect(seen.filter((one) => one !== version && one !== version - 1)).to.deep.equal([])
      expect([...seen].sort((a, b) => a - b)).to.deep.equal(seen)
      // The same update again, as clients do after a lost answer, is there already.
      const again = await serving.publish(gun, files)
      expect([again?.status, again?.code]).to.deep.equal([400, 'VERSION'])
      // Whoever had the old timestamp gets the old files, whole.
      const past = await serving.read(gun, old.timestamp)
      expect(past && versionOf(past)).to.equal(version - 1)
    })
  }
}

function versionOf({ trusted }: ReadState): number {
  return trusted.delegations.get(RELEASES)?.metadata.version ?? 0
}
