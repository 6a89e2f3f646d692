// Facts of a folder that are made once, at first start: how the unlock key is recognised, and the audit log's name and key.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { checkUnlockKey, seal, unlockKeyCheck, unseal } from './sealing.ts'
import type { StateDatabase } from './database.ts'
import { newStretching, readUnlockKey, type UnlockSource } from './unlock.ts'

const LOG_KEY = { gun: '', role: 'audit-log' } as const

/**
 * The unlock key, checked against the one that the keys are sealed with; remembered at first start.
 * @throws KeyHolderError UNLOCK_KEY_WRONG, UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED, KEY_HOLDER_STATE_DAMAGED
 */
export function unlock(database: StateDatabase, source: UnlockSource, isFirstStart: boolean): Buffer {
  if (isFirstStart) {
    const stretching = newStretching()
    const unlockKey = readUnlockKey(source, stretching)
    // One transaction, so that a crash leaves either no settings or all that recognise the key.
    database.write(() => {
      write(database, 'stretching-salt', stretching.salt)
      write(database, 'stretching-cost', Buffer.from(String(stretching.cost)))
      write(database, 'unlock-key-check', unlockKeyCheck(unlockKey))
    })
    return unlockKey
  }
  const salt = read(database, 'stretching-salt')
  const cost = Number(read(database, 'stretching-cost').toString())
  const unlockKey = readUnlockKey(source, { salt, cost })
  try {
    checkUnlockKey(unlockKey, read(database, 'unlock-key-check'))
  } catch (error) {
    unlockKey.fill(0)
    throw error
  }
  return unlockKey
}

/** Whether `unlock` has completed once in this database. */
export function isPrepared(database: StateDatabase): boolean {
  return find(database, 'unlock-key-check') !== undefined
}

/**
 * Name and key of the audit log; made when there is none.
 * @throws KeyHolderError KEY_HOLDER_CONFIG_INVALID (another origin than at first start), KEY_FILE_DAMAGED
 */
export function openLogKey(
  database: StateDatabase,
  unlockKey: Buffer,
  origin: string,
): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  const known = find(database, 'log-origin')?.toString()
  if (known === undefined) return createLogKey(database, unlockKey, origin)
  if (known !== origin) {
    throw new KeyHolderError('KEY_HOLDER_CONFIG_INVALID', 'logOrigin cannot change: checkpoints are signed with it.', {
      logOrigin: origin,
      known,
    })
  }
  const spki = read(database, 'log-public-key')
  const der = unseal(read(database, 'log-private-key'), unlockKey, { ...LOG_KEY, keyId: origin })
  try {
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    const publicKey = createPublicKey(privateKey)
    if (!publicKey.export({ type: 'spki', format: 'der' }).equals(spki)) {
      throw new KeyHolderError('KEY_FILE_DAMAGED', 'The key of the audit log is damaged.', { ...LOG_KEY })
    }
    return { publicKey, privateKey }
  } finally {
    der.fill(0)
  }
}

function createLogKey(
  database: StateDatabase,
  unlockKey: Buffer,
  origin: string,
): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const der = privateKey.export({ type: 'pkcs8', format: 'der' })
  try {
    database.write(() => {
      write(database, 'log-origin', Buffer.from(origin))
      write(database, 'log-public-key', publicKey.export({ type: 'spki', format: 'der' }))
      write(database, 'log-private-key', seal(der, unlockKey, { ...LOG_KEY, keyId: origin }))
    })
  } finally {
    der.fill(0)
  }
  return { publicKey, privateKey }
}

function find(database: StateDatabase, name: string): Buffer | undefined {
  return database.all<{ value: Buffer }>('SELECT value FROM settings WHERE name = ?', name)[0]?.value
}

function read(database: StateDatabase, name: string): Buffer {
  const value = find(database, name)
  if (value === undefined) {
    throw new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'The database lacks a setting.', { name })
  }
  return value
}

function write(database: StateDatabase, name: string, value: Buffer): void {
  database.run('INSERT INTO settings (name, value) VALUES (?, ?)', name, value)
}
