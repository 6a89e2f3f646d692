// Creating keys outside of an initialisation, and how many keys may be made.
import { parseGun, parseRoleName, publicKeyPem, ROOT, SNAPSHOT, TARGETS, TIMESTAMP } from '@countersign/tuf'
import type { Gun, PublicKey } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest, OperationResponse, SocketName } from '../key-holder-protocol/operations.ts'
import { commitWithKeys, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import type { StoredKey } from './key-table.ts'
import { limitsFor } from './limits.ts'

const KEYS_SUBJECT = 'keys'

/** Idempotent per GUN and role. See the operation's description in the protocol. @throws KeyHolderError */
export async function createDelegationKey(
  holder: Holder,
  { request, socket }: Call<'create-delegation-key'>,
): Promise<Answer<'create-delegation-key'>> {
  const gun = parseGun(request.gun)
  const { custody } = limitsFor(holder.limits, gun)
  const role = parseRoleName(request.role)
  if (role === ROOT || role === TARGETS || role === SNAPSHOT || role === TIMESTAMP) {
    throw new KeyHolderError('ROLE_NOT_SIGNABLE', 'Keys are created here for delegations only.', { gun, role })
  }
  const existing = holder.keys.ofRole(gun, role)
  if (existing !== undefined) return { response: exportOf(existing.publicKey) }
  checkKeyRate(holder, gun, 1)
  const { keyType } = request
  const key = await holder.custody.make({ gun, role, keyType, createdAt: holder.now().toISOString(), custody })
  holder.step('keys-made')
  // A crash before the commit forgets the key; after it, the same request finds it.
  commitWithKeys(holder, [recordOfKey(key, socket, request.evidence)], [key], () => {
    countKeys(holder, 1)
  })
  return { response: exportOf(key.publicKey) }
}

/** See the operation's description in the protocol. @throws KeyHolderError KEY_NOT_FOUND */
export function exportPublicKey(
  holder: Holder,
  { request }: Call<'export-public-key'>,
): Promise<Answer<'export-public-key'>> {
  const gun = parseGun(request.gun)
  const role = parseRoleName(request.role)
  const { canonicalKeyId } = request
  const key =
    canonicalKeyId === undefined
      ? holder.keys.ofRole(gun, role)
      : holder.keys.ofGun(gun).find((made) => made.role === role && made.publicKey.canonicalKeyId === canonicalKeyId)
  if (key === undefined) {
    throw new KeyHolderError('KEY_NOT_FOUND', 'There is no such key for this role here.', { gun, role })
  }
  return Promise.resolve({ response: exportOf(key.publicKey) })
}

/** @throws KeyHolderError LIMIT_INITIALIZE */
export function checkKeyRate(holder: Holder, gun: Gun, count: number): void {
  const { keysPerHour } = holder.limits
  if (holder.rates.used(KEYS_SUBJECT, holder.now()) + count > keysPerHour) {
    throw new KeyHolderError('LIMIT_INITIALIZE', 'More keys within an hour than the limits file allows.', {
      gun,
      keysPerHour,
    })
  }
}

/** Counts what `checkKeyRate` allowed; call inside the transaction. */
export function countKeys(holder: Holder, count: number): void {
  holder.rates.add(KEYS_SUBJECT, count, holder.now())
}

export function recordOfKey(
  { gun, role, publicKey, custody }: Pick<StoredKey, 'gun' | 'role' | 'publicKey' | 'custody'>,
  by: SocketName,
  evidence: OperationRequest<'create-delegation-key'>['evidence'],
): AuditRecord {
  const { keyType, tufKeyId, canonicalKeyId } = publicKey
  return { kind: 'key-created', by, gun, role, keyType, tufKeyId, canonicalKeyId, custody, evidence }
}

/** A public key as responses carry it. */
export function exportOf(key: PublicKey): OperationResponse<'export-public-key'> {
  const { tufKeyId, canonicalKeyId } = key
  const { keyType: keytype, publicValue } = key
  return {
    key: { keytype, keyval: { private: null, public: publicValue } },
    tufKeyId,
    canonicalKeyId,
    pem: publicKeyPem(key),
  }
}
