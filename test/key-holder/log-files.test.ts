// A reader of the log's files while somebody replaces them, as the key holder does.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect } from 'chai'
import { LogFiles } from '../../src/key-holder/log-files.ts'
import { encodeBundle, tilePath } from '../../src/key-holder/tiles.ts'
import { expectCode } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'

/** What the checkpoint of the reader speaks of. */
const WIDTH = 10
const TILES = 30

/** Each tile grows to its whole width; the wider file is there before the narrower one goes. */
const GROW = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { renameSync, rmSync, writeFileSync } = require('node:fs')
  const place = (path, bytes) => { writeFileSync(path + '.new', bytes); renameSync(path + '.new', path) }
  for (const { whole, entry, first } of workerData) {
    for (let width = first; width < 256; width++) {
      const next = width + 1 === 256 ? whole : whole + '.p/' + (width + 1)
      place(next, Buffer.concat(Array.from({ length: width + 1 }, () => entry)))
      rmSync(width + 1 === 256 ? whole + '.p' : whole + '.p/' + width, { recursive: true })
    }
  }
  parentPort.postMessage('done')`

describe('the files of an audit log', () => {
  const scope = new Scope()
  after(() => scope.close())

  it('are found while they are replaced by wider ones, and the same records are read', async () => {
    const folder = scope.folder('files')
    const record = Buffer.from('{"kind":"test"}')
    const hash = Buffer.alloc(32, 7)
    const work = Array.from({ length: TILES }, (_, tile) => tile).flatMap((tile) =>
      ([0, 'entries'] as const).map((level) => {
        const entry = level === 0 ? hash : encodeBundle([record])
        const path = join(folder, tilePath(level, tile, WIDTH))
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, Buffer.concat(Array.from({ length: WIDTH }, () => entry)))
        return { whole: join(folder, tilePath(level, tile, 256)), entry, first: WIDTH }
      }),
    )
    const files = new LogFiles(folder)
    const progress = { isDone: false }
    const worker = new Worker(GROW, { eval: true, workerData: work })
    const ended = new Promise<void>((resolve, reject) => {
      worker.on('message', () => {
        resolve()
      })
      worker.on('error', reject)
    }).finally(() => {
      progress.isDone = true
    })
    let rounds = 0
    const paths = new Set<string>()
    for (; !progress.isDone; rounds++) {
      for (let tile = 0; tile < TILES; tile++) {
        const bundle = files.bundle(tile, WIDTH)
        expect(bundle.entries).to.have.length(WIDTH)
        expect(bundle.entries.every((entry) => entry.equals(record))).to.equal(true)
        expect(bundle.bytes.byteLength).to.equal(WIDTH * (2 + record.byteLength))
        const { hashes, path } = files.tile(0, tile, WIDTH)
        expect(hashes.map((one) => one.equals(hash))).to.deep.equal(Array.from({ length: WIDTH }, () => true))
        paths.add(bundle.path).add(path)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ended
    await worker.terminate()
    expect(rounds).to.be.greaterThan(3)
    // The reader did meet files on their way.
    expect([...paths].filter((path) => path.includes('.p/') && !path.endsWith(`/${WIDTH}`))).not.to.deep.equal([])
  }).timeout(60_000)

  it('are missing where neither they nor wider ones are there, a narrower one notwithstanding', () => {
    const folder = scope.folder('files')
    mkdirSync(join(folder, 'tile/0/000.p'), { recursive: true })
    writeFileSync(join(folder, 'tile/0/000.p/9'), Buffer.alloc(9 * 32))
    const { facts } = expectCode('AUDIT_LOG_DAMAGED', () => new LogFiles(folder).tile(0, 0, WIDTH))
    expect(facts).to.deep.include({ fault: 'file-missing', path: 'tile/0/000.p/10', index: 0, to: 9 })
  })
})
