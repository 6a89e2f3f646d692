// The unlock key of 1,000 keys is changed while two repositories are signed without a pause: no signature fails, and none waits long. Shows
// its figures on standard error; docs/performance.md has them. The key holder is a process of its own, so that the callers' work is not its.
import { once } from 'node:events'
import { readFileSync, renameSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import { startSeparately } from '../support/crash-key-holder.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { opened, sealedKeys, wrappingsLeft } from '../support/sealed-keys.ts'

const KEYS = 1_000
const REPOSITORIES = 2
const CHANGES = 9
/** Far above what is measured on a busy machine, and far below what a caller waits for. */
const LONGEST_WAIT_MS = 3_000

const LIMITS = `
repositories: [{ gun: "registry.example.com/*", initialize: true, versionsPerHour: 1000000, entriesPerHour: 1000000 }]
keysPerHour: 10000
`

/** In milliseconds. */
interface Span {
  readonly began: number
  readonly ended: number
}

const length = ({ began, ended }: Span): number => ended - began
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
const longest = (spans: readonly Span[]): number => Math.max(...spans.map(length))

async function timed<T>(work: () => Promise<T>): Promise<{ readonly span: Span; readonly result: T }> {
  const began = performance.now()
  const result = await work()
  return { span: { began, ended: performance.now() }, result }
}

describe('the unlock key of 1,000 keys', function () {
  this.timeout(600_000)
  const scope = new Scope()
  after(() => scope.close())

  it('is changed while signing goes on', async () => {
    const holder = await TestKeyHolder.start(scope, LIMITS)
    const guns = Array.from({ length: REPOSITORIES }, (_, index) => `registry.example.com/busy/${index}`)
    const repositories = await Promise.all(guns.map((gun) => HeldRepository.initialize(holder, gun)))
    for (let made = sealedKeys(scope, holder).length - 1; made < KEYS; made++) {
      const gun = `registry.example.com/quiet/${made}`
      const request = { gun, role: 'targets/countersign', keyType: 'ecdsa', evidence: EVIDENCE } as const
      await holder.operator.call('create-delegation-key', request)
    }
    await holder.stop()
    const wrapped = sealedKeys(scope, holder)
    expect(wrappingsLeft(holder, wrapped)).to.equal(KEYS + 1)
    const child = await startSeparately(holder)
    scope.add(() => {
      child.kill('SIGKILL')
    })

    const signatures: Span[] = []
    let isOver = false
    const signing = Promise.all(
      repositories.map(async (repository) => {
        for (let tag = 0; !isOver; tag = (tag + 1) % 20) {
          const files = repository.files()
          const number = signatures.length
          const change = { ...put(`t${tag}`, String(number)), evidence: { ...EVIDENCE, request: `req-${number}` } }
          const request = repository.request([change], { files })
          const { span, result } = await timed(() => holder.service.call('change-targets', request, files))
          signatures.push(span)
          expect(result.response.roles).to.have.length(2)
          repository.publish(result.attachments)
        }
      }),
    )
    // Nobody waits for it before the end; a failure is not to be taken for one of the process.
    signing.catch(() => undefined)
    await sleep(3_000)
    const before = signatures.slice(-200)

    const changes: Span[] = []
    for (let change = 0; change < CHANGES; change++) {
      createUnlockKeyFile(holder.nextUnlockKeyFile)
      const request = { reason: 'a measurement', evidence: EVIDENCE }
      const { span, result } = await timed(() => holder.operator.call('rewrap-keys', request))
      changes.push(span)
      expect(result.response.keys).to.equal(KEYS)
      renameSync(holder.nextUnlockKeyFile, holder.unlockKeyFile)
      await sleep(500)
    }
    isOver = true
    await signing
    expect(wrappingsLeft(holder, wrapped)).to.equal(0)

    const during = signatures.filter(({ began, ended }) =>
      changes.some((change) => began < change.ended && ended > change.began),
    )
    const ms = (value: number): string => `${value.toFixed(0)} ms`
    process.stderr.write(
      `rewrap: ${KEYS} keys in ${ms(median(changes.map(length)))} (longest ${ms(longest(changes))}); signatures: ` +
        `median ${ms(median(before.map(length)))}, longest ${ms(longest(before))} before; ` +
        `median ${ms(median(during.map(length)))}, longest ${ms(longest(during))} of ${during.length} meanwhile\n`,
    )
    expect(during.length).to.be.at.least(CHANGES)
    expect(longest(during)).to.be.lessThan(LONGEST_WAIT_MS)

    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
    await holder.start()
    const unlockKey = readFileSync(holder.unlockKeyFile)
    for (const key of sealedKeys(scope, holder)) opened(key, unlockKey).fill(0)
    expect(holder.log().filter(({ kind }) => kind === 'keys-rewrapped')).to.have.length(CHANGES)
    expect(holder.log().filter(({ kind }) => kind === 'refused')).to.deep.equal([])
    for (const repository of repositories) await repository.sign([put('after')])
  })
})
