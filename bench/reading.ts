// Readers as cheap as they can be: requests that are bytes already, over connections that stay open; of an answer only its length is
// looked at. So the server is what is measured.
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import type { TrustServerAddress } from './trust-server-client.ts'

const HEAD_END = Buffer.from('\r\n\r\n')

export class Readers {
  readonly #sockets: readonly TLSSocket[]
  readonly #request: Buffer

  private constructor(sockets: readonly TLSSocket[], request: Buffer) {
    this.#sockets = sockets
    this.#request = request
  }

  static async connect({ url, caFile }: TrustServerAddress, path: string, count: number): Promise<Readers> {
    const { hostname, port, host } = new URL(url)
    const ca = readFileSync(caFile)
    const sockets = await Promise.all(
      Array.from({ length: count }, () => {
        return new Promise<TLSSocket>((resolve, reject) => {
          const socket = connect({ host: hostname, port: Number(port), ca, servername: 'localhost' }, () => {
            resolve(socket)
          })
          socket.once('error', reject)
        })
      }),
    )
    return new Readers(sockets, Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`))
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Reads `count` times over all connections. @returns milliseconds. @throws Error on any answer but 200 */
  async read(count: number): Promise<number> {
    let left = count
    const start = performance.now()
    await Promise.all(this.#sockets.map((socket) => this.#readOn(socket, () => left-- > 0)))
    return performance.now() - start
  }

  async #readOn(socket: TLSSocket, isNext: () => boolean): Promise<void> {
    let received: Buffer = Buffer.alloc(0)
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        if (isNext()) socket.write(this.#request)
        else finish()
      }
      const finish = (error?: Error): void => {
        socket.off('data', onData).off('error', finish).off('close', onClose)
        if (error === undefined) resolve()
        else reject(error)
      }
      const onClose = (): void => {
        finish(new Error('The server ended a connection.'))
      }
      const onData = (chunk: Buffer): void => {
        received = received.byteLength === 0 ? chunk : Buffer.concat([received, chunk])
        const headEnd = received.indexOf(HEAD_END)
        if (headEnd < 0) return
        const head = received.toString('latin1', 0, headEnd)
        const length = Number(/\r\ncontent-length: ([0-9]+)/i.exec(head)?.[1])
        if (!head.startsWith('HTTP/1.1 200 ') || Number.isNaN(length)) {
          finish(new Error(head))
          return
        }
        if (received.byteLength < headEnd + HEAD_END.byteLength + length) return
        received = Buffer.alloc(0)
        next()
      }
      socket.on('data', onData).on('error', finish).on('close', onClose)
      next()
    })
  }
}
