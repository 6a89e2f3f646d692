// The program under floods of every kind, one after the other and all at once: its memory stays within bounds, readers are served all the while,
// publishers get through, and nothing is left of it afterwards.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { RELEASES, ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { waitFor } from '../support/polling.ts'
import { startProcess } from '../support/processes.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'
import { ServedTrust } from '../support/trust-server/served-trust.ts'
import { takeServerKeys } from '../support/trust-server/server-keys.ts'
import { BOUNDARY, filesOf, HttpCaller, TOKEN } from '../support/trust-server/server.ts'

const MIB = 1024 * 1024
const SETTINGS = `limits: { fileBytes: 8MiB, updateBytes: 16MiB, memory: 64MiB }`
/** Above the memory that uploads may hold: what TLS, HTTP and the garbage collector need for hundreds of connections. */
const MARGIN_MIB = 256
const SLOWEST_READ_MS = 5_000

interface Reads {
  readonly reads: number
  readonly refused: number
  readonly slowest: number
}

/** A reader in a process of its own: this one is busy with the floods. */
const READER = `
  const [, url, caFile] = process.argv
  const { get } = require('node:https')
  const ca = require('node:fs').readFileSync(caFile)
  const seen = { reads: 0, refused: 0, slowest: 0 }
  const next = () => setTimeout(read, 50)
  const read = () => {
    const started = Date.now()
    get(url, { ca, agent: false }, (answer) => {
      answer.resume().on('end', () => {
        seen.reads++
        if (answer.statusCode !== 200) seen.refused++
        seen.slowest = Math.max(seen.slowest, Date.now() - started)
        next()
      })
    }).on('error', () => { seen.refused++; next() })
  }
  read()
  process.on('SIGTERM', () => { console.log(JSON.stringify(seen)); process.exit(0) })
`

