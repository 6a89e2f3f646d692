// Requests that Node's parser gives up on never become a request here: they are answered on the socket itself.
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { HttpError } from './errors.ts'
import { problemOf } from './problem.ts'
import { newRequestId } from './request-id.ts'

/** Answers what could not be parsed, and closes the connection. Returns the code, for the log. */
export function answerBrokenRequest(error: Error & { readonly code?: string }, socket: Duplex): string {
  const refusal = refusalOf(error.code)
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return refusal.code
  }
  const { document } = problemOf(refusal, { instance: '', requestId: newRequestId() })
  const body = JSON.stringify(document)
  socket.end(
    [
      `HTTP/1.1 ${document.status} ${STATUS_CODES[document.status] ?? ''}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Cache-Control: no-store',
      'X-Content-Type-Options: nosniff',
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  )
  return refusal.code
}

function refusalOf(code: string | undefined): HttpError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new HttpError('HEADERS_TOO_LARGE', 'The headers are larger than this server reads.')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpError('REQUEST_TIMEOUT', 'The request did not arrive in time.')
    default:
      return new HttpError('REQUEST_MALFORMED', 'The request is not HTTP/1.1 as it is read here.')
  }
}
