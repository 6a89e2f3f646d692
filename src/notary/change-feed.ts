// The change feeds of a Notary v1 server. notary v0.7.0 server/handlers/changefeed.go; reference 5.9.
import { CodedError, type Gun, isJsonArray, isJsonObject, type JsonValue, parseJson } from '@countersign/tuf'
import type { FeedChange, FeedQuery } from '../domain/trust-feed.ts'
import { NotaryError } from './errors.ts'

/** The server's change of the database: numbers of its own, as text. */
const ID = /^[0-9]{1,15}$/
const SHA256 = /^[0-9a-f]{64}$/

export function feedPath(gun: Gun, { scope, after, records }: FeedQuery): string {
  const of = scope === 'server' ? '' : `/${gun}`
  return `/v2${of}/_trust/changefeed?records=${records}&change_id=${after === 'newest' ? -1 : after}`
}

/** @throws NotaryError NOTARY_RESPONSE_MALFORMED also where IDs do not rise, or more come than were asked for */
export function parseFeed(body: Uint8Array, { after, records }: FeedQuery): readonly FeedChange[] {
  let previous = after === 'newest' ? -1 : after
  const changes = entriesOf(body).map((entry): FeedChange => {
    const change = changeOf(entry)
    if (change === undefined || change.id <= previous) throw malformed('a change is not one, or does not follow')
    previous = change.id
    return change
  })
  if (changes.length > records) throw malformed('more changes than were asked for')
  return changes
}

function entriesOf(body: Uint8Array): readonly JsonValue[] {
  try {
    const answer = parseJson(body, { maxBytes: body.byteLength, maxDepth: 4 })
    const entries = isJsonObject(answer) ? answer.get('records') : undefined
    // Nil of Go, where a server that keeps everything in memory has no more.
    if (entries === null) return []
    if (isJsonArray(entries)) return entries
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause
    throw malformed(String(cause.code), cause)
  }
  throw malformed('there are no records')
}

function changeOf(entry: JsonValue): FeedChange | undefined {
  if (!isJsonObject(entry)) return undefined
  const [id, gun, sha256] = ['ID', 'GUN', 'SHA256'].map((name) => entry.get(name))
  if (typeof id !== 'string' || !ID.test(id) || typeof gun !== 'string') return undefined
  // PostgreSQL fills the empty text of a deletion up with spaces.
  const timestamp = typeof sha256 === 'string' && SHA256.test(sha256) ? sha256 : undefined
  return { id: Number(id), gun, timestamp }
}

function malformed(reason: string, cause?: unknown): NotaryError {
  const message = 'The trust server’s change feed cannot be read.'
  return new NotaryError('NOTARY_RESPONSE_MALFORMED', message, { reason }, { cause })
}
