// Every parser against damaged samples and noise: it ends, with a result or with a code. The million-case runs are in test/long/.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect } from 'chai'
import { fuzz } from '../support/fuzz.ts'
import type { FuzzAnswer } from '../support/fuzz-child.ts'
import { FUZZ_TARGETS } from '../support/fuzz-targets.ts'
import { pathological } from '../support/mutator.ts'
import { Scope } from '../support/scope.ts'

const CASES = 2_000
const MIB = 1024 * 1024
/** For a process of its own, whatever the garbage collector would take otherwise. */
const MAX_HEAP_MIB = 512

describe(`fuzzing, ${CASES} cases each`, () => {
  for (const target of FUZZ_TARGETS) {
    it(target.name, async function () {
      this.timeout(120_000)
      const { refused } = await fuzz(target, CASES)
      if (target.name !== 'error documents of trust servers') expect(refused).to.be.greaterThan(CASES / 100)
    })
  }
})

describe('good samples', () => {
  for (const { name, samples } of FUZZ_TARGETS) {
    it(`there are some: ${name}`, () => {
      expect(samples.length).to.be.greaterThan(0)
    })
  }
})

describe('pathological inputs of 1 MiB', () => {
  let scope: Scope
  let child: ChildProcess
  before(() => {
    scope = new Scope()
    child = fork(join(import.meta.dirname, '../support/fuzz-child.ts'), [], {
      execArgv: ['--import=tsx', '--conditions=source', `--max-old-space-size=${MAX_HEAP_MIB}`],
    })
    scope.add(() => void child.kill('SIGKILL'))
  })
  after(() => scope.close())

  for (const [index, { name }] of FUZZ_TARGETS.entries()) {
    it(`end in bounded memory: ${name}`, async function () {
      this.timeout(60_000)
      child.send({ target: index, bytes: MIB })
      const ending = new AbortController()
      const events = ['message', 'exit'].map((event) => once(child, event, { signal: ending.signal }))
      const [first] = (await Promise.race(events)) as [FuzzAnswer | number | null]
      ending.abort()
      await Promise.allSettled(events)
      expect(first).to.deep.equal({ inputs: pathological(1024).size })
    })
  }
})
