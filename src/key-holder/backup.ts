// A backup of the key holder: the passphrase, the record and the log, the copy. In this order: the copy then has the record of itself,
// and the checkpoint that goes with it speaks of records that the copy has.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { encodeSecrets, readBackupKey } from './backup-secrets.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'

const LIMITS_ATTACHMENT = 'limits.yaml'
const PART_ATTACHMENT = 'part'

/**
 * See the operation's description in the protocol.
 * @throws KeyHolderError BACKUP_NOT_CONFIGURED, BACKUP_PASSPHRASE_UNREADABLE, STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE
 */
export async function beginBackup(
  holder: Holder,
  { request, socket }: Call<'begin-backup'>,
): Promise<Answer<'begin-backup'>> {
  const { passphraseFile } = holder.backups
  if (passphraseFile === undefined) {
    const message = "The key holder's configuration names no passphrase for backups."
    throw new KeyHolderError('BACKUP_NOT_CONFIGURED', message)
  }
  // 1. The passphrase. A crash leaves nothing.
  const backupKey = await readBackupKey(passphraseFile)
  try {
    holder.step('checked')

    // From here on nothing comes between, so the copy, its keys and the unlock key are of one moment.
    // 2. The record, and the log with it. A crash leaves the record of a backup that nobody has.
    const madeAt = holder.now().toISOString()
    const sealedKeys = holder.keys.sealedKeys()
    const keys = sealedKeys.length
    const repositories = new Set(sealedKeys.map(({ gun }) => gun)).size
    const inTokens = holder.custody.keysInTokens()
    const notIn = inTokens.length === 0 ? {} : { keysInTokens: inTokens.map(({ label, keys }) => [label, keys]) }
    const { reason, evidence } = request
    const record = { kind: 'backup-made', by: socket, keys, ...notIn, repositories, reason, evidence } as const
    commit(holder, [record], () => undefined)
    const { note: checkpoint, size } = holder.log.checkpoint

    // 3. The copy. A crash leaves it beside the database until the next start, which removes it.
    const { session, bytes, sha256 } = holder.backups.make(holder.database)
    holder.step('stored')
    const { origin, verifierKey: publicKey } = holder.log
    return {
      response: {
        session,
        madeAt,
        version: holder.identity.version,
        bytes,
        sha256,
        secrets: encodeSecrets(backupKey, (key, sealedFor) => holder.custodian.sealedUnlockKey(key, sealedFor)),
        passphraseFile,
        repositories,
        keys,
        ...(inTokens.length > 0 && { inTokens: [...inTokens] }),
        log: { origin, size, publicKey, checkpoint },
        files: [LIMITS_ATTACHMENT],
      },
      attachments: new Map([[LIMITS_ATTACHMENT, holder.limits.bytes]]),
    }
  } finally {
    backupKey.key.fill(0)
  }
}

/** See the operation's description in the protocol. @throws KeyHolderError BACKUP_SESSION_UNKNOWN, STATE_UNWRITABLE */
export function readBackup(holder: Holder, { request }: Call<'read-backup'>): Promise<Answer<'read-backup'>> {
  const { part, isLast } = holder.backups.read(request.session, request.offset)
  return Promise.resolve({
    response: { isLast, files: [PART_ATTACHMENT] },
    attachments: new Map([[PART_ATTACHMENT, part]]),
  })
}
