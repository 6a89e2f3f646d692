// The body of a request, as it comes in and no longer than it may be.
import type { IncomingMessage } from 'node:http'
import { ProtocolError } from './answers.ts'

/**
 * Piece by piece, to its end. What its reader throws is thrown on.
 * @param tooLong made where it is longer, or says so
 * @throws ProtocolError MALFORMED_UPLOAD where it ends early; `tooLong`
 */
export async function* chunksOf(
  request: IncomingMessage,
  maxBytes: number,
  tooLong: (maxBytes: number) => ProtocolError,
): AsyncGenerator<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLong(maxBytes)
  let length = 0
  try {
    // The stream is not destroyed when reading stops, or the client would see a broken connection in place of the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.byteLength
      if (length > maxBytes) throw tooLong(maxBytes)
      yield chunk
    }
  } catch (error) {
    throw error instanceof ProtocolError ? error : malformed('ended early', error)
  }
  if (!request.complete) throw malformed('ended early')
}

export function malformed(reason: string, cause?: unknown): ProtocolError {
  return new ProtocolError('MALFORMED_UPLOAD', { facts: { reason }, ...(cause !== undefined && { cause }) })
}
