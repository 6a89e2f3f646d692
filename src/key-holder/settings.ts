// Facts of a folder that are made at first start: how the unlock key is recognised, which a rewrap changes, and the audit log's name and key.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { checkUnlockKey, isUnlockKey, seal, unlockKeyCheck, unseal, type SealedFor } from './sealing.ts'
import type { StateDatabase } from './database.ts'
import { newStretching, readUnlockKey, type ConfiguredUnlock, type Stretching, type UnlockSource } from './unlock.ts'

const LOG_KEY = { gun: '', role: 'audit-log' } as const
/** The key of pin bundles; it is made with the first of them. */
const PIN_KEY: SealedFor = { gun: '', role: 'pin-bundles', keyId: 'pin-bundles' }

export interface Unlocked {
  readonly unlockKey: Buffer
  /** Where it was found. */
  readonly source: UnlockSource
}

/**
 * The unlock key, checked against the one that the keys are sealed with; remembered at first start. Where the current file does not
 * open the keys the next one is tried: after a rewrap an operator has all the time to put it in the place of the old one.
 * @throws KeyHolderError UNLOCK_KEY_WRONG, UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED, KEY_HOLDER_STATE_DAMAGED
 */
export async function unlock(
  database: StateDatabase,
  { current, next }: ConfiguredUnlock,
  isFirstStart: boolean,
): Promise<Unlocked> {
  if (isFirstStart) {
    const stretching = newStretching()
    const unlockKey = await readUnlockKey(current, stretching)
    chooseUnlockKey(database, unlockKey, stretching)
    return { unlockKey, source: current }
  }
  try {
    return await unlockWith(database, current)
  } catch (error) {
    if (next === undefined || !(error instanceof KeyHolderError) || !TRY_NEXT.has(error.code)) throw error
    return await unlockWith(database, next).catch((cause: unknown) => {
      throw cause instanceof KeyHolderError ? neither(error, cause) : cause
    })
  }
}

/** Remembers the first unlock key. One transaction, so that a crash leaves either no settings or all that recognise the key. */
export function chooseUnlockKey(database: StateDatabase, unlockKey: Buffer, stretching: Stretching): void {
  database.write(() => {
    write(database, 'stretching-salt', stretching.salt)
    write(database, 'stretching-cost', Buffer.from(String(stretching.cost)))
    write(database, 'unlock-key-check', unlockKeyCheck(unlockKey))
  })
}

/** An old key, or none in its place, is what a rewrap may leave. A file that others can read is a fault whichever key it holds. */
const TRY_NEXT: ReadonlySet<string> = new Set(['UNLOCK_KEY_WRONG', 'UNLOCK_KEY_UNREADABLE'])

async function unlockWith(database: StateDatabase, source: UnlockSource): Promise<Unlocked> {
  const unlockKey = await readUnlockKey(source, stretchingOf(database))
  try {
    return { unlockKey: checkedUnlockKey(database, unlockKey), source }
  } finally {
    unlockKey.fill(0)
  }
}

/** A copy of this unlock key, which is the one that the keys are sealed with. @throws KeyHolderError UNLOCK_KEY_WRONG */
export function checkedUnlockKey(database: StateDatabase, unlockKey: Buffer): Buffer {
  checkUnlockKey(unlockKey, read(database, 'unlock-key-check'))
  return Buffer.from(unlockKey)
}

/** The first file's fault, with what is wrong with the second. */
function neither(first: KeyHolderError, second: KeyHolderError): KeyHolderError {
  const message = `${first.message} The next unlock key does not help: ${second.message}`
  return new KeyHolderError(first.code, message, { ...first.facts, next: second.code }, { cause: second })
}

/** How a passphrase is stretched to the present unlock key. */
export function stretchingOf(database: StateDatabase): Stretching {
  return { salt: read(database, 'stretching-salt'), cost: Number(read(database, 'stretching-cost').toString()) }
}

/** Whether the keys are sealed under this one already. */
export function isPresentUnlockKey(database: StateDatabase, unlockKey: Buffer): boolean {
  return isUnlockKey(unlockKey, read(database, 'unlock-key-check'))
}

/**
 * From now on the keys are opened by another unlock key: those of log and pin bundles are, and the settings recognise it. Call inside the
 * transaction that rewraps all other keys.
 * @throws KeyHolderError KEY_FILE_DAMAGED
 */
export function changeUnlockKey(
  database: StateDatabase,
  unlockKey: Buffer,
  stretching: Stretching,
  rewrapped: (sealed: Buffer, sealedFor: SealedFor) => Buffer,
): void {
  const keyId = read(database, 'log-origin').toString()
  replace(database, 'log-private-key', rewrapped(read(database, 'log-private-key'), { ...LOG_KEY, keyId }))
  const pinKey = find(database, 'pins-private-key')
  if (pinKey !== undefined) replace(database, 'pins-private-key', rewrapped(pinKey, PIN_KEY))
  replace(database, 'stretching-salt', stretching.salt)
  replace(database, 'stretching-cost', Buffer.from(String(stretching.cost)))
  replace(database, 'unlock-key-check', unlockKeyCheck(unlockKey))
}

/** The name of the audit log. */
export function logOriginOf(database: StateDatabase): string {
  return read(database, 'log-origin').toString()
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

/** The sealed private half of the key of pin bundles, and what it is sealed for; undefined: there is none yet. */
export function findPinKey(
  database: StateDatabase,
): { readonly sealed: Buffer; readonly sealedFor: SealedFor } | undefined {
  const sealed = find(database, 'pins-private-key')
  return sealed === undefined ? undefined : { sealed, sealedFor: PIN_KEY }
}

/** Keeps the one that was made. Call inside the transaction that records it. @param sealFor seals it under the present unlock key */
export function keepPinKey(database: StateDatabase, sealFor: (sealedFor: SealedFor) => Buffer): void {
  write(database, 'pins-private-key', sealFor(PIN_KEY))
}

/** Above all that were given out, also after a return to an earlier state: by the clock, in seconds. */
export function nextPinSerial(database: StateDatabase, now: Date): number {
  const last = Number(find(database, 'pins-serial') ?? '0')
  return Math.max(last + 1, Math.floor(now.getTime() / 1000))
}

/** Call inside the transaction that records the bundle. */
export function takePinSerial(database: StateDatabase, serial: number): void {
  const value = Buffer.from(String(serial))
  if (find(database, 'pins-serial') === undefined) write(database, 'pins-serial', value)
  else replace(database, 'pins-serial', value)
}

type SettingName =
  | 'stretching-salt'
  | 'stretching-cost'
  | 'unlock-key-check'
  | 'log-origin'
  | 'log-public-key'
  | 'log-private-key'
  | 'pins-private-key'
  | 'pins-serial'

function find(database: StateDatabase, name: SettingName): Buffer | undefined {
  return database.all<{ value: Buffer }>('SELECT value FROM settings WHERE name = ?', name)[0]?.value
}

function read(database: StateDatabase, name: SettingName): Buffer {
  const value = find(database, name)
  if (value === undefined) {
    throw new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'The database lacks a setting.', { name })
  }
  return value
}

function write(database: StateDatabase, name: SettingName, value: Buffer): void {
  database.run('INSERT INTO settings (name, value) VALUES (?, ?)', name, value)
}

/** One that was written before. */
function replace(database: StateDatabase, name: SettingName, value: Buffer): void {
  database.run('UPDATE settings SET value = ? WHERE name = ?', value, name)
}
