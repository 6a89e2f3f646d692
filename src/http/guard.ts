// What is refused before anything is looked up: long addresses, many headers, headers that stand twice.
import type { IncomingMessage } from 'node:http'
import { HttpError } from './errors.ts'

/** Characters of path and query together; the longest real one is an encoded image reference. */
export const MAX_URL_LENGTH = 4096
/** Headers of one request; clients behind proxies send about thirty. */
export const MAX_HEADERS = 100

/** Node keeps one of these and drops the others in silence; which one a proxy keeps is another question. */
const SINGLE = new Set([
  'authorization',
  'content-type',
  'content-length',
  'content-encoding',
  'host',
  'idempotency-key',
])

/** @throws HttpError URL_TOO_LONG, HEADERS_TOO_LARGE, HEADER_REPEATED */
export function guardRequest(request: IncomingMessage): void {
  if ((request.url ?? '').length > MAX_URL_LENGTH) {
    throw new HttpError('URL_TOO_LONG', `Path and query exceed ${MAX_URL_LENGTH} characters.`, {
      facts: { maxLength: MAX_URL_LENGTH },
    })
  }
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  if (names.length > MAX_HEADERS) {
    throw new HttpError('HEADERS_TOO_LARGE', `There are more than ${MAX_HEADERS} headers.`, {
      facts: { maxHeaders: MAX_HEADERS },
    })
  }
  const repeated = names.find((name, index) => SINGLE.has(name) && names.indexOf(name) !== index)
  if (repeated !== undefined) {
    throw new HttpError('HEADER_REPEATED', `The header ${repeated} stands more than once.`, {
      facts: { header: repeated },
    })
  }
}
