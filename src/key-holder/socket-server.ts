// A Unix socket of the key holder: who may open it is decided by the file's mode and its folder, so both are checked here.
import { chmodSync, lstatSync, mkdirSync, statSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { SocketName } from '../key-holder-protocol/operations.ts'
import { Connection, type BufferBudget, type ConnectionLimits } from './connection.ts'
import type { Answering } from './dispatch.ts'

/** Callers at a time. The daemon needs one, the command line a few. */
const MAX_CONNECTIONS = 16

export interface SocketOptions {
  readonly path: string
  /** Mode of the socket file. */
  readonly mode: number
  readonly name: SocketName
  readonly dispatcher: Answering
  readonly limits: ConnectionLimits
  readonly budget: BufferBudget
}

export class SocketServer {
  readonly #server: Server
  readonly #connections: ReadonlySet<Connection>

  private constructor(server: Server, connections: ReadonlySet<Connection>) {
    this.#server = server
    this.#connections = connections
  }

  /**
   * Listens. A socket file that nobody answers on is removed; any other file there is refused.
   * @throws KeyHolderError KEY_HOLDER_ALREADY_RUNNING, KEY_HOLDER_FOLDER_EXPOSED, KEY_HOLDER_CONFIG_INVALID
   */
  static async listen(o: SocketOptions): Promise<SocketServer> {
    checkFolder(dirname(o.path))
    await removeStale(o.path)
    const connections = new Set<Connection>()
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new Connection(socket, o.name, o.dispatcher, o.limits, o.budget)
      connections.add(connection)
      socket.on('close', () => connections.delete(connection))
    })
    server.maxConnections = MAX_CONNECTIONS
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const facts = { path: o.path }
        reject(new KeyHolderError('KEY_HOLDER_CONFIG_INVALID', 'The socket cannot be opened.', facts, { cause }))
      })
      // The file is made within listen(): nobody else can open it before its mode is set.
      const umask = process.umask(0o177)
      try {
        server.listen(o.path, resolve)
      } finally {
        process.umask(umask)
      }
    })
    chmodSync(o.path, o.mode)
    return new SocketServer(server, connections)
  }

  /** No new connections, no new requests; resolves when every answer under way is written. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve()
      })
    })
    for (const connection of this.#connections) connection.end()
    const impatience = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy()
    }, CLOSE_TIME_MS)
    await closed
    clearTimeout(impatience)
  }
}

/** How long callers have to read their last answers. */
const CLOSE_TIME_MS = 5000

function checkFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if ((statSync(folder).mode & 0o002) !== 0) {
    throw new KeyHolderError('KEY_HOLDER_FOLDER_EXPOSED', 'Anybody could replace a socket in this folder.', {
      path: folder,
    })
  }
}

async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket()) {
    throw new KeyHolderError('KEY_HOLDER_CONFIG_INVALID', 'There is a file that is not a socket.', { path })
  }
  if (await isAnswered(path)) {
    throw new KeyHolderError('KEY_HOLDER_ALREADY_RUNNING', 'Somebody answers on this socket.', { path })
  }
  unlinkSync(path)
}

/** Only a refused connection shows that nobody listens; any other failure may be a living process. */
async function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => {
      resolve(!('code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')))
    })
  })
}
