// Names each request, so that an answer and the lines of the log can be brought together. The name is ours, never the client's.
import { randomBytes } from 'node:crypto'

/** 24 characters, different for each request; nothing can be learnt from it. */
export function newRequestId(): string {
  return `req_${randomBytes(15).toString('base64url')}`
}
