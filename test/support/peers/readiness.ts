// Asking a server that was just started whether it is ready, and saying what it wrote where it never is.
import { connect } from 'node:net'
import { Agent, request } from 'undici'
import { waitFor } from '../polling.ts'
import type { RunningProcess } from '../processes.ts'

/** The status of one GET, where the server answers at all; `caPem` for TLS. */
export async function statusOf(url: string, caPem?: string): Promise<number> {
  const dispatcher = new Agent(caPem === undefined ? {} : { connect: { ca: caPem } })
  try {
    const answer = await request(url, { dispatcher, headersTimeout: 5_000, bodyTimeout: 5_000 })
    await answer.body.dump()
    return answer.statusCode
  } finally {
    await dispatcher.destroy()
  }
}

/** Whether something listens on that port of loopback. */
export async function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}

/** Waits until `question` holds, and fails at once where the process has ended. */
export async function waitForServer(
  name: string,
  server: RunningProcess,
  question: () => boolean | Promise<boolean>,
): Promise<void> {
  let dead: string | undefined
  try {
    await waitFor(name, async () => {
      dead = server.ended()
      if (dead !== undefined) return true
      return (await question()) ? true : undefined
    })
  } catch (cause) {
    throw new Error(`${name} is not ready:\n${server.output()}`, { cause })
  }
  if (dead !== undefined) throw new Error(`${name} ended at once (${dead}):\n${server.output()}`)
}
