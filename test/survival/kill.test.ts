// The daemon and the key holder, real processes, die by SIGKILL at every step of a publication, apart and together. Afterwards the
// request is published exactly once, the trust server's history shows it once, and both logs explain what happened.
import { parseGun, RELEASES, type Gun } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import { PUBLICATION_STEPS, type PublicationStep } from '../../src/service/steps.ts'
import { SIGNER } from '../support/fakes/rival.ts'
import { KillablePair } from '../support/killable-pair.ts'
import type { Kind } from '../support/killable.ts'
import { waitFor } from '../support/polling.ts'
import { faultsOfHistory, publishedHistory, unrecordedVersions } from '../support/published-history.ts'
import { Scope } from '../support/scope.ts'

interface Death {
  readonly of: Kind
  readonly step: PublicationStep | Step
  /** It dies when it passes the step for the nth time after the request was made. */
  readonly passing: number
  /** The other process dies with it. */
  readonly together: boolean
  /** The status in the daemon's database where the daemon died; undefined where it lived, or where that is the death's own race. */
  readonly leaves?: string
  /** Versions of each role that were recorded to be signed and never published. */
  readonly burns: 0 | 1
}

/** What a death of the daemon after each step leaves, and whether the version that was signed is lost by it. */
const DAEMON: Readonly<Record<PublicationStep, { readonly leaves: string; readonly burns: 0 | 1 }>> = {
  'base-loaded': { leaves: 'approved', burns: 0 },
  'roles-chosen': { leaves: 'approved', burns: 0 },
  'digests-checked': { leaves: 'approved', burns: 0 },
  'intent-saved': { leaves: 'intended', burns: 0 },
  signed: { leaves: 'intended', burns: 1 },
  'bytes-checked': { leaves: 'intended', burns: 1 },
  'bytes-saved': { leaves: 'publishing', burns: 0 },
  published: { leaves: 'publishing', burns: 0 },
  'read-back': { leaves: 'publishing', burns: 0 },
  'proof-saved': { leaves: 'published', burns: 0 },
}

/**
 * What a death of the key holder at each of its steps burns where the daemon dies too; where the daemon lives it asks again under the
 * same publication, and nothing is burnt. `passing`: the first commit is the record of the request, the second the change, the third
 * what was read back; only the change waits for the log's files. A step that signing does not pass has no row here and one in test/key-holder/crash.test.ts.
 */
const KEY_HOLDER: Readonly<Record<Step, readonly { readonly passing: number; readonly burns: 0 | 1 }[]>> = {
  checked: [{ passing: 1, burns: 0 }],
  planned: [{ passing: 1, burns: 0 }],
  'keys-made': [],
  committed: [
    { passing: 1, burns: 0 },
    { passing: 2, burns: 1 },
    { passing: 3, burns: 0 },
  ],
  'tiles-written': [{ passing: 1, burns: 1 }],
  'later-tiles-written': [{ passing: 1, burns: 0 }],
  'log-published': [{ passing: 1, burns: 1 }],
  'log-ahead': [],
  signed: [{ passing: 1, burns: 1 }],
  stored: [{ passing: 1, burns: 1 }],
  erased: [],
  'token-destroyed': [],
}

const DEATHS: readonly Death[] = [false, true].flatMap((together) => [
  ...PUBLICATION_STEPS.map((step): Death => ({ of: 'daemon', step, passing: 1, together, ...DAEMON[step] })),
  ...(Object.keys(KEY_HOLDER) as Step[]).flatMap((step) =>
    KEY_HOLDER[step].map(({ passing, burns }): Death => ({
      of: 'key-holder',
      step,
      passing,
      together,
      burns: together ? burns : 0,
    })),
  ),
])

describe('killed at every step of a publication', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let pair: KillablePair
  const gun = parseGun('registry.example.com/team/app')
  const expected = new Map<string, string>()
  let burnt = 0
  let interrupted = 0

  before(async () => {
    pair = await KillablePair.start(scope)
    await pair.initialize(gun)
  })
  after(() => scope.close())

  for (const [index, death] of DEATHS.entries()) {
    const { of, step, passing, together, leaves, burns } = death
    const who = together ? `the ${of}, and the other with it,` : `the ${of}`
    it(`${who} after ${step}${passing === 1 ? '' : `, passing ${passing}`}`, async () => {
      const tag = `t${index}`
      expected.set(tag, pair.registry.pushManifest(gun, tag, tag))
      const [victim, other] = [pair.process(of), pair.process(of === 'daemon' ? 'key-holder' : 'daemon')]
      await victim.dieAt(step, passing)
      const submitted = pair.submit(gun, tag)
      expect(await victim.ended()).to.equal('SIGKILL')
      if (together) await other.kill()
      if (leaves !== undefined) expect(pair.storedStatus(tag)).to.equal(leaves)
      const dead: Kind[] = together ? ['key-holder', 'daemon'] : [of]
      for (const kind of dead) await pair.startAgain(kind)

      const request = await pair.finished((await submitted).id)
      expect(request.images.map(({ status }) => status)).to.deep.equal(['published'])
      burnt += burns
      // An intent that a crash left is given up, and the log says so.
      const interruptions = pair
        .daemonLines()
        .filter(({ code, level }) => code === 'PUBLICATION_INTERRUPTED' && level === 'warn')
      interrupted += leaves === 'intended' ? 1 : 0
      if (leaves !== undefined) expect(interruptions).to.have.length(interrupted)
      else interrupted = interruptions.length
      await expectHistory(gun)
      // Lines are written a moment later, so that no slow reader holds up who signs: a death right after the end may take this one with it.
      if (step === 'proof-saved') return
      await waitFor('the line of the log that names the end', () =>
        pair.daemonLines().find((line) => line['request'] === request.id && line['to'] === 'published'),
      )
    })
  }

  async function expectHistory(name: Gun): Promise<void> {
    const log = pair.auditLog()
    for (const role of [RELEASES, SIGNER]) {
      const history = await publishedHistory(pair.server, name, role)
      expect(faultsOfHistory(history, expected)).to.deep.equal([])
      expect(unrecordedVersions(history, name, log)).to.deep.equal([])
      expect(pair.server.version(name, role) - history.length, 'burnt versions').to.equal(burnt)
    }
  }

  it('left a record of every version that was ever signed', async () => {
    await pair.process('key-holder').kill()
    const payloads = pair.signedPayloads(gun).filter(({ role, version }) => role.startsWith('targets/') && version > 1)
    expect(payloads).to.have.length(2 * (expected.size + burnt))
    const recorded = pair
      .auditLog()
      .filter(({ kind }) => kind === 'targets-change')
      .flatMap((entry) => entry['roles'] as { role: string; version: number; payloadSha256: string }[])
      .map(({ role, version, payloadSha256 }) => ({ role, version, payloadSha256 }))
    expect(recorded).to.have.deep.members(payloads)
  })
})
