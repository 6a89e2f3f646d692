// The keys of 1,000 repositories go from the key holder's folder into a PKCS#11 token, one rotation after the other, while two repositories are
// signed without a pause, one with a sealed key and one in the token: nothing fails, and no signature waits long. Shows its figures on
// standard error; docs/performance.md has them.
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { SoftHsm, TOKEN_URI } from '../support/softhsm.ts'

const REPOSITORIES = 1_000
const ROLE = 'targets/countersign'
/** Far above what is measured on a busy machine, and far below what a caller waits for. */
const LONGEST_WAIT_MS = 5_000

const LIMITS = `
repositories: [{ gun: "registry.example.com/*", initialize: true, versionsPerHour: 1000000, entriesPerHour: 1000000 }]
keysPerHour: 10000
recordsPerHour: 1000000
`

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
const inWords = (values: readonly number[]): string =>
  `median ${median(values).toFixed(0)} ms, longest ${Math.max(...values).toFixed(0)} ms of ${values.length}`

describe('the custody of 1,000 keys', function () {
  this.timeout(1_800_000)
  const scope = new Scope()
  let holder: TestKeyHolder
  let publications = 0

  before(function () {
    requirePeers(this, 'softhsm')
  })
  after(() => scope.close())

  /** The signing key of this repository is made anew in the token, and everything that it signs is signed anew. */
  async function intoToken(repository: HeldRepository): Promise<void> {
    const { gun } = repository
    const reason = 'an HSM came'
    await holder.operator.call('stage-key', { gun, role: ROLE, custody: TOKEN_URI, reason, evidence: EVIDENCE })
    const files = repository.files()
    const request = { publication: `rotation-${++publications}`, gun, evidence: EVIDENCE, files: [...files.keys()] }
    repository.publish((await repository.service.call('replace-keys', request, files)).attachments)
    await repository.observe()
  }
  const custodyOf = async (gun: string): Promise<string | undefined> => {
    const { keys } = (await holder.operator.call('repository-status', { gun })).response
    return keys.find(({ role, state }) => role === ROLE && state === 'active')?.custody
  }

  it('is changed while signing goes on', async () => {
    const hsm = SoftHsm.make(scope)
    holder = new TestKeyHolder(scope, LIMITS, hsm)
    holder.writeLimits(LIMITS)
    await holder.start()
    const initialize = (name: string): Promise<HeldRepository> =>
      HeldRepository.initialize(holder, `registry.example.com/${name}`)
    const [sealed, inToken] = [await initialize('busy/sealed'), await initialize('busy/token')]
    await intoToken(inToken)
    const quiet: HeldRepository[] = []
    for (let made = 0; made < REPOSITORIES; made++) quiet.push(await initialize(`quiet/${made}`))

    let isOver = false
    const waits = { sealed: [] as number[], inToken: [] as number[] }
    const work = [
      [sealed, waits.sealed],
      [inToken, waits.inToken],
    ] as const
    const signing = Promise.all(
      work.map(async ([repository, spans]) => {
        for (let tag = 0; !isOver; tag++) {
          const began = performance.now()
          const request = `${repository.gun} ${tag}`
          await repository.sign([{ ...put(`t${tag % 20}`, String(tag)), evidence: { ...EVIDENCE, request } }])
          spans.push(performance.now() - began)
        }
      }),
    )
    signing.catch(() => undefined)

    const rotations: number[] = []
    for (const repository of quiet) {
      const began = performance.now()
      await intoToken(repository)
      rotations.push(performance.now() - began)
      if (rotations.length % 100 === 0) process.stderr.write(`custody: ${rotations.length} of ${REPOSITORIES}\n`)
    }
    isOver = true
    await signing
    process.stderr.write(
      `custody: a rotation into the token: ${inWords(rotations)}; signatures meanwhile: sealed key ${inWords(waits.sealed)}; ` +
        `key in the token ${inWords(waits.inToken)}\n`,
    )
    for (const spans of Object.values(waits)) expect(Math.max(...spans)).to.be.lessThan(LONGEST_WAIT_MS)
    for (const repository of [inToken, ...quiet]) expect(await custodyOf(repository.gun)).to.match(/^PKCS#11 token/)
    expect(hsm.privateKeys()).to.have.length(REPOSITORIES + 1)
    expect(holder.log().filter(({ kind }) => kind === 'refused')).to.deep.equal([])
    const [one] = quiet
    await one?.sign([put('after')])
    expect(one?.tags(RELEASES)).to.deep.equal(['after'])
  })
})
