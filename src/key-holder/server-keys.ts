// Keys of the trust server: made when it asks, used once a root lists them. At most one per GUN and role waits for its root.
import {
  baseRoleKeys,
  parseGun,
  parseRoot,
  SNAPSHOT,
  TIMESTAMP,
  type Gun,
  type Received,
  type RoleName,
  type RootMetadata,
  type ServerKeys,
  type TufKeyId,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { makeKey } from './file-custodian.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'
import { exportOf } from './key-creation.ts'
import type { StoredKey } from './key-table.ts'
import { checkServed } from './limits.ts'
import type { Payload } from './payloads.ts'

const SERVER_KEYS_SUBJECT = 'server-keys'

/** See the operation's description in the protocol. @throws KeyHolderError SERVED_REPOSITORY_NOT_ALLOWED, LIMIT_SERVER_KEYS */
export async function serverKey(
  holder: Holder,
  { request, socket }: Call<'server-key'>,
): Promise<Answer<'server-key'>> {
  const gun = parseGun(request.gun)
  checkServed(holder.limits, gun)
  const role = request.role === 'snapshot' ? SNAPSHOT : TIMESTAMP
  const served = holder.served.find(gun)
  const root = served === undefined ? undefined : parseRoot(served.state.root)
  const listed = root === undefined ? undefined : ourKeysOf(holder, gun, root, role).at(-1)
  if (listed !== undefined && !request.rotate) return answerOf(listed, true)
  const pending = keysOfRole(holder, gun, role).find(
    ({ publicKey }) => !holder.serverKeys.wasListed(gun, publicKey.canonicalKeyId),
  )
  if (pending !== undefined) return answerOf(pending, false)
  checkNewKey(holder, gun, served !== undefined)
  const key = await makeKey(gun, role, 'ecdsa', holder.now().toISOString())
  holder.step('keys-made')
  const { keyType, tufKeyId, canonicalKeyId } = key.publicKey
  const { evidence } = request
  const record = { kind: 'server-key-created', by: socket, gun, role, keyType, tufKeyId, canonicalKeyId, evidence }
  // A crash before the commit forgets the key; after it, the same request finds it.
  commit(holder, [record], () => {
    holder.custodian.keep(key)
    holder.rates.add(SERVER_KEYS_SUBJECT, 1, holder.now())
  })
  return answerOf(key, false)
}

/** The keys here that sign a role, and the IDs under which the root lists them. */
export function signingKeysOf(
  holder: Holder,
  gun: Gun,
  root: Received<RootMetadata>,
  role: RoleName,
): Payload['signingKeys'] {
  return ourKeysOf(holder, gun, root, role).map(({ publicKey }) => [publicKey.canonicalKeyId, publicKey.tufKeyId])
}

/** Every key that can sign the trust server's roles of a repository once a root lists it. */
export function allServerKeys(holder: Holder, gun: Gun): ServerKeys {
  const idsOf = (role: RoleName): ReadonlySet<TufKeyId> =>
    new Set(activeKeysOf(holder, gun, role).map(({ publicKey }) => publicKey.tufKeyId))
  return { snapshot: idsOf(SNAPSHOT), timestamp: idsOf(TIMESTAMP) }
}

/**
 * The keys that an accepted root puts out of use: an earlier one listed them, this one does not. They were made without a word of what
 * they replace, so it is the list that tells. Those that wait for their root stay.
 */
export function displacedKeys(holder: Holder, gun: Gun, root: Received<RootMetadata>): readonly StoredKey[] {
  return [SNAPSHOT, TIMESTAMP].flatMap((role) => {
    const { keys } = baseRoleKeys(root, role)
    return activeKeysOf(holder, gun, role).filter(
      ({ publicKey }) => !keys.has(publicKey.tufKeyId) && holder.serverKeys.wasListed(gun, publicKey.canonicalKeyId),
    )
  })
}

/** Remembers which of them an accepted root lists, and which it displaces; call inside its transaction. */
export function noteListedKeys(
  holder: Holder,
  gun: Gun,
  root: Received<RootMetadata>,
  displaced: readonly StoredKey[],
): void {
  for (const role of [SNAPSHOT, TIMESTAMP]) {
    for (const { publicKey } of ourKeysOf(holder, gun, root, role)) {
      holder.serverKeys.noteListed(gun, publicKey.canonicalKeyId)
    }
  }
  for (const { publicKey } of displaced) holder.keys.replaced(gun, publicKey.canonicalKeyId)
}

function ourKeysOf(holder: Holder, gun: Gun, root: Received<RootMetadata>, role: RoleName): StoredKey[] {
  const { keys } = baseRoleKeys(root, role)
  return activeKeysOf(holder, gun, role).filter(({ publicKey }) => keys.has(publicKey.tufKeyId))
}

/** A replaced key signs nothing, whoever lists it again; of a retired one there is nothing left to sign with. */
function activeKeysOf(holder: Holder, gun: Gun, role: RoleName): StoredKey[] {
  return keysOfRole(holder, gun, role).filter(({ state }) => state === 'active')
}

function keysOfRole(holder: Holder, gun: Gun, role: RoleName): StoredKey[] {
  return holder.keys.ofGun(gun).filter((key) => key.role === role)
}

/** @throws KeyHolderError LIMIT_SERVER_KEYS */
function checkNewKey(holder: Holder, gun: Gun, isPublished: boolean): void {
  const { keysPerHour, pendingRepositories } = holder.limits
  if (holder.rates.used(SERVER_KEYS_SUBJECT, holder.now()) >= keysPerHour) {
    throw new KeyHolderError('LIMIT_SERVER_KEYS', 'More server keys within an hour than the limits file allows.', {
      gun,
      keysPerHour,
    })
  }
  const isNew = !isPublished && [SNAPSHOT, TIMESTAMP].every((role) => keysOfRole(holder, gun, role).length === 0)
  if (isNew && holder.serverKeys.pendingRepositories() >= pendingRepositories) {
    throw new KeyHolderError('LIMIT_SERVER_KEYS', 'Too many repositories have server keys and no root.', {
      gun,
      pendingRepositories,
    })
  }
}

function answerOf({ publicKey }: Pick<StoredKey, 'publicKey'>, listed: boolean): Answer<'server-key'> {
  const { key, tufKeyId } = exportOf(publicKey)
  return { response: { key, keyId: tufKeyId, listed } }
}
