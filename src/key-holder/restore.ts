// Brings the copy of a database that came out of a backup to life: verifies it, proves its keys, and writes its audit log. Works on a folder
// that no key holder uses, and signs nothing but challenges and the log's checkpoint.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { AuditLog } from './audit-log.ts'
import { verifyAuditLog, type AuditVerification } from './audit-verification.ts'
import { StateDatabase } from './database.ts'
import { FileCustodian } from './file-custodian.ts'
import { databasePath, LOG_FOLDER } from './folder.ts'
import { KeyTable, type KeyInToken } from './key-table.ts'
import { checkedUnlockKey, logOriginOf, openLogKey } from './settings.ts'
import { UnwantedKeys } from './unwanted-keys.ts'

export interface RestoreOptions {
  /** Mode 0700; holds the database and nothing else. */
  readonly folder: string
  /** Stays the caller's. */
  readonly unlockKey: Buffer
  /** Went along with the copy: the log has to lead to it. */
  readonly checkpoint: string
  /** The log's key, as it went along. */
  readonly publicKey: string
  /** When the backup was made, RFC 3339. */
  readonly madeAt: string
  readonly evidence: { readonly request: string; readonly principal: string }
  readonly now: Date
}

export interface RestoredState {
  /** Keys that have signed a challenge. */
  readonly keys: number
  /** Keys that are not in the backup, since they cannot leave their tokens. */
  readonly inTokens: readonly KeyInToken[]
  /** Repositories that have keys. */
  readonly repositories: number
  readonly log: AuditVerification
  /** How long proving the keys took, and writing and verifying the log, in milliseconds. */
  readonly times: { readonly keys: number; readonly log: number }
}

/**
 * A crash leaves a folder that is to be removed.
 * @throws KeyHolderError KEY_HOLDER_STATE_DAMAGED, UNLOCK_KEY_WRONG, KEY_FILE_DAMAGED, AUDIT_LOG_DAMAGED, STATE_UNWRITABLE,
 * AUDIT_LOG_UNWRITABLE
 */
export function completeRestore(o: RestoreOptions): RestoredState {
  const database = StateDatabase.open(databasePath(o.folder), false)
  let custodian: FileCustodian | undefined
  const begun = performance.now()
  try {
    // The database, and that the unlock key is the one of its keys.
    database.checkIntegrity()
    const unlockKey = checkedUnlockKey(database, o.unlockKey)
    const table = new KeyTable(database)
    database.write(() => {
      new UnwantedKeys(database).forgetUnrecorded()
    })
    custodian = new FileCustodian(table, unlockKey)

    // Every key.
    const keys = custodian.proveAll(randomBytes(32).toString('base64'))
    const inTokens = table.inTokens()
    const repositories = new Set([...table.sealedKeys(), ...inTokens].map(({ gun }) => gun)).size
    const proven = performance.now()

    // The log: its files are written from the database. It goes on with the record of this.
    const origin = logOriginOf(database)
    const log = new AuditLog({
      folder: join(o.folder, LOG_FOLDER),
      origin,
      database,
      step: () => undefined,
      onFailure: () => undefined,
      ...openLogKey(database, unlockKey, origin),
    })
    const { madeAt, evidence } = o
    const record = { v: 1, at: o.now.toISOString(), kind: 'backup-restored', by: 'operator', madeAt, keys, evidence }
    database.write(() => log.tree.append(record))
    log.open()
    log.close()
    const verified = verifyAuditLog(join(o.folder, LOG_FOLDER), {
      verifierKey: o.publicKey,
      olderCheckpoints: [o.checkpoint],
    })
    const times = { keys: proven - begun, log: performance.now() - proven }
    return { keys, inTokens, repositories, log: verified, times }
  } finally {
    custodian?.close()
    database.close()
  }
}
