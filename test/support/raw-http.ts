// One HTTP/1.1 request as it is written, byte by byte, and the answer to it: for requests that no client would send.
import { connect } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** How long the server may wait for more of a request that ends early, before our side of the connection is closed. */
const CUT_AFTER_MS = 5

/**
 * Sends these bytes on a connection of its own; the first answer that is not an interim one. With `isCut` nothing more comes: the
 * connection is closed on our side, and a server that has not answered by then need not: undefined.
 * @throws Error where none came within the time, or it is no answer
 */
export async function sendRaw(
  url: string,
  bytes: Buffer,
  { isCut = false, timeoutMs = 10_000 }: { readonly isCut?: boolean; readonly timeoutMs?: number } = {},
): Promise<RawAnswer | undefined> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const socket = connect({ host: hostname, port: Number(port) })
    const finish = (isAll: boolean): void => {
      try {
        const isSilent = isAll && isCut && received.byteLength === 0
        const answer = isSilent ? undefined : parseAnswer(received, isAll)
        if (answer === undefined && !isAll) return
        resolve(answer)
      } catch (error) {
        reject(new Error(String(error), { cause: error }))
      }
      clearTimeout(timer)
      clearTimeout(cutter)
      socket.destroy()
    }
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no answer within ${timeoutMs} ms`))
    }, timeoutMs)
    const cutter = setTimeout(() => isCut && socket.end(), CUT_AFTER_MS)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      finish(false)
    })
    // The server may have answered and gone before it read everything.
    socket.on('error', () => {
      finish(true)
    })
    socket.on('close', () => {
      finish(true)
    })
    socket.write(bytes)
  })
}

/** Undefined: more is to come. */
function parseAnswer(bytes: Buffer, isAll: boolean): RawAnswer | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) {
    if (!isAll) return undefined
    throw new Error(`no answer: ${JSON.stringify(bytes.toString('latin1').slice(0, 200))}`)
  }
  const [first = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n')
  const status = Number(/^HTTP\/1\.1 ([1-5][0-9]{2}) /.exec(first)?.[1])
  if (Number.isNaN(status)) throw new Error(`no answer: ${first}`)
  const rest = bytes.subarray(headEnd + 4)
  if (status < 200) return parseAnswer(rest, isAll)
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const length = status === 204 ? 0 : Number(headers.get('content-length'))
  if (Number.isNaN(length)) throw new Error(`an answer without its length: ${status}`)
  if (rest.byteLength >= length) return { status, headers, body: rest.subarray(0, length).toString('utf8') }
  if (!isAll) return undefined
  throw new Error('the answer is shorter than it says')
}
