// The body of `POST /v2/GUN/_trust/roots`: what is refused before a root is looked at, and with which answer.
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { expect } from 'chai'
import { readOlderRoots } from '../../src/trust-server/older-roots.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const LIMITS = { bodyBytes: 1000, fileBytes: 100 }

function read(
  body: string,
  o: { readonly complete?: boolean; readonly length?: number; readonly grown?: number[] } = {},
) {
  const { complete = true, length, grown = [] } = o
  const headers = length === undefined ? {} : { 'content-length': String(length) }
  const request = Object.assign(Readable.from([Buffer.from(body)]), { headers, complete })
  const lease = { grow: (bytes: number) => grown.push(bytes), release: () => undefined }
  return readOlderRoots(request as unknown as IncomingMessage, LIMITS, lease)
}
const bodyOf = (...roots: readonly number[]): string =>
  JSON.stringify({ roots: roots.map((bytes) => Buffer.alloc(bytes).toString('base64')) })

describe('the body with older roots', () => {
  it('is read whole, and its memory is counted', async () => {
    const grown: number[] = []
    const body = bodyOf(100, 3)
    expect((await read(body, { grown })).map(({ byteLength }) => byteLength)).to.deep.equal([100, 3])
    expect(grown).to.deep.equal([body.length])
  })

  it('MALFORMED_UPLOAD: it ends early', () =>
    expectCodeAsync('MALFORMED_UPLOAD', () => read(bodyOf(3), { complete: false })))

  it('INVALID_UPDATE: longer than it may be, or said to be, or with one root that is', async () => {
    await expectCodeAsync('INVALID_UPDATE', () => read(bodyOf(90, 90, 90, 90, 90, 90, 90, 90, 90)))
    const grown: number[] = []
    await expectCodeAsync('INVALID_UPDATE', () => read(bodyOf(3), { length: 1001, grown }))
    expect(grown).to.deep.equal([])
    await expectCodeAsync('INVALID_UPDATE', () => read(bodyOf(3, 101)))
  })

  for (const body of ['', 'roots', '{}', '{"roots":[]}', '{"roots":["?"]}', '{"roots":["AA=="],"more":1}']) {
    it(`MALFORMED_JSON: ${body === '' ? 'nothing' : body}`, () => expectCodeAsync('MALFORMED_JSON', () => read(body)))
  }
})
