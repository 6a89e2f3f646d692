// One Notary v1 server: reads metadata, uploads one atomic update, asks for the keys that the server holds. Decides nothing;
// what comes back is received, not trusted. Reference: notary v0.7.0 server/server.go, storage/httpstore.go.
import { randomBytes } from 'node:crypto'
import {
  CodedError,
  encodeBase64,
  isJsonObject,
  keyObjectOf,
  parseJson,
  parsePublicKey,
  type Gun,
  type PublicKey,
  type RoleName,
} from '@countersign/tuf'
import type { TrustDestination } from '../domain/ports.ts'
import type { FeedChange, FeedQuery, FeedSource } from '../domain/trust-feed.ts'
import { AuthenticatedClient, type RemoteOptions } from '../net/authenticated-client.ts'
import { isBeforeSending, isPassing, NetError } from '../net/errors.ts'
import type { HttpRequest, HttpResponse } from '../net/http-client.ts'
import { feedPath, parseFeed } from './change-feed.ts'
import { NotaryError } from './errors.ts'
import { encodeMultipart } from './multipart.ts'
import { parseServerError } from './server-error.ts'

/** notary v0.7.0 storage/httpstore.go: the cap of a key answer is 256 KiB. */
const MAX_KEY_BYTES = 256 * 1024
const MAX_ANSWER_BYTES = 64 * 1024
/** Some 500 changes with the longest names. */
const MAX_FEED_BYTES = 1024 * 1024
/** Named by checksum or version: what stands under such a name never changes. */
const FIXED_FILE = /(?:^[0-9]+\.|\.[0-9a-f]{64}\.json$)/

export class NotaryClient implements TrustDestination, FeedSource {
  readonly #client: AuthenticatedClient

  constructor(options: RemoteOptions) {
    this.#client = new AuthenticatedClient(options)
  }

  async read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const answer = await this.#request(gun, 'pull', {
      method: 'GET',
      path: pathOf(gun, fileName),
      // Notary lets caches keep the current files for five minutes; what was published a moment ago must be seen.
      headers: FIXED_FILE.test(fileName) ? {} : { 'cache-control': 'no-cache' },
      maxBytes,
    })
    if (answer.status === 200) return answer.body
    if (answer.status === 404 || isUnlistedRole(answer, fileName)) return undefined
    throw refusal(answer)
  }

  async publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): Promise<void> {
    const boundary = randomBytes(16).toString('hex')
    const upload: HttpRequest = {
      method: 'POST',
      path: pathOf(gun, ''),
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
      body: encodeMultipart(files, boundary),
      maxBytes: MAX_ANSWER_BYTES,
    }
    const answer = await this.#upload(gun, upload)
    // Trap Q12: success is exactly 200. Any other 2xx is no promise, so what happened is found out by reading.
    if (answer.status === 200) return
    throw publishRefusal(answer)
  }

  async serverKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    return this.#key(gun, role, 'GET', 'push,pull')
  }

  async rotateServerKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    return this.#key(gun, role, 'POST', '*')
  }

  async rootVersions(gun: Gun): Promise<readonly number[] | undefined> {
    const answer = await this.#request(gun, 'pull', {
      method: 'GET',
      path: rootsPathOf(gun),
      maxBytes: MAX_ANSWER_BYTES,
    })
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw refusal(answer)
    const versions = rootVersionsIn(answer.body)
    if (versions !== undefined) return versions
    throw new NotaryError('NOTARY_RESPONSE_MALFORMED', 'The trust server’s list of roots cannot be read.', { gun })
  }

  async bringOlderRoots(gun: Gun, roots: readonly Uint8Array[]): Promise<void> {
    const answer = await this.#upload(gun, {
      method: 'POST',
      path: rootsPathOf(gun),
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ roots: roots.map(encodeBase64) })),
      maxBytes: MAX_ANSWER_BYTES,
    })
    if (answer.status !== 200) throw publishRefusal(answer)
  }

  async changes(gun: Gun, query: FeedQuery): Promise<readonly FeedChange[] | undefined> {
    const path = feedPath(gun, query)
    const request: HttpRequest = {
      method: 'GET',
      path,
      headers: { 'cache-control': 'no-cache' },
      maxBytes: MAX_FEED_BYTES,
    }
    const scope = query.scope === 'server' ? 'registry:catalog:*' : scopeOf(gun, 'pull')
    let answer: HttpResponse
    try {
      answer = await this.#client.request({ ...request, scope, credentialHost: hostOf(gun) })
    } catch (cause) {
      // Most token servers give nobody the right to read about all repositories.
      if (cause instanceof NetError && cause.code === 'TOKEN_REFUSED') return undefined
      throw named(cause)
    }
    if (answer.status === 200) return parseFeed(answer.body, query)
    const error = refusal(answer)
    if (error.code === 'NOTARY_UNAVAILABLE') throw error
    return undefined
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  async #key(gun: Gun, role: RoleName, method: 'GET' | 'POST', actions: string): Promise<PublicKey> {
    const answer = await this.#request(gun, actions, {
      method,
      path: pathOf(gun, `${role}.key`),
      maxBytes: MAX_KEY_BYTES,
    })
    if (answer.status !== 200) throw refusal(answer)
    try {
      const key = parsePublicKey(parseJson(answer.body, { maxBytes: MAX_KEY_BYTES, maxDepth: 8 }))
      // A root with a key that nobody can verify with would be a dead repository.
      keyObjectOf(key)
      return key
    } catch (cause) {
      if (!(cause instanceof CodedError)) throw cause
      throw new NotaryError(
        'NOTARY_RESPONSE_MALFORMED',
        'The trust server’s key cannot be read.',
        { role, reason: String(cause.code) },
        { cause },
      )
    }
  }

  /** An error after the first byte was sent leaves open whether the server acted on it. */
  async #upload(gun: Gun, upload: HttpRequest): Promise<HttpResponse> {
    try {
      return await this.#client.request({ ...upload, scope: scopeOf(gun, 'push,pull'), credentialHost: hostOf(gun) })
    } catch (cause) {
      if (!(cause instanceof NetError) || isBeforeSending(cause)) throw named(cause)
      throw new NotaryError(
        'NOTARY_ANSWER_LOST',
        'The answer of the trust server to the update was lost.',
        { reason: cause.code },
        { cause },
      )
    }
  }

  async #request(gun: Gun, actions: string, request: HttpRequest): Promise<HttpResponse> {
    try {
      return await this.#client.request({ ...request, scope: scopeOf(gun, actions), credentialHost: hostOf(gun) })
    } catch (cause) {
      throw named(cause)
    }
  }
}

