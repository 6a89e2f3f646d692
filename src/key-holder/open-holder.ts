// What is there while the key holder is unsealed: the unlock key, the audit log with its key, and everything that operations work with.
import { join } from 'node:path'
import { CodedError, FileCache } from '@countersign/tuf'
import type { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { AuditLog } from './audit-log.ts'
import { BackupCopies } from './backup-copies.ts'
import { closeAll, type Closer } from './closing.ts'
import type { KeyHolderConfig } from './config.ts'
import { Custody } from './custody.ts'
import type { StateDatabase } from './database.ts'
import { Dispatcher } from './dispatch.ts'
import { FileCustodian } from './file-custodian.ts'
import { LOG_FOLDER } from './folder.ts'
import type { ProcessLog } from './holder-log.ts'
import { commit, type AuditRecord, type Holder, type Step } from './holder.ts'
import { ImportSessions } from './import-sessions.ts'
import { KeyTable } from './key-table.ts'
import type { Limits } from './limits.ts'
import { PayloadTable } from './payloads.ts'
import { Rates } from './rates.ts'
import { RecordBatch } from './record-batch.ts'
import { Refusals } from './refusals.ts'
import { RepositoryTable } from './repositories.ts'
import { ServedTable } from './served-repositories.ts'
import { ServerKeyTable } from './server-key-table.ts'
import { findPinKey, openLogKey } from './settings.ts'
import { TokenCustodian } from './token-custodian.ts'
import { TokenSweep } from './token-sweep.ts'
import type { UnlockSources } from './unlock.ts'
import { UnwantedKeys } from './unwanted-keys.ts'
import { VersionTable } from './versions.ts'

/** Memory for parsed metadata, in bytes. */
const FILE_CACHE_BYTES = 64 * 1024 * 1024

export interface OpeningParts {
  readonly config: KeyHolderConfig
  readonly sources: UnlockSources
  readonly database: StateDatabase
  readonly limits: Limits
  readonly processLog: ProcessLog
  readonly now: () => Date
  readonly step: (step: Step) => void
  readonly identity: Holder['identity']
  /** The process with a PKCS#11 module, where it is not beside this file. */
  readonly tokenScript?: string
}

export interface OpenHolder {
  readonly dispatcher: Dispatcher
  /** Public key of the audit log, as verifiers take it. */
  readonly logPublicKey: string
  /** @throws KeyHolderError STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE */
  record(record: AuditRecord): void
  /** Looks for the tokens from now on, and destroys there what nobody wants: both try their PINs. */
  watchTokens(): void
  /** From now on what has not begun is refused with this; what is under way is finished. */
  refuseFurther(refusal: KeyHolderError): void
  /**
   * Resolves when what is under way has been answered, and no key is held any more.
   * @param last recorded before that, where the log can be written
   * @throws what a part threw that could not be closed; no key is held then, either
   */
  close(last?: AuditRecord): Promise<void>
}

/**
 * Takes over the unlock key, and zeroes it when it is closed.
 * @throws KeyHolderError KEY_FILE_DAMAGED, KEY_HOLDER_CONFIG_INVALID, AUDIT_LOG_DAMAGED, STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE
 */
export async function openHolder(
  o: OpeningParts,
  unlockKey: Buffer,
  records: readonly AuditRecord[],
): Promise<OpenHolder> {
  const { config, database, limits, processLog, now, step } = o
  const keys = new KeyTable(database)
  const custodian = new FileCustodian(keys, unlockKey)
  const closers: Closer[] = [
    () => {
      custodian.close()
    },
  ]
  try {
    custodian.checkAll()
    const pinKey = findPinKey(database)
    if (pinKey !== undefined) custodian.openOwn(pinKey.sealed, pinKey.sealedFor)
    const tokens = new TokenCustodian(config.tokens ?? [], {
      ...(o.tokenScript !== undefined && { script: o.tokenScript }),
      onState: (token, state, why) => {
        if (state === 'ready') {
          processLog.info({ token }, 'the token is there')
          sweep.sweep()
        } else processLog.warn({ token, code: state, why }, 'the token cannot be used; requests for its keys wait')
      },
    })
    closers.unshift(() => {
      tokens.close()
    })
    const sweep = new TokenSweep({
      database,
      unwanted: new UnwantedKeys(database),
      tokens,
      processLog,
      onDestroyed: ({ custody, reason }, found, remove) => {
        step('token-destroyed')
        const record = { kind: 'token-key-destroyed', by: 'key-holder', custody, reason, found } as const
        // Where a key was to be made and none was, there is nothing to tell.
        commit(holder, found || reason === 'retired' ? [record] : [], remove)
      },
    })
    database.emptyWriteAheadLog()
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
      custody: new Custody({ keys, sealed: custodian, tokens, sweep }),
      unlock: o.sources,
      imports: new ImportSessions(),
      backups,
      limits,
      cache: new FileCache(FILE_CACHE_BYTES),
      identity: o.identity,
      now,
      step,
    }
    commit(holder, records, () => undefined)
    // Before the log is closed, in which it says what it has done.
    closers.unshift(() => {
      tokens.close()
      return sweep.close()
    })
    const refusals = new Refusals(holder)
    const dispatcher = new Dispatcher(holder, refusals, (error) => {
      processLog.error({ error }, 'an operation failed')
    })
    const record = (one: AuditRecord): void => {
      commit(holder, [one], () => undefined)
    }
    return {
      dispatcher,
      logPublicKey: log.verifierKey,
      record,
      watchTokens: () => {
        tokens.watch()
        sweep.start()
      },
      refuseFurther: (refusal) => {
        dispatcher.refuseFurther(refusal)
      },
      close: (last) =>
        closeAll([
          () => dispatcher.idle(),
          () => {
            refusals.close()
          },
          () => {
            if (last !== undefined) tryTo(record, last, processLog)
          },
          ...closers,
        ]),
    }
  } catch (error) {
    await closeAll(closers).catch((failure: unknown) => {
      processLog.error({ error: failure }, 'something could not be closed')
    })
    throw error
  }
}

/** A stop that is recorded was not a crash; a log that cannot be written must not keep the process alive. */
function tryTo(record: OpenHolder['record'], last: AuditRecord, processLog: ProcessLog): void {
  try {
    record(last)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    processLog.warn({ error }, 'the stop is not recorded')
  }
}