describe('the trust server under floods', function () {
  this.timeout(600_000)
  const scope = new Scope()
  const ca = createTestCa()
  after(() => scope.close())

  it('holds its memory, serves readers, and lets publishers through', async () => {
    const served = await ServedTrust.start(scope, { ca, settings: SETTINGS, isProgram: true })
    const http = new HttpCaller(served.url, { ca: ca.certificatePem })
    const victim = await published('registry.example.com/flood/victim')
    const other = await published('registry.example.com/flood/other')

    async function published(gun: string): Promise<RepositoryBuilder> {
      const builder = new RepositoryBuilder(gun).delegate(RELEASES)
      await takeServerKeys(http, builder)
      expect((await http.post(gun, filesOf(builder, ROOT, TARGETS, RELEASES))).status).to.equal(200)
      return builder
    }

    const before = memoryOf(served.pid, 'VmRSS')
    /** What a reader meets while the work goes on. */
    const readingDuring = async (work: () => Promise<unknown>): Promise<Reads> => {
      const url = `${served.url}/v2/${other.gun}/_trust/tuf/timestamp.json`
      const reader = startProcess(scope, process.execPath, ['-e', READER, url, served.caFile])
      await work()
      await reader.stop()
      return JSON.parse(reader.output()) as Reads
    }
    const over = new AbortController()
    const { signal } = over
    let publications = 0
    const publishing = (async () => {
      while (!signal.aborted) {
        other.nextVersions(RELEASES)
        const files = filesOf(other, RELEASES)
        await waitFor(
          'a publication',
          async () => {
            const { status, code } = await http.post(other.gun, files)
            // 503: uploads of others hold the memory at this moment.
            expect([200, 503], code).to.include(status)
            return status === 200 ? true : undefined
          },
          60_000,
        )
        publications++
        await sleep(200)
      }
    })()

    const each = await readingDuring(async () => {
      for (const flood of floods(served, victim.gun)) await flood()
    })
    const together = await readingDuring(() => Promise.all(floods(served, victim.gun).map((flood) => flood())))
    over.abort()
    await publishing

    const peak = memoryOf(served.pid, 'VmHWM')
    const told = ({ reads, slowest }: Reads): string => `${reads} reads, the slowest ${slowest} ms`
    process.stderr.write(
      `floods: one by one: ${told(each)}; together: ${told(together)}; memory ${before} MiB before, ${peak} MiB at most; ${publications} publications\n`,
    )
    expect([each.refused, together.refused]).to.deep.equal([0, 0])
    expect(each.reads).to.be.greaterThan(20)
    // Together they also take all of the processors.
    expect(each.slowest).to.be.lessThan(SLOWEST_READ_MS)
    expect(publications).to.be.at.least(3)
    expect(peak - before).to.be.lessThan(64 + MARGIN_MIB)
    const metrics = async (): Promise<string> => (await http.call({ path: '/metrics' })).body.toString()
    await waitFor('nothing held', async () => /upload_bytes 0\n/.test(await metrics()) || undefined)
    expect((await http.post(victim.gun, filesOf(victim.nextVersions(RELEASES), RELEASES))).status).to.equal(200)
  })

  function floods({ url }: ServedTrust, gun: string): readonly (() => Promise<void>)[] {
    const file = Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="targets"\r\n\r\n`,
    )
    const normal = (inside: string): Buffer =>
      Buffer.concat([
        file,
        Buffer.from(
          `{"signed":{"_type":"Targets","targets":${inside},"version":99},"signatures":[]}\r\n--${BOUNDARY}--\r\n`,
        ),
      ])
    const letters = Buffer.alloc(MIB, 'a')
    const times = (count: number, one: () => Promise<void>) => async () => {
      await Promise.all(Array.from({ length: count }, one))
    }
    const head = (more: string): Buffer => headOf(gun, more)
    return [
      // Announced too large; without end; never finished; cut off.
      times(50, () => send(url, [head('Content-Length: 5000000000')], 2_000)),
      times(50, () =>
        send(url, [head('Transfer-Encoding: chunked'), ...Array.from({ length: 20 }, () => chunk(letters))], 4_000),
      ),
      times(100, () =>
        send(url, [head('Content-Length: 15000000'), file, ...Array.from({ length: 7 }, () => letters)], 4_000),
      ),
      // Parts without number, with and without names.
      times(20, () => send(url, body(head, Buffer.from(`--${BOUNDARY}\r\n\r\n\r\n`.repeat(100_000))), 4_000)),
      times(20, () => send(url, body(head, Buffer.from(`${file.toString()}{}\r\n`.repeat(50_000))), 4_000)),
      // Deep, long and broken JSON that the first look takes for a good file.
      times(10, () => send(url, body(head, normal('['.repeat(2_000_000))), 8_000)),
      times(10, () => send(url, body(head, normal(`"${'x'.repeat(7_000_000)}"`)), 8_000)),
      // Senders that stop, with and without a head.
      times(200, () => send(url, [Buffer.from('GET /v2/ HTTP/1.1\r\nHost: x\r\n')], 4_000)),
      // The same small update again and again.
      times(300, () => send(url, body(head, normal('{}')), 8_000)),
    ]
  }
})

function headOf(gun: string, more: string): Buffer {
  const authorization = `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`
  const lines = [
    'Host: x',
    `Authorization: ${authorization}`,
    `Content-Type: multipart/form-data; boundary=${BOUNDARY}`,
    more,
  ]
  return Buffer.from(`POST /v2/${gun}/_trust/tuf/ HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
}

function body(head: (more: string) => Buffer, bytes: Buffer): Buffer[] {
  return [head(`Content-Length: ${bytes.byteLength}`), bytes]
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

/** Sends these pieces, and waits for the end of the connection, or for so long. */
function send(url: string, pieces: readonly Buffer[], milliseconds: number): Promise<void> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      for (const piece of pieces) socket.write(piece)
    })
    const timer = setTimeout(() => socket.destroy(), milliseconds)
    socket.resume()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** Of a process, in MiB. */
function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kilobytes) / 1024)
}