/** Host and path stand in the URL as they are, colon and slashes included, as Docker sends them. */
function pathOf(gun: Gun, fileName: string): string {
  return `/v2/${gun}/_trust/tuf/${fileName}`
}

/** Of our own trust server; notary-server has nothing there. */
function rootsPathOf(gun: Gun): string {
  return `/v2/${gun}/_trust/roots`
}

function rootVersionsIn(body: Uint8Array): readonly number[] | undefined {
  try {
    const answer = parseJson(body, { maxBytes: MAX_ANSWER_BYTES, maxDepth: 3 })
    const versions = isJsonObject(answer) ? answer.get('versions') : undefined
    return Array.isArray(versions) && versions.every((one) => typeof one === 'number') ? versions : undefined
  } catch {
    return undefined
  }
}

/** The scope holds the whole GUN, host included (notary v0.7.0 server/server.go). */
function scopeOf(gun: Gun, actions: string): string {
  return `repository:${gun}:${actions}`
}

/** The registry whose credentials count, as for Docker. */
function hostOf(gun: Gun): string {
  return gun.slice(0, gun.indexOf('/'))
}

function named(cause: unknown): unknown {
  if (!(cause instanceof NetError)) return cause
  if (cause.code === 'NET_TOO_LARGE') {
    return new NotaryError(
      'NOTARY_RESPONSE_TOO_LARGE',
      `The trust server sends more than allowed: ${cause.message}`,
      cause.facts,
      { cause },
    )
  }
  if (!isPassing(cause)) return cause
  return new NotaryError(
    'NOTARY_UNAVAILABLE',
    `The trust server cannot be reached: ${cause.message}`,
    { ...cause.facts, failure: cause.code },
    { cause },
  )
}

/** Trap Q10: for a delegation that the snapshot does not list, SQL back ends answer 500 with the role as detail. */
function isUnlistedRole({ status, body }: HttpResponse, fileName: string): boolean {
  if (status !== 500 || !fileName.startsWith('targets/')) return false
  const error = parseServerError(body)
  return error?.code === 'UNKNOWN' && error.role === fileName.replace(/(?:\.[0-9a-f]{64})?\.json$/, '')
}

/** The refusal of a read or of a key. */
function refusal(answer: HttpResponse): NotaryError {
  const { status } = answer
  const error = parseServerError(answer.body)
  const facts = { status, code: error?.code ?? '', words: error?.words ?? '' }
  if (status >= 300 && status < 400) {
    return new NotaryError('NOTARY_REDIRECTED', 'The trust server redirects; redirects are not followed.', facts)
  }
  if (status === 401 || status === 403) {
    return new NotaryError(
      'NOTARY_UNAUTHORIZED',
      'The trust server does not accept our credentials for this repository.',
      facts,
    )
  }
  if (status === 408 || status === 429 || status >= 500) {
    return new NotaryError('NOTARY_UNAVAILABLE', 'The trust server is not able to answer now.', facts)
  }
  return new NotaryError(
    'NOTARY_RESPONSE_MALFORMED',
    'The trust server answers in a way that is not understood.',
    facts,
  )
}

/** The refusal of an update. Branches on the document's code, since one status serves many (reference 5.6). */
function publishRefusal(answer: HttpResponse): NotaryError {
  const { status } = answer
  const error = parseServerError(answer.body)
  const facts = { status, code: error?.code ?? '', name: error?.name ?? '', words: error?.words ?? '' }
  // Trap Q11: a lost race is 400 VERSION, or 500 UPDATING on PostgreSQL.
  if ((status === 400 && error?.code === 'VERSION') || (status === 500 && error?.code === 'UPDATING')) {
    return new NotaryError('NOTARY_CONFLICT', 'Another version was published first.', facts)
  }
  if (status === 401 || status === 403 || status === 429 || (status >= 300 && status < 400)) return refusal(answer)
  if (status >= 400 && status < 500 && status !== 408) {
    return new NotaryError('NOTARY_UPDATE_INVALID', 'The trust server refuses the update.', facts)
  }
  return new NotaryError(
    'NOTARY_ANSWER_LOST',
    'The trust server’s answer does not say whether the update was stored.',
    facts,
  )
}
