// The one operation that shows the daemon something of the log: which records, to whom, and only what was signed.
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { verifyCheckpoint } from '../../src/key-holder/checkpoint.ts'
import { leafHash, rootOfInclusion } from '../../src/key-holder/merkle.ts'
import type { OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { undoMigrations } from '../support/former-database.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { TestLog } from '../support/test-log.ts'

type Proof = OperationResponse<'prove-inclusion'>

/** Sizes at which tiles begin and end. */
const BORDERS: readonly number[] = [1, 2, 3, 255, 256, 257, 258, 300]

/** RFC 9162, 2.1.3.2, step by step: another way to the same root than ours. */
function rootByRfc9162(leaf: Uint8Array, index: number, size: number, path: readonly Uint8Array[]): Buffer | undefined {
  const node = (left: Uint8Array, right: Uint8Array) =>
    createHash('sha256').update(Buffer.of(1)).update(left).update(right).digest()
  let [fn, sn] = [index, size - 1]
  let r: Uint8Array = leaf
  for (const p of path) {
    if (sn === 0) return undefined
    if (fn % 2 === 1 || fn === sn) {
      r = node(p, r)
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else {
      r = node(r, p)
    }
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  return sn === 0 ? Buffer.from(r) : undefined
}

/** Holds an answer against its own checkpoint, in two ways; the record. */
function proven({ record, index, leafHash: stated, proof, checkpoint, publicKey }: Proof): {
  readonly changes: readonly { readonly tag: string }[]
  readonly [name: string]: unknown
} {
  const { size, rootHash } = verifyCheckpoint(checkpoint, publicKey)
  const bytes = Buffer.from(record, 'base64')
  const hashes = proof.map((hash) => Buffer.from(hash, 'base64'))
  expect(leafHash(bytes).toString('base64')).to.equal(stated)
  expect(rootOfInclusion(leafHash(bytes), index, size, hashes)).to.deep.equal(rootHash)
  expect(rootByRfc9162(leafHash(bytes), index, size, hashes)).to.deep.equal(rootHash)
  return JSON.parse(bytes.toString('utf8')) as ReturnType<typeof proven>
}

describe('proofs of the audit log', () => {
  const scope = new Scope()
  after(() => scope.close())

  it('are right in logs of every size from 1 to 300: for every record at the borders of tiles, for some in between', () => {
    const log = new TestLog(scope)
    const records: Buffer[] = []
    let proofs = 0
    for (let size = 1; size <= 300; size++) {
      log.append(1, (n) => ({ kind: 'test', n }))
      records.push(Buffer.from(JSON.stringify({ kind: 'test', n: size - 1 })))
      const { rootHash } = verifyCheckpoint(log.checkpoint, log.verifierKey)
      // In the long run all of them everywhere (SLOW=1); else those nearest to the edges, and a wandering one.
      const all = Array.from({ length: size }, (_, index) => index)
      const some = new Set([0, Math.floor(size / 2), (size * 7919) % size, size - 2, size - 1].filter((n) => n >= 0))
      for (const index of BORDERS.includes(size) || process.env['SLOW'] === '1' ? all : some) {
        const proof = log.prove(index, records[index]!)!
        expect(rootByRfc9162(proof.leafHash, index, size, proof.hashes), `${index} of ${size}`).to.deep.equal(rootHash)
        proofs++
      }
      expect(log.prove(size, records[0]!)).to.equal(undefined)
    }
    expect(proofs).to.be.greaterThan(1500)
  }).timeout(180_000)
})

describe('prove-inclusion', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  async function prove(publication: string, tag: string, gun = repository.gun): Promise<Proof> {
    return (await holder.service.call('prove-inclusion', { gun, publication, tag })).response
  }

  it('shows the record of the publication, and no other', async () => {
    await repository.change([put('1.0')], { publication: 'first' })
    await repository.change([put('1.0', 'other'), put('1.1')], { publication: 'second' })
    const record = proven(await prove('first', '1.0'))
    expect(record).to.include({ kind: 'targets-change', gun: repository.gun, publication: 'first', by: 'service' })
    expect(record.changes.map(({ tag }) => tag)).to.deep.equal(['1.0'])
    expect(proven(await prove('second', '1.1'))['publication']).to.equal('second')
    // Later records change the proof, not the record.
    const again = await prove('first', '1.0')
    await holder.service.call('append-record', { kind: 'noise', facts: {} })
    await holder.stop()
    await holder.start()
    const later = await prove('first', '1.0')
    expect(proven(later)).to.deep.equal(proven(again))
    expect(later.checkpoint).not.to.equal(again.checkpoint)
  })

  it('proves each of 500 tags of one change, by the part of it that names the tag', async () => {
    const tags = Array.from({ length: 500 }, (_, n) => `tag-${n}`)
    const evidence = { ...EVIDENCE, origin: 'x'.repeat(200) }
    await repository.change(
      tags.map((tag) => ({ ...put(tag), evidence })),
      { publication: 'large' },
    )
    const parts = new Set<number>()
    for (const tag of tags) {
      const answer = await prove('large', tag)
      const { changes, parts: count } = proven(answer)
      expect(changes.filter((one) => one.tag === tag)).to.have.length(1)
      expect(count).to.be.greaterThan(2)
      expect(JSON.stringify(answer).length).to.be.lessThan(128 * 1024)
      parts.add(answer.index)
    }
    expect(parts.size).to.be.greaterThan(2)
    await expectCodeAsync('RECORD_NOT_FOUND', () => prove('large', 'tag-500'))
  }).timeout(30_000)

  it('refuses what is not there, or not of this repository, tag or operation', async () => {
    await repository.change([put('1.0')], { publication: 'first' })
    const other = await HeldRepository.initialize(holder, 'registry.example.com/team/other')
    for (const [publication, tag, gun] of [
      ['second', '1.0', repository.gun],
      ['first', '1.1', repository.gun],
      ['first', '1.0', other.gun],
      ['first', '1.0', 'registry.example.com/team/unknown'],
      ['req-1', '1.0', repository.gun],
      ['%', '1.0', repository.gun],
    ] as const) {
      await expectCodeAsync('RECORD_NOT_FOUND', () => prove(publication, tag, gun))
    }
    await expectCodeAsync('OPERATION_MALFORMED', () => prove('first', '1.0"'))
    await expectCodeAsync('OPERATION_MALFORMED', () => prove('', '1.0'))
    const request = { gun: repository.gun, publication: 'first', tag: '1.0' }
    for (const socket of [holder.operator, holder.trustServer]) {
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => socket.call('prove-inclusion', request))
    }
  })

  it('finds no record by words that a caller wrote into another one', async () => {
    const origin = '","publication":"first","tag":"1.0"'
    await repository.change([{ ...put('2.0'), evidence: { ...EVIDENCE, origin } }], { publication: 'second' })
    await expectCodeAsync('RECORD_NOT_FOUND', () => prove('first', '1.0'))
    await expectCodeAsync('RECORD_NOT_FOUND', () => prove('second', '1.0'))
  })

  it('writes nothing into the log where it succeeds', async () => {
    await repository.change([put('1.0')], { publication: 'first' })
    const before = holder.log().length
    await prove('first', '1.0')
    expect(holder.log()).to.have.length(before)
  })

  it('proves nothing that was recorded and never signed, until it is signed', async () => {
    const files = repository.files()
    const request = repository.request([put('1.0')], { files, publication: 'first' })
    await crashAt(holder, 'log-published', 1, () => holder.service.call('change-targets', request, files))
    expect(holder.log().filter(({ kind }) => kind === 'targets-change')).to.have.length(1)
    await expectCodeAsync('RECORD_NOT_FOUND', () => prove('first', '1.0'))
    await holder.service.call('change-targets', request, files)
    expect(proven(await prove('first', '1.0'))['publication']).to.equal('first')
  }).timeout(30_000)

  it('proves after a crash between the signature and its answer', async () => {
    const files = repository.files()
    const request = repository.request([put('1.0')], { files, publication: 'first' })
    await crashAt(holder, 'stored', 1, () => holder.service.call('change-targets', request, files))
    expect(proven(await prove('first', '1.0'))['publication']).to.equal('first')
  }).timeout(30_000)

  it('proves records of a log from before there was such an operation', async () => {
    await repository.change([put('1.0')], { publication: 'first' })
    await holder.stop()
    holder.database((database) => {
      undoMigrations(database, 'log_entries_by_publication')
    })
    await holder.start()
    expect(proven(await prove('first', '1.0'))['publication']).to.equal('first')
  })

  it('says that the log is damaged, where a record is not the one of the checkpoint', async () => {
    await repository.change([put('1.0')], { publication: 'first' })
    const { index } = await prove('first', '1.0')
    await holder.stop()
    holder.database((database) => {
      database.exec(
        `UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), '"1.0"', '"1.9"') AS BLOB) WHERE position = ${index}`,
      )
    })
    // The start compares the newest bundles, too; whoever changed both is found by the proof.
    await expectCodeAsync('AUDIT_LOG_DAMAGED', () => holder.start())
    const log = new TestLog(scope)
    log.append(3)
    expect(() => log.prove(1, Buffer.from('another'))).to.throw(/does not lead to the checkpoint/)
  })
})
