// Changes the unlock key while signing goes on: read the next one, work out every new wrapping, commit all of them, take the key, erase.
// In this order, and only so. The keys themselves stay what they are: of each sealed key the wrapped data key alone is replaced.
import { setImmediate as turn } from 'node:timers/promises'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { commitToSign, type Answer, type Call, type Holder } from './holder.ts'
import type { SealedKey } from './key-table.ts'
import { changeUnlockKey, isPresentUnlockKey, stretchingOf } from './settings.ts'
import { newStretching, readNextUnlockKey, type Stretching, type UnlockSource } from './unlock.ts'

/** Keys that are rewrapped before others get a turn: a few milliseconds. */
const KEYS_AT_ONCE = 32

/**
 * See the operation's description in the protocol.
 * @throws KeyHolderError UNLOCK_KEY_NEXT_NOT_CONFIGURED, UNLOCK_KEY_NEXT_IS_CURRENT, UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED,
 * KEY_FILE_DAMAGED, STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE
 */
export async function rewrapKeys(
  holder: Holder,
  { request, socket }: Call<'rewrap-keys'>,
): Promise<Answer<'rewrap-keys'>> {
  const { current: from, next: to } = holder.unlock
  if (to === undefined) {
    const message = "The key holder's configuration names no next unlock key."
    throw new KeyHolderError('UNLOCK_KEY_NEXT_NOT_CONFIGURED', message)
  }
  // 1. The next unlock key, which is on the disk from here on. A crash leaves the old one in use.
  const stretching = newStretching()
  const unlockKey = await readNext(holder, to, stretching)
  try {
    holder.step('checked')

    // 2. New wrappings, in memory. A crash forgets them.
    const prepared = await prepare(holder, unlockKey)
    holder.step('planned')

    // 3. One transaction for all keys, the settings and the record; 4. the log. A crash before the commit leaves the old unlock key in use,
    //    after it the new one, which the next start finds where the configuration names the next. From here on nothing comes between.
    const keys = holder.keys
      .sealedKeys()
      .map((key) => ({ ...key, sealed: rewrapped(holder, key, unlockKey, prepared) }))
    const { reason, evidence } = request
    const record = {
      kind: 'keys-rewrapped',
      by: socket,
      keys: keys.length,
      from: from?.kind ?? 'operator',
      to: to.kind,
    } as const
    const change = (): void => {
      holder.keys.reseal(keys)
      changeUnlockKey(holder.database, unlockKey, stretching, (sealed, sealedFor) =>
        holder.custodian.rewrapped(sealed, sealedFor, unlockKey),
      )
    }
    const take = (): void => {
      holder.custodian.takeUnlockKey(unlockKey)
    }
    // The transaction has ended when the promise is there; what it resolves with is the log.
    await holder.database.erasing(() => commitToSign(holder, [{ ...record, reason, evidence }], change, take))

    // 5. The old wrappings leave the write-ahead log. A crash before leaves them there until the next start, which begins with this.
    holder.database.emptyWriteAheadLog()
    holder.step('erased')
    return { response: { keys: keys.length, ...(from !== undefined && { from }), to } }
  } finally {
    unlockKey.fill(0)
  }
}

/** @throws KeyHolderError UNLOCK_KEY_NEXT_IS_CURRENT, UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED */
async function readNext(holder: Holder, source: UnlockSource, stretching: Stretching): Promise<Buffer> {
  const current = stretchingOf(holder.database)
  const { asCurrent, next } = await readNextUnlockKey(source, { current, next: stretching })
  const isCurrent = isPresentUnlockKey(holder.database, asCurrent)
  asCurrent.fill(0)
  if (!isCurrent) return next
  next.fill(0)
  const message = 'The next unlock key is the one that the keys are sealed with already.'
  throw new KeyHolderError('UNLOCK_KEY_NEXT_IS_CURRENT', message, { path: source.path })
}

/** A wrapping that was worked out, good for as long as the key is sealed as it was then. */
interface Prepared {
  readonly before: Buffer
  readonly after: Buffer
}

/** Most of the work, without holding up anybody for long. */
async function prepare(holder: Holder, unlockKey: Buffer): Promise<ReadonlyMap<string, Prepared>> {
  const prepared = new Map<string, Prepared>()
  for (const key of holder.keys.sealedKeys()) {
    if (prepared.size % KEYS_AT_ONCE === 0) await turn()
    prepared.set(nameOf(key), { before: key.sealed, after: holder.custodian.rewrapped(key.sealed, key, unlockKey) })
  }
  return prepared
}

/** What was prepared; worked out now for a key that came since. */
function rewrapped(holder: Holder, key: SealedKey, unlockKey: Buffer, prepared: ReadonlyMap<string, Prepared>): Buffer {
  const known = prepared.get(nameOf(key))
  return known?.before.equals(key.sealed) === true
    ? known.after
    : holder.custodian.rewrapped(key.sealed, key, unlockKey)
}

function nameOf({ gun, keyId }: SealedKey): string {
  return `${gun}#${keyId}`
}
