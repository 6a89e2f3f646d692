// Stands before a trust server and writes down what a stock client asks of it and is told: over TLS to both sides, every byte passed on.
import { Agent, createServer, request as startRequest, type RequestOptions } from 'node:https'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'

/** One request and its answer. */
export interface Exchange {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** Of an update: role and version of each part, sorted. */
  readonly parts: readonly string[]
  readonly status: number
  /** Of a refusal: code, name of the failed validation, and its words. */
  readonly refusal: readonly string[]
  /** The scope that a challenge names. */
  readonly challenge: string | undefined
  /** Of the request: its scheme of authorisation. */
  readonly authorization: string | undefined
}

export interface RecordingProxy {
  /** What clients are given. */
  readonly url: string
  readonly host: string
  /** What was exchanged since the last call. */
  take(): readonly Exchange[]
  /** What the server answers to a GET of the test's own, which is not written down; undefined where that is not 200. */
  read(path: string, headers: Readonly<Record<string, string>>): Promise<Buffer | undefined>
}

/** Runs until the scope closes, before a server that has a certificate of the same authority. */
export async function startRecordingProxy(scope: Scope, ca: TestCa, upstream: string): Promise<RecordingProxy> {
  const exchanges: Exchange[] = []
  const { certificatePem, privateKeyPem } = ca.issue(['localhost', '127.0.0.1'])
  const { hostname, port: upstreamPort } = new URL(upstream)
  const agent = new Agent({ keepAlive: true, ca: ca.certificatePem })
  const ask = (options: RequestOptions, body: Buffer): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const request = startRequest({ hostname, port: upstreamPort, agent, ...options }, (message) => {
        bodyOf(message).then((bytes) => {
          resolve({ message, body: bytes })
        }, reject)
      })
      request.on('error', reject)
      request.end(body)
    })
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming
    void bodyOf(incoming)
      .then(async (sent) => {
        const answer = await ask({ method, path, headers: without(headers, 'connection') }, sent)
        exchanges.push(exchangeOf(incoming, sent, answer))
        pass(answer, outgoing)
      })
      .catch(() => outgoing.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.add(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
        agent.destroy()
      }),
  )
  const host = `localhost:${(server.address() as AddressInfo).port}`
  return {
    url: `https://${host}`,
    host,
    take: () => exchanges.splice(0),
    read: async (path, headers) => {
      const { message, body } = await ask({ path, headers }, Buffer.alloc(0))
      return message.statusCode === 200 ? body : undefined
    },
  }
}

interface Answer {
  readonly message: IncomingMessage
  readonly body: Buffer
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function pass({ message, body }: Answer, outgoing: ServerResponse): void {
  const headers = without(message.headers, 'connection', 'transfer-encoding')
  outgoing.writeHead(message.statusCode ?? 502, { ...headers, 'content-length': String(body.byteLength) })
  outgoing.end(body)
}

function without(headers: IncomingHttpHeaders, ...names: readonly string[]): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)))
}

function exchangeOf(incoming: IncomingMessage, sent: Buffer, { message, body }: Answer): Exchange {
  const { authorization } = incoming.headers
  return {
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    parts: partsOf(sent.toString('utf8')),
    status: message.statusCode ?? 0,
    refusal: refusalIn(body),
    challenge: /scope="([^"]*)"/.exec(message.headers['www-authenticate'] ?? '')?.[1],
    authorization: authorization?.split(' ')[0],
  }
}

function partsOf(body: string): string[] {
  const parts = body.split('Content-Disposition').slice(1)
  return parts
    .map(
      (text) =>
        `${/filename="([^"]*)"/.exec(text)?.[1] ?? ''} ${/"version":(\d+)\},"signatures"/.exec(text)?.[1] ?? ''}`,
    )
    .sort()
}

function refusalIn(body: Buffer): string[] {
  interface Refusal {
    readonly errors?: readonly {
      readonly code: string
      readonly detail?: { readonly Name?: string; readonly Error?: { readonly Msg?: string } }
    }[]
  }
  try {
    const error = (JSON.parse(body.toString('utf8')) as Refusal).errors?.[0]
    if (error === undefined) return []
    return [error.code, error.detail?.Name, error.detail?.Error?.Msg].filter((text) => text !== undefined)
  } catch {
    return []
  }
}
