import { type Gun, parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { GunQueue } from '../../src/service/gun-queue.ts'

const a = parseGun('r.example/a')
const b = parseGun('r.example/b')

/** Work that ends when it is told to, and notes when it runs. */
class Work {
  readonly log: string[] = []
  readonly #ends = new Map<string, () => void>()

  start(name: string): () => Promise<void> {
    return async () => {
      this.log.push(`start ${name}`)
      await new Promise<void>((resolve) => this.#ends.set(name, resolve))
      this.log.push(`end ${name}`)
    }
  }

  async end(name: string): Promise<void> {
    while (!this.#ends.has(name)) await Promise.resolve()
    this.#ends.get(name)?.()
  }
}

describe('GunQueue', () => {
  it('is serial for one GUN, and parallel for several', async () => {
    const queue = new GunQueue()
    const work = new Work()
    const all = (
      [
        [a, 'a1'],
        [a, 'a2'],
        [b, 'b1'],
      ] as [Gun, string][]
    ).map(([gun, name]) => queue.run(gun, work.start(name)))
    await work.end('b1')
    await work.end('a1')
    await work.end('a2')
    await Promise.all(all)
    expect(work.log.indexOf('start a2')).to.be.greaterThan(work.log.indexOf('end a1'))
    expect(work.log.indexOf('start b1')).to.be.lessThan(work.log.indexOf('end a1'))
  })

  it('goes on after a failure, which reaches its caller', async () => {
    const queue = new GunQueue()
    const failed = queue.run(a, () => Promise.reject(new Error('broken')))
    const next = queue.run(a, () => Promise.resolve('fine'))
    expect(await failed.catch((error: unknown) => (error as Error).message)).to.equal('broken')
    expect(await next).to.equal('fine')
    await queue.idle()
  })

  it('joins wishes for work that has not started, and no others', async () => {
    const queue = new GunQueue()
    const work = new Work()
    const running = queue.wake(a, work.start('1'))
    while (work.log.length === 0) await Promise.resolve()
    const waiting = queue.wake(a, work.start('2'))
    expect(queue.wake(a, work.start('3'))).to.equal(waiting)
    await work.end('1')
    await work.end('2')
    await Promise.all([running, waiting])
    await queue.idle()
    expect(work.log).to.deep.equal(['start 1', 'end 1', 'start 2', 'end 2'])
  })
})
