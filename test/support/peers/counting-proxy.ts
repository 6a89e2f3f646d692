// Stands before a peer, passes bytes on, and counts what is sent to it: a test that says "nothing was asked" needs to have looked.
import { connect, createServer, type Socket } from 'node:net'
import type { Scope } from '../scope.ts'

export interface CountingProxy {
  readonly port: number
  /** How many connections were opened, and how many messages sent over them, so far. */
  activity(): number
}

/** A closing connection sends a TLS alert (31 bytes at most in TLS 1.2 and 1.3), which asks for nothing. */
const LONGEST_ALERT_BYTES = 31

/** A proxy on loopback for whatever listens on `targetPort` of loopback. */
export async function startCountingProxy(scope: Scope, targetPort: number): Promise<CountingProxy> {
  let count = 0
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    count += 1
    const target = connect(targetPort, '127.0.0.1')
    client.on('data', (bytes: Buffer) => {
      if (bytes.byteLength > LONGEST_ALERT_BYTES) count += 1
    })
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.once('error', () => to.destroy())
      from.once('close', () => sockets.delete(from))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.add(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const bound = server.address()
  return { port: typeof bound === 'object' && bound !== null ? bound.port : 0, activity: () => count }
}
