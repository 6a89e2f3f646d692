import { expect } from 'chai'
import fc from 'fast-check'
import {
  decodeAnswer,
  decodeRequest,
  encodeFrame,
  FrameSplitter,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
} from '../../src/key-holder-protocol/frames.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { expectCode } from '../support/expect-code.ts'

/** A frame body with this header text. */
function body(header: string | Buffer, attachments: Buffer = Buffer.alloc(0)): Buffer {
  const text = Buffer.from(header)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.byteLength)
  return Buffer.concat([length, text, attachments])
}

const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 6 })

describe('frames', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(fc.nat(), fc.jsonValue(), names, fc.uint8Array({ maxLength: 200 }), (id, request, keys, bytes) => {
        const attachments = new Map(keys.map((key, index) => [key, bytes.subarray(index)]))
        const encoded = encodeFrame({ id, operation: 'status', request, attachments })
        const [received, ...more] = new FrameSplitter().push(encoded)
        expect(more).to.deep.equal([])
        const frame = decodeRequest(received!)
        expect(frame.id).to.equal(id)
        expect(JSON.stringify(frame.request)).to.equal(JSON.stringify(request))
        expect([...frame.attachments].map(([key, value]) => [key, [...value]])).to.deep.equal(
          [...attachments].map(([key, value]) => [key, [...value]]),
        )
      }),
    )
  })

  it('may arrive in any pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (cuts) => {
        const frames = [1, 2, 3].map((id) =>
          encodeFrame({ id, operation: 'x', request: { id }, attachments: new Map([['a', Buffer.alloc(id * 7, id)]]) }),
        )
        const stream = Buffer.concat(frames)
        const splitter = new FrameSplitter()
        const bodies: Buffer[] = []
        for (let at = 0, turn = 0; at < stream.byteLength; turn++) {
          const size = cuts[turn % cuts.length]!
          bodies.push(...splitter.push(stream.subarray(at, at + size)))
          at += size
        }
        expect(bodies.map((one) => decodeRequest(one).id)).to.deep.equal([1, 2, 3])
        expect(splitter.buffered).to.equal(0)
      }),
    )
  })

  it('that are too large are refused by their length, before anything is buffered', () => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(1001)
    expectCode('FRAME_TOO_LARGE', () => new FrameSplitter(1000).push(length))
    length.writeUInt32BE(0xffffffff)
    expectCode('FRAME_TOO_LARGE', () => new FrameSplitter().push(length))
  })

  it('that are too large are not sent', () => {
    const big = { byteLength: MAX_FRAME_BYTES } as Uint8Array
    const attachments = new Map([['big', big]])
    expectCode('FRAME_TOO_LARGE', () => encodeFrame({ id: 1, operation: 'x', request: {}, attachments }))
    const header = { id: 1, operation: 'x', request: 'x'.repeat(MAX_HEADER_BYTES), attachments: new Map() }
    expectCode('FRAME_TOO_LARGE', () => encodeFrame(header))
  })

  const good = { id: 1, operation: 'status', request: {}, attachments: [] as unknown[] }
  const one = { name: 'a', length: 3 }
  const bad: readonly (readonly [string, Buffer])[] = [
    ['nothing', Buffer.alloc(0)],
    ['three bytes', Buffer.alloc(3)],
    ['a header length beyond the frame', Buffer.from([0, 0, 0, 9, 123, 125])],
    ['a header that is not JSON', body('{')],
    ['a header that is not UTF-8', body(Buffer.from([0x22, 0xff, 0x22]))],
    ['a header that is no object', body('[]')],
    ['a header that is null', body('null')],
    ['an unknown member', body(JSON.stringify({ ...good, more: 1 }))],
    ['a member called __proto__', body('{"id":1,"operation":"status","request":{},"attachments":[],"__proto__":{}}')],
    ['no id', body(JSON.stringify({ ...good, id: undefined }))],
    ['a negative id', body(JSON.stringify({ ...good, id: -1 }))],
    ['an id that is a fraction', body(JSON.stringify({ ...good, id: 1.5 }))],
    ['an id that is too large', body(JSON.stringify({ ...good, id: 2 ** 53 }))],
    ['an operation that is no text', body(JSON.stringify({ ...good, operation: 7 }))],
    ['an operation that is too long', body(JSON.stringify({ ...good, operation: 'x'.repeat(65) }))],
    ['attachments that are no list', body(JSON.stringify({ ...good, attachments: {} }))],
    ['an attachment twice', body(JSON.stringify({ ...good, attachments: [one, one] }), Buffer.alloc(6))],
    ['an attachment that is missing', body(JSON.stringify({ ...good, attachments: [one] }))],
    ['an attachment that is cut', body(JSON.stringify({ ...good, attachments: [one] }), Buffer.alloc(2))],
    ['bytes that nobody named', body(JSON.stringify(good), Buffer.alloc(1))],
    ['an attachment of negative length', body(JSON.stringify({ ...good, attachments: [{ name: 'a', length: -1 }] }))],
    ['an attachment without a name', body(JSON.stringify({ ...good, attachments: [{ name: '', length: 0 }] }))],
    ['too many attachments', body(JSON.stringify({ ...good, attachments: Array(513).fill({ name: 'a', length: 0 }) }))],
  ]
  for (const [what, bytes] of bad) {
    it(`are malformed with ${what}`, () => {
      expectCode('FRAME_MALFORMED', () => decodeRequest(bytes))
    })
  }

  it('are read or refused with a code, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const decode of [decodeRequest, decodeAnswer]) {
          try {
            decode(Buffer.from(bytes))
          } catch (error) {
            expect(error).to.be.instanceOf(KeyHolderError)
          }
        }
      }),
    )
  })

  it('carry errors with their codes and facts', () => {
    const error = { code: 'LIMIT_TAG', message: 'No.', facts: { tag: 'v1', count: 2 } }
    const [received] = new FrameSplitter().push(encodeFrame({ id: 9, error, attachments: new Map() }))
    expect(decodeAnswer(received!)).to.deep.include({ id: 9, error })
  })
})
