// The simulated Notary server on a socket: routes, statuses and error documents as notary-server 0.7.0 has them, and the answers that
// no server should give. notary v0.7.0 server/server.go, server/handlers/default.go, server/errors/errors.go.
import { CodedError, encodePublicKey, canonicalText, parseGun, parseRoleName, type RoleName } from '@countersign/tuf'
import type { ServerResponse } from 'node:http'
import type { FakeTrustServer } from './fakes/trust-server.ts'
import type { Scope } from './scope.ts'
import { startScriptedServer, type Heard, type ScriptedServer } from './scripted-server.ts'
import type { TestCa } from './tls.ts'

export interface NotaryOverHttp extends ScriptedServer {
  /** Answers instead of the server where it returns true. */
  interfere: ((heard: Heard, response: ServerResponse) => boolean) | undefined
}

const ROUTE = /^\/v2\/(.+)\/_trust\/tuf\/(.*)$/
const KEY = /^(snapshot|timestamp)\.key$/

/** Until the scope closes. */
export async function serveNotary(scope: Scope, server: FakeTrustServer, ca?: TestCa): Promise<NotaryOverHttp> {
  const answer = (heard: Heard, response: ServerResponse): void => {
    if (over.interfere?.(heard, response) === true) return
    respond(server, heard, response).catch((error: unknown) => {
      sendError(response, error)
    })
  }
  const listening = await startScriptedServer(scope, answer, ca)
  const over: NotaryOverHttp = { url: listening.url, heard: listening.heard, interfere: undefined }
  return over
}

async function respond(server: FakeTrustServer, { method, url, headers, body }: Heard, response: ServerResponse) {
  const path = decodeURIComponent(url)
  if (path === '/v2/') {
    response.end('{}')
    return
  }
  const [, name = '', file = ''] = ROUTE.exec(path) ?? []
  const isKey = KEY.test(file)
  if (name === '') {
    send(response, 404, 'METADATA_NOT_FOUND')
    return
  }
  const gun = parseGun(name)
  if (method === 'POST' && file === '') {
    await server.publish(gun, partsOf(body, headers['content-type'] ?? ''))
    response.writeHead(200).end()
  } else if (method === 'DELETE' && file === '') {
    server.delete(gun)
    response.writeHead(200).end()
  } else if (isKey && (method === 'GET' || method === 'POST')) {
    const role = parseRoleName(file.slice(0, -'.key'.length))
    const key = await (method === 'GET' ? server.serverKey(gun, role) : server.rotateServerKey(gun, role))
    response.end(canonicalText(encodePublicKey(key)))
  } else {
    const bytes = method === 'GET' ? await server.read(gun, file, Number.MAX_SAFE_INTEGER) : undefined
    if (bytes === undefined) send(response, 404, 'METADATA_NOT_FOUND')
    else response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(bytes)
  }
}

/** One part per role; the file name is the role. Trap Q16: a body that is cut crashes the handler. */
function partsOf(body: Buffer, contentType: string): ReadonlyMap<RoleName, Uint8Array> {
  const boundary = /boundary=([^;]+)/.exec(contentType)?.[1] ?? ''
  const files = new Map<RoleName, Uint8Array>()
  const end = body.lastIndexOf(`--${boundary}--`)
  if (boundary === '' || end < 0) throw new Error('no multipart body')
  for (let at = body.indexOf(`--${boundary}\r\n`); at >= 0 && at < end;) {
    const headEnd = body.indexOf('\r\n\r\n', at)
    const next = body.indexOf(`\r\n--${boundary}`, headEnd)
    const fileName = /filename="([^"]*)"/.exec(body.toString('utf8', at, headEnd))?.[1] ?? ''
    files.set(parseRoleName(fileName.replace(/\.json$/, '')), body.subarray(headEnd + 4, next))
    at = body.indexOf(`--${boundary}\r\n`, next)
  }
  return files
}

/** The document that the real server sends for what happened. */
function sendError(response: ServerResponse, error: unknown): void {
  if (!(error instanceof CodedError)) {
    response.destroy()
    return
  }
  if (error.code === 'NOTARY_CONFLICT') {
    if (error.facts['code'] === 'UPDATING') send(response, 500, 'UPDATING')
    else send(response, 400, 'VERSION', {})
  } else if (error.code === 'NOTARY_UNAVAILABLE') send(response, 503, 'UNKNOWN')
  else if (error.code === 'NOTARY_UPDATE_INVALID') {
    send(response, 400, 'INVALID_UPDATE', { Name: 'ErrBadTargets', Error: { Msg: error.message } })
  } else send(response, 400, 'MALFORMED_JSON', {})
}

function send(response: ServerResponse, status: number, code: string, detail?: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
    .end(JSON.stringify({ errors: [{ code, message: code, ...(detail === undefined ? {} : { detail }) }] }) + '\n')
}
