// Frames as somebody would make them who does not use our encoder: any header text, any bytes behind it, in any pieces.
import { connect } from 'node:net'
import { decodeAnswer, FrameSplitter, type AnswerFrame } from '../../src/key-holder-protocol/frames.ts'

/** A frame with this header text and these bytes behind it. */
export function rawFrame(header: string | Buffer, attachments: Uint8Array = Buffer.alloc(0)): Buffer {
  const text = Buffer.from(header)
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32BE(4 + text.byteLength + attachments.byteLength, 0)
  lengths.writeUInt32BE(text.byteLength, 4)
  return Buffer.concat([lengths, text, attachments])
}

/** Sends the bytes and collects answers until the other side closes, or until `count` answers came. */
export async function exchange(
  path: string,
  bytes: Buffer,
  o: { count?: number; end?: boolean } = {},
): Promise<AnswerFrame[]> {
  return new Promise((resolve, reject) => {
    const splitter = new FrameSplitter()
    const answers: AnswerFrame[] = []
    const socket = connect({ path, allowHalfOpen: true })
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      for (const body of splitter.push(chunk)) answers.push(decodeAnswer(body))
      if (answers.length >= (o.count ?? Infinity)) socket.destroy()
    })
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      resolve(answers)
    })
    socket.write(bytes)
    if (o.end === true) socket.end()
  })
}
