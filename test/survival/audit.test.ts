// An auditor at work while the key holder, a process of its own, goes on signing: tiles grow and are replaced under the reader.
import { join } from 'node:path'
import { expect } from 'chai'
import { connectKeyHolder } from '../../src/holder/connection.ts'
import { KillablePair } from '../support/killable-pair.ts'
import { Scope } from '../support/scope.ts'
import { Workplace } from '../cli/support/run-cli.ts'

const GUN = 'registry.example.com/team/app'
/** Records that are there before, so that the first tile becomes whole meanwhile. */
const RECORDS_BEFORE = 230
const RECORDS = 275

interface Verified {
  readonly size: number
  readonly checkpoint: string
  readonly newestRecordAt: string
}

interface Listed {
  readonly index: number
  readonly record: { readonly kind: string; readonly changes?: readonly { readonly tag: string }[] }
}

describe('the audit log of a key holder that is at work', function () {
  this.timeout(120_000)
  const scope = new Scope()
  const place = new Workplace()
  after(async () => {
    await scope.close()
    place.remove()
  })

  it('is verified, listed and copied, each time up to one of its checkpoints', async () => {
    const pair = await KillablePair.start(scope)
    await pair.initialize(GUN)
    const log = join(pair.folder, 'keys/log')
    const operator = connectKeyHolder(pair.operatorSocket)
    scope.add(() => {
      operator.close()
    })
    const service = connectKeyHolder(join(pair.folder, 'run/s.sock'))
    scope.add(() => {
      service.close()
    })
    const fill = Array.from({ length: RECORDS_BEFORE }, (_, n) => ({ kind: 'test', facts: { n } }))
    await Promise.all(fill.slice(0, 30).map((record) => service.call('append-record', record)))
    for (const record of fill.slice(30)) await service.call('append-record', record)
    const { publicKey: key, size: sizeBefore } = (await operator.call('status', {})).response.log
    const audit = async (...argv: string[]): Promise<string> => {
      const { exit, stderr, stdout } = await place.run(['audit', ...argv, '--key', key, '--json'])
      expect(exit, `${argv.join(' ')}: ${stderr}`).to.equal(0)
      return stdout
    }
    const verify = async (folder: string, ...since: string[]): Promise<Verified> =>
      JSON.parse(await audit('verify', folder, ...since.flatMap((file) => ['--since', file]))) as Verified

    const progress = { isDone: false }
    let signed = 0
    const signing = (async () => {
      for (let size = sizeBefore; size < RECORDS; size = (await operator.call('status', {})).response.log.size) {
        const tags = Array.from({ length: 4 }, (_, n) => `t-${signed + n}`)
        const outcomes = await Promise.all(tags.map((tag) => pair.sign(GUN, tag)))
        expect(outcomes).to.deep.equal(tags.map(() => 'published'))
        signed += tags.length
      }
    })().finally(() => {
      progress.isDone = true
    })

    const sizes: number[] = []
    const kept: string[] = []
    for (let round = 0; !progress.isDone; round++) {
      const verified = await verify(log, ...kept.slice(-3))
      sizes.push(verified.size)
      kept.push(place.file(`checkpoint-${round}`, verified.checkpoint))
      const copy = place.path(`copy-${round}`)
      const exported = JSON.parse(await audit('export', log, copy, '--since', kept.at(-1)!)) as Verified
      expect(exported.size).to.be.at.least(verified.size)
      expect(await verify(copy, kept.at(-1)!)).to.include({ size: exported.size, checkpoint: exported.checkpoint })
      const newest = JSON.parse(await audit('list', log, '--limit', '1')) as Listed
      expect(newest.index).to.be.at.least(exported.size - 1)
    }
    await signing

    expect(sizes.at(-1), 'it grew under the reader').to.be.greaterThan(sizes[0]!)
    const last = await verify(log, ...kept)
    expect(last.size).to.be.at.least(RECORDS)
    // Every tag that was signed is found, once.
    const changes = (await audit('list', log, '--repository', GUN, '--operation', 'targets-change'))
      .trimEnd()
      .split('\n')
      .flatMap((line) => (JSON.parse(line) as Listed).record.changes ?? [])
    expect(changes.map(({ tag }) => tag).sort()).to.deep.equal(
      Array.from({ length: signed }, (_, n) => `t-${n}`).sort(),
    )
    const [one] = (await audit('list', log, '--tag', 't-0', '--operation', 'targets-change')).trimEnd().split('\n')
    expect((JSON.parse(one!) as Listed).record.kind).to.equal('targets-change')
  })
})
