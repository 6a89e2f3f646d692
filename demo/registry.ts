// A FIXTURE OF THE DEMO, and no registry for anything else: an OCI registry in memory, on loopback, without accounts and without limits worth
// the name. It has what `docker push` and `docker pull` need of the distribution specification 1.1, and refuses manifests and blobs whose
// bytes do not have the digest that they are pushed under.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Scope } from '../test/support/scope.ts'

interface Manifest {
  readonly bytes: Buffer
  readonly mediaType: string
}

const MAX_BODY_BYTES = 64 * 1024 ** 2

const ROUTE =
  /^\/v2\/(?<name>[a-z0-9][a-z0-9._/-]*)\/(?:manifests\/(?<reference>[\w.:-]+)|blobs\/uploads\/(?<upload>\d*)|blobs\/(?<digest>sha256:[0-9a-f]{64}))$/

export class DemoRegistry {
  /** As it stands in image references. */
  readonly host: string
  readonly url: string
  readonly #manifests = new Map<string, Manifest>()
  readonly #blobs = new Map<string, Buffer>()
  readonly #uploads = new Map<string, Buffer[]>()
  #lastUpload = 0

  private constructor(port: number) {
    this.host = `127.0.0.1:${port}`
    this.url = `http://${this.host}`
  }

  /** Until the scope closes. */
  static async start(scope: Scope): Promise<DemoRegistry> {
    const server: Server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const registry = new DemoRegistry((server.address() as AddressInfo).port)
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      registry.#answer(request, response).catch(() => {
        response.destroy()
      })
    })
    scope.add(() => {
      server.close()
      server.closeAllConnections()
    })
    return registry
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.url)
    const parts = ROUTE.exec(url.pathname)?.groups
    const method = request.method ?? ''
    if (url.pathname === '/v2/') send(response, 200)
    else if (parts?.['reference'] !== undefined) {
      await this.#manifest(request, response, method, parts['name'] ?? '', parts['reference'])
    } else if (parts?.['digest'] !== undefined) this.#blob(response, method, parts['digest'])
    else if (parts?.['upload'] !== undefined) {
      await this.#upload(request, response, method, parts['upload'], url)
    } else send(response, 404)
  }

  async #manifest(
    request: IncomingMessage,
    response: ServerResponse,
    method: string,
    name: string,
    reference: string,
  ): Promise<void> {
    if (method === 'PUT') {
      const bytes = await bodyOf(request)
      const digest = digestOf(bytes)
      if (reference.startsWith('sha256:') && reference !== digest) {
        send(response, 400)
        return
      }
      const manifest = { bytes, mediaType: request.headers['content-type'] ?? '' }
      for (const key of [reference, digest]) this.#manifests.set(`${name}@${key}`, manifest)
      send(response, 201, { location: `/v2/${name}/manifests/${digest}`, 'docker-content-digest': digest })
      return
    }
    const found = this.#manifests.get(`${name}@${reference}`)
    if (found === undefined) send(response, 404)
    else {
      const headers = { 'content-type': found.mediaType, 'docker-content-digest': digestOf(found.bytes) }
      send(response, 200, headers, found.bytes, method)
    }
  }

  #blob(response: ServerResponse, method: string, digest: string): void {
    const found = this.#blobs.get(digest)
    const headers = { 'content-type': 'application/octet-stream', 'docker-content-digest': digest }
    if (found === undefined) send(response, 404)
    else send(response, 200, headers, found, method)
  }

  async #upload(
    request: IncomingMessage,
    response: ServerResponse,
    method: string,
    upload: string,
    url: URL,
  ): Promise<void> {
    const folder = url.pathname.slice(0, url.pathname.length - upload.length)
    if (method === 'POST') {
      const id = String(++this.#lastUpload)
      this.#uploads.set(id, [])
      send(response, 202, { location: `${folder}${id}`, range: '0-0' })
      return
    }
    const chunks = this.#uploads.get(upload)
    if (chunks === undefined) {
      send(response, 404)
      return
    }
    chunks.push(await bodyOf(request))
    const bytes = Buffer.concat(chunks)
    if (method === 'PATCH') {
      send(response, 202, { location: url.pathname, range: `0-${Math.max(0, bytes.length - 1)}` })
      return
    }
    const digest = url.searchParams.get('digest') ?? ''
    this.#uploads.delete(upload)
    if (digestOf(bytes) !== digest) {
      send(response, 400)
      return
    }
    this.#blobs.set(digest, bytes)
    send(response, 201, { location: `${folder.replace(/uploads\/$/, '')}${digest}`, 'docker-content-digest': digest })
  }
}

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body: Buffer = Buffer.alloc(0),
  method = 'GET',
): void {
  response.writeHead(status, { ...headers, 'content-length': body.length })
  response.end(method === 'HEAD' ? undefined : body)
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_BODY_BYTES) throw new Error('The demo’s registry takes no more than 64 MiB at once.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
