// A TCP port that is free at this moment, for programs that cannot choose one themselves. Below the ports that Linux gives to
// outgoing connections, and apart for each of Mocha's workers, so that nobody takes it before the program does.
import { createServer } from 'node:net'

const FIRST_PORT = 10_000
const PORTS_PER_WORKER = 2_750
const WORKERS = 8

const worker = Number(process.env['MOCHA_WORKER_ID'] ?? 0) % WORKERS
let next = Math.floor(Math.random() * PORTS_PER_WORKER)

/** Not the same port twice in one run, unless it needs more than a few thousand. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  for (let tried = 0; tried < PORTS_PER_WORKER; tried++) {
    next = (next + 1) % PORTS_PER_WORKER
    const port = FIRST_PORT + worker * PORTS_PER_WORKER + next
    if (await isFree(port, address)) return port
  }
  throw new Error('No port is free.')
}

function isFree(port: number, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => {
      resolve(false)
    })
    server.listen(port, address, () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
}
