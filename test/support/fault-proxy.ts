// Stands before an HTTP server and does to its traffic what networks do: drops, delays, truncates, duplicates. Each fault is told
// apart by its effect: the server acted, or it did not. At random by a rate and a seed, or as a test plans it.
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Chance } from './chance.ts'
import type { Scope } from './scope.ts'
import type { TestCa } from './tls.ts'
import { WEATHER_RATE } from './weather.ts'

/**
 * `drop`: the connection ends before the server has heard anything. `refuse`: 503, likewise. `lose`: the server acted, the answer is
 * lost. `truncate`: its head comes, half of its body, then the end. `delay`: everything arrives, late. `duplicate`: the server hears
 * the request twice; the second answer is told.
 */
export const NETWORK_FAULTS = ['drop', 'refuse', 'lose', 'truncate', 'delay', 'duplicate'] as const
export type NetworkFault = (typeof NETWORK_FAULTS)[number]

export interface FaultProxyOptions {
  /** Origin of the server behind. */
  readonly target: string
  /** Where the target speaks TLS: its authority. The proxy then speaks TLS too, with a certificate for localhost of the same authority. */
  readonly ca?: TestCa
  /** Of all requests, from 0 to 1. */
  readonly rate?: number
  readonly faults?: readonly NetworkFault[]
  readonly seed?: number
  /** Milliseconds. */
  readonly delayMs?: number
  /** Which requests may be struck; all by default. */
  readonly concerns?: (method: string, url: string) => boolean
}

export interface FaultProxy {
  readonly url: string
  /** host:port */
  readonly host: string
  /** Every fault that came to pass. */
  readonly struck: readonly { readonly fault: NetworkFault; readonly method: string; readonly url: string }[]
  /** Faults of the next requests that match, in this order, whatever the rate. */
  plan(fault: NetworkFault, matches?: (method: string, url: string) => boolean): void
  /** Of all requests from now on. */
  setRate(rate: number): void
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** Runs until the scope closes. */
export async function startFaultProxy(scope: Scope, options: FaultProxyOptions): Promise<FaultProxy> {
  const { target, ca, faults = NETWORK_FAULTS, delayMs = 50, concerns = () => true } = options
  const chance = options.seed === undefined ? Chance.named('fault proxy') : new Chance(options.seed)
  const struck: { fault: NetworkFault; method: string; url: string }[] = []
  const planned: { fault: NetworkFault; matches: (method: string, url: string) => boolean }[] = []
  let rate = options.rate ?? WEATHER_RATE

  const choose = (method: string, url: string): NetworkFault | undefined => {
    const index = planned.findIndex(({ matches }) => matches(method, url))
    if (index >= 0) return planned.splice(index, 1)[0]?.fault
    return concerns(method, url) && chance.happens(rate) ? chance.pick(faults) : undefined
  }

  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = 'GET', url = '/' } = incoming
    const body = await readAll(incoming)
    const fault = choose(method, url)
    if (fault !== undefined) struck.push({ fault, method, url })
    if (fault === 'drop') {
      response.destroy()
      return
    }
    if (fault === 'refuse') {
      response.writeHead(503, { connection: 'close' }).end()
      return
    }
    if (fault === 'delay') await delay(delayMs)
    if (fault === 'duplicate') await forward(target, ca, incoming, body)
    const answer = await forward(target, ca, incoming, body)
    if (fault === 'lose') {
      response.destroy()
      return
    }
    response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.body.byteLength })
    if (fault !== 'truncate') {
      response.end(answer.body)
      return
    }
    response.write(answer.body.subarray(0, answer.body.byteLength >> 1), () => response.destroy())
  }

  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    serve(incoming, response).catch(() => response.destroy())
  }
  const server = ca === undefined ? createServer(listener) : createTlsServer(identity(ca), listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.add(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  )
  const host = `localhost:${(server.address() as AddressInfo).port}`
  return {
    url: `${ca === undefined ? 'http' : 'https'}://${host}`,
    host,
    struck,
    plan: (fault, matches = () => true) => planned.push({ fault, matches }),
    setRate: (value) => {
      rate = value
    },
  }
}

function identity(ca: TestCa): { cert: string; key: string } {
  const { certificatePem, privateKeyPem } = ca.issue(['localhost', '127.0.0.1'])
  return { cert: certificatePem, key: privateKeyPem }
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function forward(target: string, ca: TestCa | undefined, incoming: IncomingMessage, body: Buffer): Promise<Answer> {
  const { method, url = '/', headers } = incoming
  const options = { method, headers: { ...framed(headers), 'content-length': body.byteLength }, agent: false }
  return new Promise((resolve, reject) => {
    const outgoing =
      ca === undefined
        ? httpRequest(target + url, options)
        : httpsRequest(target + url, { ...options, ca: ca.certificatePem })
    outgoing.on('error', reject)
    outgoing.on('response', (answer) => {
      readAll(answer).then((bytes) => {
        resolve({ status: answer.statusCode ?? 502, headers: framed(answer.headers), body: bytes })
      }, reject)
    })
    outgoing.end(body)
  })
}

/** Without what belongs to one connection. */
function framed(headers: IncomingMessage['headers']): IncomingMessage['headers'] {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !['connection', 'keep-alive', 'transfer-encoding'].includes(name)),
  )
}
