// Our files in the age format: whole or refused, and the same that other programs read and write.
import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { AgeWriter, readAgeFile } from '../../src/cli/backup/age-file.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'

const PASSPHRASE = Buffer.from('correct horse battery staple')
/** As cheap as the format allows here: what is tested is not how long a passphrase takes. */
const WORK_FACTOR = 10
const CHUNK_BYTES = 65_536
/** `age vector` under PASSPHRASE, by age-encryption 0.3.1 (typage), the implementation in TypeScript of age's author. */
const VECTOR =
  'YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBuQjhHd21TVUNPQjRMakFLeFhSU3pRIDEwCitFS0V6QVNScHZ3Rzd5aVk1NHE3cUdlU3NGZ0VFOHVHK3p4SmU5eDBzMjQKLS0tIGVoUVR1OWgzV1pmRU9FV1dNdEdKczUyclFmUS9vay8xMWlSbEF2MWNPTzQKS7mb5+ieW9H+QCuQYGTccwW3KAZHVOEs4qe7niv+9p1Vuyb9MeGSPPwz'

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'nothing was thrown',
    (error: unknown) => (error instanceof CodedError ? String(error.code) : String(error)),
  )
}

describe('files in the age format', () => {
  let scope: Scope
  let path: string

  before(() => {
    scope = new Scope()
    path = join(scope.folder('age'), 'file.age')
  })
  after(() => scope.close())

  async function write(...parts: readonly Uint8Array[]): Promise<void> {
    const file = await open(path, 'w')
    const writer = await AgeWriter.begin(file, PASSPHRASE, WORK_FACTOR)
    for (const part of parts) await writer.write(part)
    await writer.end()
    await file.close()
  }

  async function read(passphrase = PASSPHRASE): Promise<Buffer> {
    const file = await open(path, 'r')
    try {
      const parts: Buffer[] = []
      for await (const part of readAgeFile(path, file, passphrase)) parts.push(part)
      return Buffer.concat(parts)
    } finally {
      await file.close()
    }
  }

  it('of another implementation are read', async () => {
    await writeFile(path, Buffer.from(VECTOR, 'base64'))
    expect((await read()).toString()).to.equal('age vector')
  })

  it('give back what was written, at every border of a chunk and in whatever parts it came', async () => {
    const sizes = fc.constantFrom(0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 150_000)
    await fc.assert(
      fc.asyncProperty(fc.array(sizes, { maxLength: 3 }), fc.nat(255), async (parts, byte) => {
        const all = parts.map((size, at) => Buffer.alloc(size, byte + at))
        await write(...all)
        expect((await read()).equals(Buffer.concat(all))).to.equal(true)
      }),
      { numRuns: 25 },
    )
  }).timeout(30_000)

  it('that were cut anywhere are refused', async () => {
    await write(Buffer.alloc(2 * CHUNK_BYTES + 5, 1))
    const whole = await readFile(path)
    const head = whole.byteLength - (2 * CHUNK_BYTES + 5 + 3 * 16)
    const chunk = CHUNK_BYTES + 16
    for (const length of [
      0,
      10,
      head - 17,
      head - 1,
      head,
      head + 15,
      head + chunk,
      head + 2 * chunk,
      whole.byteLength - 1,
    ]) {
      await writeFile(path, whole)
      await truncate(path, length)
      await expectCodeAsync('BACKUP_DAMAGED', () => read())
    }
  })

  it('of which any byte was changed, or to which any was added, are refused', async () => {
    await write(Buffer.alloc(CHUNK_BYTES + 5, 1))
    const whole = await readFile(path)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const changed = Buffer.from(whole)
        changed[at] = (changed[at] ?? 0) ^ by
        await writeFile(path, changed)
        // In the wrapped key and its salt a change looks like another passphrase.
        expect(await codeOf(read())).to.be.oneOf(['BACKUP_DAMAGED', 'PASSPHRASE_WRONG'])
      }),
      {
        numRuns: 100,
        examples: [
          [0, 1],
          [45, 1],
          [whole.byteLength - 1, 1],
        ],
      },
    )
    await writeFile(path, Buffer.concat([whole, Buffer.from('more')]))
    await expectCodeAsync('BACKUP_DAMAGED', () => read())
  }).timeout(30_000)

  it('do not open with another passphrase', async () => {
    await write(Buffer.from('content'))
    await expectCodeAsync('PASSPHRASE_WRONG', () => read(Buffer.from('correct horse battery')))
  })

  it('that would take a gigabyte of memory and more to open are refused', async () => {
    await write(Buffer.from('content'))
    const text = (await readFile(path)).toString('latin1')
    await writeFile(path, text.replace(` ${WORK_FACTOR}\n`, ' 29\n'), 'latin1')
    await expectCodeAsync('BACKUP_DAMAGED', () => read())
  })
})
