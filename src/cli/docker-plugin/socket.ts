// How Docker ends a plugin where no terminal passes signals on: it closes a socket that it keeps open meanwhile.
// Source: docker/cli v28.2.2 cli-plugins/socket/socket.go ConnectAndWait, cmd/docker/docker.go tryPluginRun.
import { connect } from 'node:net'

/**
 * Calls `end` when Docker closes the socket. One that cannot be reached means nothing, and none keeps the process alive.
 * @param address what DOCKER_CLI_PLUGIN_SOCKET says; a first @ stands for the zero byte of Linux's abstract addresses
 */
export function whenDockerEnds(address: string, end: () => void): void {
  const socket = connect(address.replace(/^@/, '\0'))
  socket.unref()
  socket.on('end', end)
  socket.on('error', () => undefined)
  socket.resume()
}
