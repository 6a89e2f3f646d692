// A registry that answers as the test says, over plain HTTP on loopback: for what a real registry would not do.
import { createServer, type IncomingMessage } from 'node:http'
import type { Scope } from '../scope.ts'

export interface ScriptedAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface ScriptedRegistry {
  readonly url: string
  readonly host: string
  readonly requests: readonly {
    readonly method: string
    readonly path: string
    readonly headers: IncomingMessage['headers']
  }[]
  /** Decides every further answer; `reference` is the tag or digest asked for. */
  answer: (reference: string) => ScriptedAnswer
}

/** Until the scope closes. Everything but manifests is 200 and empty. */
export async function startScriptedRegistry(scope: Scope): Promise<ScriptedRegistry> {
  const requests: { method: string; path: string; headers: IncomingMessage['headers'] }[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push({ method: request.method ?? '', path, headers: request.headers })
    const reference = /\/manifests\/(.+)$/.exec(path)?.[1]
    const { status, headers, body } = reference === undefined ? { status: 200 } : registry.answer(reference)
    response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.add(() => {
    server.closeAllConnections()
    server.close()
  })
  const bound = server.address()
  const host = `localhost:${typeof bound === 'object' && bound !== null ? bound.port : 0}`
  const registry: ScriptedRegistry = { url: `http://${host}`, host, requests, answer: () => ({ status: 404 }) }
  return registry
}
