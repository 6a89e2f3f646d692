// Between a caller and a socket of a real key holder: whoever sits there looks at each call, and changes what it likes.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import {
  decodeAnswer,
  decodeRequest,
  encodeFrame,
  FrameSplitter,
  type AnswerFrame,
  type RequestFrame,
} from '../../src/key-holder-protocol/frames.ts'
import type { Scope } from './scope.ts'

export interface Meddling {
  request?(frame: RequestFrame): RequestFrame
  answer?(frame: AnswerFrame): AnswerFrame
}

/** The path of a socket that leads to `path`. */
export async function startFrameProxy(scope: Scope, path: string, meddling: Meddling): Promise<string> {
  const own = join(scope.folder('proxy'), 'p')
  const sockets = new Set<Socket>()
  const server = createServer((caller) => {
    const holder = connect(path)
    for (const socket of [caller, holder]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        caller.destroy()
        holder.destroy()
      })
    }
    relay(caller, holder, (body) => {
      const frame = decodeRequest(body)
      return meddling.request?.(frame) ?? frame
    })
    relay(holder, caller, (body) => {
      const frame = decodeAnswer(body)
      return meddling.answer?.(frame) ?? frame
    })
  })
  server.listen(own)
  await once(server, 'listening')
  scope.add(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return own
}

function relay(from: Socket, to: Socket, change: (body: Buffer) => RequestFrame | AnswerFrame): void {
  const splitter = new FrameSplitter()
  from.on('data', (chunk: Buffer) => {
    for (const body of splitter.push(chunk)) to.write(encodeFrame(change(body)))
  })
}
