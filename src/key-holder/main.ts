// Starts and stops the process that holds keys: folder, unlock key, state, audit log, then the sockets, in this order.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { isSameToken, parseTokenUri } from '../pkcs11/uri.ts'
import { programVersion } from '../version.ts'
import { closeAll, type Closer } from './closing.ts'
import type { KeyHolderConfig } from './config.ts'
import { BufferBudget, CONNECTION_LIMITS, type ConnectionLimits } from './connection.ts'
import { StateDatabase } from './database.ts'
import { databasePath, openFolder } from './folder.ts'
import { createProcessLog, type ProcessLog } from './holder-log.ts'
import type { Step } from './holder.ts'
import { readLimits, type Limits } from './limits.ts'
import { SealGate } from './seal-gate.ts'
import { checkedUnlockKey, isPrepared, unlock } from './settings.ts'
import { SocketServer } from './socket-server.ts'
import type { UnlockSources } from './unlock.ts'

export { parseKeyHolderConfig, type KeyHolderConfig } from './config.ts'
export { createUnlockKeyFile } from './unlock.ts'

/** For tests: a clock, a look at each step, tighter limits of connections, a log, a script. */
export interface KeyHolderOptions {
  /** In the place of that which the configuration names; stays the caller's. For a drill, which must not put it on a disk. */
  readonly unlockKey?: Buffer
  readonly now?: () => Date
  readonly onStep?: (step: Step) => void
  readonly connectionLimits?: Partial<ConnectionLimits>
  readonly log?: ProcessLog
  /** The process with a PKCS#11 module, where it is not beside this file. */
  readonly tokenScript?: string
}

export interface RunningKeyHolder {
  readonly serviceSocket: string
  readonly operatorSocket: string
  readonly trustServerSocket?: string
  /** Public key of the audit log, as verifiers take it, while it is unsealed. */
  logPublicKey(): string | undefined
  /** No new requests; resolves when those under way are answered and everything is closed. */
  close(): Promise<void>
}

/** @throws KeyHolderError with a code that says why it does not start */
export async function startKeyHolder(
  config: KeyHolderConfig,
  options: KeyHolderOptions = {},
): Promise<RunningKeyHolder> {
  const processLog = options.log ?? createProcessLog(config.logLevel)
  const limits = readLimits(config.limitsFile)
  requireTokens(config, limits)
  const isFirstStart = openFolder(config.folder)
  const database = StateDatabase.open(databasePath(config.folder), isFirstStart)
  const sources: UnlockSources = {
    ...(config.unlock !== undefined && { current: config.unlock }),
    ...(config.nextUnlock !== undefined && { next: config.nextUnlock }),
  }
  const now = options.now ?? (() => new Date())
  const identity = {
    uid: process.getuid?.() ?? -1,
    pid: process.pid,
    version: programVersion(),
    startedAt: now().toISOString(),
  }
  const { uid, pid, version } = identity
  const gate = new SealGate({
    config,
    sources,
    database,
    limits,
    processLog,
    identity,
    now,
    step: options.onStep ?? (() => undefined),
    ...(options.tokenScript !== undefined && { tokenScript: options.tokenScript }),
  })
  const closers: Closer[] = [
    () => {
      database.close()
    },
  ]
  try {
    const unlockKey = await unlockKeyAtStart(database, sources, options.unlockKey, processLog)
    if (unlockKey !== undefined) await gate.open(unlockKey)
    closers.unshift(() => gate.close())
    const shared = {
      dispatcher: gate,
      limits: { ...CONNECTION_LIMITS, ...options.connectionLimits },
      budget: new BufferBudget(),
    }
    const { trustServerSocket } = config
    if (trustServerSocket !== undefined) {
      // A budget of its own: whoever has the trust server cannot fill the daemon's.
      const budget = new BufferBudget()
      const mode = config.socketMode
      const server = await SocketServer.listen({
        ...shared,
        budget,
        path: trustServerSocket,
        mode,
        name: 'trust-server',
      })
      closers.unshift(() => server.close())
    }
    const operator = await SocketServer.listen({
      ...shared,
      path: config.operatorSocket,
      mode: 0o600,
      name: 'operator',
    })
    closers.unshift(() => operator.close())
    const service = await SocketServer.listen({
      ...shared,
      path: config.serviceSocket,
      mode: config.socketMode,
      name: 'service',
    })
    closers.unshift(() => service.close())
    // Not before: what starts a process again and again that cannot listen would have a wrong PIN tried each time.
    gate.watchTokens()
    processLog.info({ uid, pid, version, folder: config.folder, limitsDigest: limits.digest }, 'key holder started')
    if (unlockKey === undefined) processLog.warn({}, 'sealed: it waits for countersign unseal')
    return {
      serviceSocket: config.serviceSocket,
      operatorSocket: config.operatorSocket,
      ...(trustServerSocket !== undefined && { trustServerSocket }),
      logPublicKey: () => gate.logPublicKey,
      close: once(async () => {
        await closeAll(closers)
        processLog.info({}, 'key holder stopped')
      }),
    }
  } catch (error) {
    await closeAll(closers).catch((failure: unknown) => {
      processLog.error({ error: failure }, 'something could not be closed')
    })
    throw error
  }
}

/** Runs until SIGTERM or SIGINT: the step at hand is finished, then everything is closed. */
export async function runKeyHolder(config: KeyHolderConfig, options: KeyHolderOptions = {}): Promise<void> {
  const running = await startKeyHolder(config, options)
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  await running.close()
}

/** @throws KeyHolderError LIMITS_FILE_INVALID */
function requireTokens({ tokens = [] }: KeyHolderConfig, { repositories }: Limits): void {
  const configured = tokens.map(({ uri }) => parseTokenUri(uri))
  for (const { gun, custody } of repositories) {
    if (custody === 'sealed') continue
    const wanted = parseTokenUri(custody)
    if (configured.some((token) => isSameToken(token, wanted))) continue
    const message = `The limits file wants keys in a token that the configuration does not name: ${custody}.`
    throw new KeyHolderError('LIMITS_FILE_INVALID', message, { gun, custody })
  }
}

/** Undefined: the configuration names none, and an operator gives it later. @throws KeyHolderError UNLOCK_KEY_*, KEY_HOLDER_STATE_DAMAGED */
async function unlockKeyAtStart(
  database: StateDatabase,
  { current, next }: UnlockSources,
  given: Buffer | undefined,
  processLog: ProcessLog,
): Promise<Buffer | undefined> {
  if (given !== undefined) return checkedUnlockKey(database, given)
  if (current === undefined) return undefined
  const { unlockKey, source } = await unlock(
    database,
    { current, ...(next !== undefined && { next }) },
    !isPrepared(database),
  )
  if (source === next) {
    processLog.warn(
      { path: source.path },
      'the keys are sealed under the next unlock key: put it in the place of the present one',
    )
  }
  return unlockKey
}

function once(work: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined
  return () => (result ??= work())
}
