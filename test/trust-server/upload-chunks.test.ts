// An update is read whole however its body is cut into chunks. What the parser under it makes of parts that are larger than its buffer has
// left an update unanswered for ever, so sizes around that buffer are tried with every cut.
import { Readable } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { parseRoleName, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { encodeMultipart } from '../../src/notary/multipart.ts'
import { readUpload } from '../../src/trust-server/upload.ts'

const BOUNDARY = 'b'.repeat(32)
const LIMITS = { fileBytes: 1_000_000, bodyBytes: 1_000_000, parts: 8 }
const MEMORY = { grow: () => undefined, release: () => undefined }
/** Of a part, before the parser holds back: node:stream's highWaterMark. */
const BUFFER_BYTES = 16_384
/** What two sockets of one machine, TLS and a slow line make of a body. */
const CUTS = [1_000_000, 65_536, BUFFER_BYTES, 1_400]

function file(bytes: number): Buffer {
  const frame = '{"signatures":[],"signed":{"version":1,"x":""}}'
  return Buffer.from(frame.replace('""', `"${'a'.repeat(bytes - frame.length)}"`))
}

async function read(files: ReadonlyMap<RoleName, Uint8Array>, cut: number): Promise<string[]> {
  const body = Buffer.from(encodeMultipart(files, BOUNDARY))
  const chunks = Array.from({ length: Math.ceil(body.length / cut) }, (_, at) =>
    body.subarray(at * cut, (at + 1) * cut),
  )
  const request = Object.assign(Readable.from(chunks), {
    headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` },
    complete: true,
  })
  const read = await readUpload(request as unknown as IncomingMessage, LIMITS, MEMORY)
  return [...read].map(([role, { bytes }]) => `${role} ${bytes.byteLength}`)
}

describe('an update, however it is cut', () => {
  const roles = ['targets/countersign', 'targets/releases'].map(parseRoleName)
  for (const cut of CUTS) {
    for (const bytes of [BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 20_000, 30_000, 100_000]) {
      it(`two files of ${bytes} bytes in chunks of ${cut} are read`, async () => {
        const files = new Map(roles.map((role) => [role, file(bytes)]))
        expect(await read(files, cut)).to.deep.equal(roles.map((role) => `${role} ${bytes}`))
        const [first = parseRoleName('targets')] = roles
        expect(await read(new Map([[first, file(bytes)]]), cut)).to.deep.equal([`${first} ${bytes}`])
      })
    }
  }
})
