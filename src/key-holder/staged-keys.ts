// An operator's part of a key's succession: making the successor, and destroying what was replaced.
import { isDelegationRole, parseGun, parseRoleName, RELEASES, TARGETS } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { NewKey } from './custody.ts'
import { commitErasing, commitWithKeys, type Answer, type Call, type Holder } from './holder.ts'
import { checkKeyRate, countKeys, exportOf, recordOfKey } from './key-creation.ts'
import type { StoredKey } from './key-table.ts'
import { limitsFor } from './limits.ts'
import { describeRepository } from './repository-status.ts'

/** See the operation's description in the protocol. @throws KeyHolderError KEY_NOT_REPLACEABLE, KEY_NOT_FOUND, LIMIT_*, CUSTODY_* */
export async function stageKey(holder: Holder, { request, socket }: Call<'stage-key'>): Promise<Answer<'stage-key'>> {
  const gun = parseGun(request.gun)
  const custody = request.custody ?? limitsFor(holder.limits, gun).custody
  holder.custody.requireConfigured(custody)
  const role = parseRoleName(request.role)
  if (role !== TARGETS && (!isDelegationRole(role) || role === RELEASES)) {
    throw new KeyHolderError(
      'KEY_NOT_REPLACEABLE',
      'Only the key of a signer, or of base targets, can be replaced this way.',
      { gun, role },
    )
  }
  const current = holder.keys.ofRole(gun, role)
  if (current === undefined) {
    throw new KeyHolderError('KEY_NOT_FOUND', 'There is no key for this role here.', { gun, role })
  }
  const replaces = current.publicKey.canonicalKeyId
  const waiting = stagedKeys(holder, gun).find((key) => key.replaces === replaces)
  if (waiting !== undefined) return { response: { ...exportOf(waiting.publicKey), replaces } }
  checkKeyRate(holder, gun, 1)
  const { keyType } = request
  const made = await holder.custody.make({ gun, role, keyType, createdAt: holder.now().toISOString(), custody })
  const key: NewKey = { ...made, state: 'staged', replaces }
  holder.step('keys-made')
  const { reason, evidence } = request
  // A crash before the commit forgets the key; after it, the same request finds it.
  commitWithKeys(holder, [{ ...recordOfKey(key, socket, evidence), replaces, reason }], [key], () => {
    countKeys(holder, 1)
  })
  return { response: { ...exportOf(key.publicKey), replaces } }
}

/** See the operation's description in the protocol. @throws KeyHolderError GUN_NOT_MANAGED, KEY_NOT_FOUND, KEY_IN_USE, CUSTODY_* */
export async function retireKey(
  holder: Holder,
  { request, socket }: Call<'retire-key'>,
): Promise<Answer<'retire-key'>> {
  const gun = parseGun(request.gun)
  const { canonicalKeyId, reason, evidence } = request
  // Whether it can be answered, before anything is destroyed: a repository may be served and not managed.
  holder.repositories.get(gun)
  const key = holder.keys.ofGun(gun).find(({ publicKey }) => publicKey.canonicalKeyId === canonicalKeyId)
  if (key === undefined) {
    throw new KeyHolderError('KEY_NOT_FOUND', 'There is no such key here.', { gun, canonicalKeyId })
  }
  const { role, state, custody } = key
  if (state === 'active' || state === 'staged') {
    throw new KeyHolderError('KEY_IN_USE', 'Only a key that was replaced can be destroyed.', { gun, role, state })
  }
  if (state === 'replaced') {
    const record = { kind: 'key-retired', by: socket, gun, role, canonicalKeyId, custody, reason, evidence } as const
    // A crash before the commit leaves the key, after it nothing of it but what is in a token: it signs nothing any more, and is
    // destroyed as soon as it can be, which is recorded of its own.
    commitErasing(holder, [record], () => {
      holder.keys.retire(gun, canonicalKeyId)
      holder.custody.discard(key, holder.now().toISOString())
    })
  }
  await holder.custody.destroy(key)
  return { response: describeRepository(holder, gun) }
}

/** Keys that wait to replace others. */
export function stagedKeys(
  holder: Holder,
  gun: StoredKey['gun'],
): readonly (StoredKey & { readonly replaces: string })[] {
  return holder.keys.ofGun(gun).flatMap((key) => {
    const { state, replaces } = key
    return state === 'staged' && replaces !== undefined ? [{ ...key, replaces }] : []
  })
}
