// The unlock key as it goes along with a backup: sealed under the backup's passphrase, which is stretched as that of an unlock key is.
import * as z from 'zod'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { unseal, type SealedFor } from './sealing.ts'
import { newStretching, passphraseKey, readPassphraseKey, type Stretching } from './unlock.ts'

const SEALED_FOR: SealedFor = { gun: '', role: 'backup', keyId: 'unlock-key' }
/** Of what comes from a backup; ours is 131,072. scrypt takes 1 KiB times this. */
const MAX_COST = 1_048_576

const schema = z.strictObject({
  format: z.literal(1),
  kdf: z.literal('scrypt'),
  salt: z.base64().length(44),
  cost: z
    .int()
    .min(16_384)
    .max(MAX_COST)
    .refine((cost) => Number.isInteger(Math.log2(cost))),
  sealed: z.base64().max(1024),
})

/** What a passphrase stretches to, for one backup. */
export interface BackupKey {
  readonly key: Buffer
  readonly stretching: Stretching
}

/** From the file that the configuration names; the caller zeroes the key. @throws KeyHolderError BACKUP_PASSPHRASE_UNREADABLE */
export async function readBackupKey(path: string): Promise<BackupKey> {
  const stretching = newStretching()
  try {
    return { key: await readPassphraseKey(path, stretching), stretching }
  } catch (cause) {
    if (!(cause instanceof KeyHolderError)) throw cause
    const why = cause.code === 'UNLOCK_KEY_EXPOSED' ? 'others can read the file' : String(cause.facts['why'])
    const message = `The passphrase of backups cannot be read: ${why}.`
    throw new KeyHolderError('BACKUP_PASSPHRASE_UNREADABLE', message, { path, why }, { cause })
  }
}

/** @param sealUnlockKey seals it under a key, for a purpose */
export function encodeSecrets(
  { key, stretching }: BackupKey,
  sealUnlockKey: (key: Buffer, sealedFor: SealedFor) => Buffer,
): string {
  return JSON.stringify({
    format: 1,
    kdf: 'scrypt',
    salt: stretching.salt.toString('base64'),
    cost: stretching.cost,
    sealed: sealUnlockKey(key, SEALED_FOR).toString('base64'),
  })
}

/**
 * The unlock key; the caller zeroes it.
 * @throws KeyHolderError KEY_FILE_DAMAGED where the passphrase is another one, or anything was changed
 */
export async function openSecrets(text: string, passphrase: Buffer): Promise<Buffer> {
  const { salt, cost, sealed } = parse(text)
  const key = await passphraseKey(passphrase, { salt: Buffer.from(salt, 'base64'), cost })
  try {
    return unseal(Buffer.from(sealed, 'base64'), key, SEALED_FOR)
  } finally {
    key.fill(0)
  }
}

function parse(text: string): z.output<typeof schema> {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new KeyHolderError('KEY_FILE_DAMAGED', 'The sealed unlock key of the backup is damaged.', {}, { cause })
  }
}
