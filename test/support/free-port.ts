// A TCP port that is free at this moment, for programs that cannot choose one themselves.
import { createServer } from 'node:net'

const given = new Set<number>()

/** Never the same port twice in one run. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = createServer()
      server.once('error', reject)
      server.listen(0, address, () => {
        const bound = server.address()
        server.close(() => {
          resolve(typeof bound === 'object' && bound !== null ? bound.port : 0)
        })
      })
    })
    if (port !== 0 && !given.has(port)) {
      given.add(port)
      return port
    }
  }
}
