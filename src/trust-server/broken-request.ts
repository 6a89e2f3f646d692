// Requests that Node's parser gives up on never become requests: they are answered on the socket itself.
import type { Duplex } from 'node:stream'

/** Answers what could not be parsed, or did not come in time, and closes the connection. */
export function answerBrokenRequest({ code }: { readonly code?: string }, socket: Duplex): void {
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
}
