// Asks a server that is not Countersign's for a small JSON document: an issuer of tokens. No redirects, limits on time and size.
import { isLoopback } from '../config/fields.ts'

const MAX_ANSWER_BYTES = 64 * 1024
const TIMEOUT_MS = 30_000

export interface ForeignAnswer {
  readonly status: number
  /** Undefined where it is no JSON. */
  readonly json: unknown
}

/** An https address, or http on this machine; undefined where the text is neither. */
export function foreignUrl(text: unknown): URL | undefined {
  const url = typeof text === 'string' ? URL.parse(text) : null
  if (url === null) return undefined
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname)) ? url : undefined
}

/** @throws Error of whatever kind where no whole answer came */
export async function requestJson(
  url: URL,
  o: {
    readonly interrupted: AbortSignal
    readonly headers?: Readonly<Record<string, string>>
    /** Sent as a form, by POST. */
    readonly form?: Readonly<Record<string, string>>
  },
): Promise<ForeignAnswer> {
  const { request } = await import('./undici.ts')
  const answer = await request(url, {
    method: o.form === undefined ? 'GET' : 'POST',
    headers: {
      accept: 'application/json',
      'user-agent': 'countersign-cli',
      ...(o.form !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
      ...o.headers,
    },
    ...(o.form !== undefined && { body: new URLSearchParams(o.form).toString() }),
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    signal: AbortSignal.any([o.interrupted, AbortSignal.timeout(TIMEOUT_MS)]),
  })
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    if (length > MAX_ANSWER_BYTES) throw new Error('the answer is too large')
    chunks.push(chunk)
  }
  return { status: answer.statusCode, json: parseText(Buffer.concat(chunks)) }
}

function parseText(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
