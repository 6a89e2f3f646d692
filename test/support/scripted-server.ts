// A loopback HTTP server that answers as a test says, and remembers what it was told. For peers that misbehave on purpose.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Scope } from './scope.ts'
import type { TestCa } from './tls.ts'

export interface Heard {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface ScriptedServer {
  readonly url: string
  readonly heard: readonly Heard[]
}

export type Answer = (heard: Heard, response: ServerResponse) => void

/** Runs until the scope closes; over TLS, as localhost, where an authority is given. */
export async function startScriptedServer(scope: Scope, answer: Answer, ca?: TestCa): Promise<ScriptedServer> {
  const heard: Heard[] = []
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = []
    request.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const one = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks),
      }
      heard.push(one)
      answer(one, response)
    })
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
  const { port } = server.address() as AddressInfo
  return { url: ca === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`, heard }
}

function identity(ca: TestCa): { cert: string; key: string } {
  const { certificatePem, privateKeyPem } = ca.issue(['localhost', '127.0.0.1'])
  return { cert: certificatePem, key: privateKeyPem }
}
