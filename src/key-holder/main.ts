// Starts and stops the process that holds keys: folder, unlock key, state, audit log, then the sockets, in this order.
import { join } from 'node:path'
import { CodedError, FileCache } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { programVersion } from '../version.ts'
import { AuditLog } from './audit-log.ts'
import { BackupCopies } from './backup-copies.ts'
import type { KeyHolderConfig } from './config.ts'
import { BufferBudget, CONNECTION_LIMITS, type ConnectionLimits } from './connection.ts'
import { StateDatabase } from './database.ts'
import { Dispatcher } from './dispatch.ts'
import { Custody } from './custody.ts'
import { FileCustodian } from './file-custodian.ts'
import { databasePath, LOG_FOLDER, openFolder } from './folder.ts'
import { createProcessLog, type ProcessLog } from './holder-log.ts'
import { commit, type Holder, type Step } from './holder.ts'
import { ImportSessions } from './import-sessions.ts'
import { KeyTable } from './key-table.ts'
import { readLimits } from './limits.ts'
import { PayloadTable } from './payloads.ts'
import { Rates } from './rates.ts'
import { RecordBatch } from './record-batch.ts'
import { Refusals } from './refusals.ts'
import { RepositoryTable } from './repositories.ts'
import { ServedTable } from './served-repositories.ts'
import { ServerKeyTable } from './server-key-table.ts'
import { checkedUnlockKey, isPrepared, openLogKey, unlock } from './settings.ts'
import { SocketServer } from './socket-server.ts'
import { TokenCustodian } from './token-custodian.ts'
import type { UnlockSources } from './unlock.ts'
import { VersionTable } from './versions.ts'

export { parseKeyHolderConfig, type KeyHolderConfig } from './config.ts'
export { createUnlockKeyFile } from './unlock.ts'

/** Memory for parsed metadata, in bytes. */
const FILE_CACHE_BYTES = 64 * 1024 * 1024

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
  /** Public key of the audit log, as verifiers take it. */
  readonly logPublicKey: string
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
  const isFirstStart = openFolder(config.folder)
  const database = StateDatabase.open(databasePath(config.folder), isFirstStart)
  const closers: (() => void | Promise<void>)[] = [
    () => {
      database.close()
    },
  ]
  try {
    const sources: UnlockSources = {
      current: config.unlock,
      ...(config.nextUnlock !== undefined && { next: config.nextUnlock }),
    }
    const { unlockKey, source } =
      options.unlockKey === undefined
        ? await unlock(database, sources, !isPrepared(database))
        : { unlockKey: checkedUnlockKey(database, options.unlockKey), source: sources.current }
    if (source === sources.next) {
      const { path } = source
      processLog.warn({ path }, 'the keys are sealed under the next unlock key: put it in the place of the present one')
    }
    const keys = new KeyTable(database)
    const custodian = new FileCustodian(keys, unlockKey)
    closers.unshift(() => {
      custodian.close()
    })
    custodian.checkAll()
    const tokens = new TokenCustodian(config.tokens ?? [], {
      ...(options.tokenScript !== undefined && { script: options.tokenScript }),
      onState: (token, state) => {
        if (state === 'ready') processLog.info({ token }, 'the token is there')
        else processLog.warn({ token, code: state }, 'the token cannot be used; requests for its keys wait')
      },
    })
    closers.unshift(() => {
      tokens.close()
    })
    const custody = new Custody(keys, custodian, tokens)
    for (const { gun, custody: wanted } of limits.repositories) requireToken(custody, gun, wanted)
    database.emptyWriteAheadLog()
    const step = options.onStep ?? (() => undefined)
    const log = new AuditLog({
      folder: join(config.folder, LOG_FOLDER),
      origin: config.logOrigin,
      database,
      step,
      onFailure: (error) => {
        processLog.error({ error }, 'the audit log cannot be written; nothing is signed until it can')
      },
      ...openLogKey(database, unlockKey, config.logOrigin),
    })
    closers.unshift(() => {
      log.close()
    })
    log.open()
    const now = options.now ?? (() => new Date())
    const backups = new BackupCopies(config.folder, config.backupPassphraseFile)
    closers.unshift(() => {
      backups.close()
    })
    const holder: Holder = {
      database,
      repositories: new RepositoryTable(database),
      keys,
      versions: new VersionTable(database),
      payloads: new PayloadTable(database),
      served: new ServedTable(database),
      serverKeys: new ServerKeyTable(database),
      rates: new Rates(database),
      log,
      daemonRecords: new RecordBatch(),
      custodian,
      custody,
      unlock: sources,
      imports: new ImportSessions(),
      backups,
      limits,
      cache: new FileCache(FILE_CACHE_BYTES),
      identity: {
        uid: process.getuid?.() ?? -1,
        pid: process.pid,
        version: programVersion(),
        startedAt: now().toISOString(),
      },
      now,
      step,
    }
    const { uid, pid, version } = holder.identity
    commit(
      holder,
      [{ kind: 'key-holder-started', by: 'key-holder', uid, pid, version, limitsDigest: limits.digest }],
      () => undefined,
    )
    const refusals = new Refusals(holder)
    closers.unshift(() => {
      refusals.close()
      stopRecord(holder, processLog)
    })
    const dispatcher = new Dispatcher(holder, refusals, (error) => {
      processLog.error({ error }, 'an operation failed')
    })
    closers.unshift(() => dispatcher.idle())
    const shared = {
      dispatcher,
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
    tokens.look()
    processLog.info({ uid, pid, version, folder: config.folder, limitsDigest: limits.digest }, 'key holder started')
    return {
      serviceSocket: config.serviceSocket,
      operatorSocket: config.operatorSocket,
      ...(trustServerSocket !== undefined && { trustServerSocket }),
      logPublicKey: log.verifierKey,
      close: once(async () => {
        for (const close of closers) await close()
        processLog.info({}, 'key holder stopped')
      }),
    }
  } catch (error) {
    for (const close of closers) await close()
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
function requireToken(custody: Custody, gun: string, wanted: string): void {
  try {
    custody.requireConfigured(wanted)
  } catch (cause) {
    if (!(cause instanceof KeyHolderError)) throw cause
    const message = `The limits file wants keys in a token that the configuration does not name: ${wanted}.`
    throw new KeyHolderError('LIMITS_FILE_INVALID', message, { gun, custody: wanted }, { cause })
  }
}

/** A stop that is recorded was not a crash; a log that cannot be written must not keep the process alive. */
function stopRecord(holder: Holder, processLog: ProcessLog): void {
  try {
    commit(holder, [{ kind: 'key-holder-stopped', by: 'key-holder' }], () => undefined)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    processLog.warn({ error }, 'the stop is not recorded')
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined
  return () => (result ??= work())
}
