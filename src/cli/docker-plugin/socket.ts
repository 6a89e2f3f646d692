// How Docker ends a plugin where no terminal passes signals on: it closes a socket that it keeps open meanwhile.
// Source: docker/cli v28.2.2 cli-plugins/socket/socket.go ConnectAndWait, cmd/docker/docker.go tryPluginRun.
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'

/** Milliseconds between two looks at Linux's list of sockets. */
const LOOK_MS = 250

/**
 * Calls `end` when Docker closes the socket. One that cannot be reached means nothing, and none keeps the process alive.
 * @param address what DOCKER_CLI_PLUGIN_SOCKET says; a first @ stands for the zero byte of Linux's abstract addresses
 */
export function whenDockerEnds(address: string, end: () => void): void {
  const isAbstract = address.startsWith('@')
  const socket = connect(isAbstract ? `\0${address.slice(1)}` : address)
  socket.unref()
  socket.on('end', end)
  // Node 20 fills abstract addresses up with zeros, which makes others of them.
  socket.on('error', () => {
    if (isAbstract) whenGone(address, end)
  })
  socket.resume()
}

/** For a socket that can be seen and not reached. */
function whenGone(address: string, end: () => void): void {
  if (!isListed(address)) return
  const timer = setInterval(() => {
    if (isListed(address)) return
    clearInterval(timer)
    end()
  }, LOOK_MS)
  timer.unref()
}

/** proc(5): one socket a line, with its address at the end. */
function isListed(address: string): boolean {
  try {
    return readFileSync('/proc/net/unix', 'utf8').includes(` ${address}\n`)
  } catch {
    return false
  }
}
