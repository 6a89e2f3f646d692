// Whether enough keys of a role signed a file. Which keys a role has is said by root.ts, targets.ts and root-chain.ts.
import { TufError } from './errors.ts'
import type { PublicKey } from './key.ts'
import type { Role, RoleName, TufKeyId } from './role.ts'
import { verifySignatures, type Received } from './signed.ts'
import { verifySignature } from './signature.ts'

/** The keys and the threshold that a file of this role must satisfy. */
export interface RoleKeys {
  readonly name: RoleName
  readonly keys: ReadonlyMap<TufKeyId, PublicKey>
  readonly threshold: number
}

/** The role with its keys, from the file that lists both; keys under the IDs they are listed with. */
export function roleKeys(role: Role, listed: ReadonlyMap<TufKeyId, PublicKey>): RoleKeys {
  const keys = new Map<TufKeyId, PublicKey>()
  for (const keyId of role.keyIds) {
    const key = listed.get(keyId)
    if (key !== undefined) keys.set(keyId, key)
  }
  return { name: role.name, keys, threshold: role.threshold }
}

/**
 * notary v0.7.0 tuf/signed/verify.go VerifySignatures. Notary counts key IDs, so that one key with two certificates reaches a
 * threshold of two. Such a file has a code of its own: clients accept it, so it must not be taken for an unsigned delegation,
 * which clients pass over.
 * @throws TufError SIGNATURE_NONE, SIGNATURE_BELOW_THRESHOLD, SIGNATURE_KEY_REPEATED, KEY_ID_MISMATCH, METADATA_THRESHOLD
 */
export function verifyThreshold(file: Received<unknown>, { name, keys, threshold }: RoleKeys): void {
  try {
    verifySignatures(file, keys, threshold)
  } catch (error) {
    if (!(error instanceof TufError)) throw error
    const repeated = error.code === 'SIGNATURE_BELOW_THRESHOLD' && countKeyIds(file, keys) >= threshold
    const code = repeated ? 'SIGNATURE_KEY_REPEATED' : error.code
    const message = repeated ? 'One key signed under several IDs; it counts once' : error.message
    throw new TufError(code, message, { role: name, ...error.facts }, { cause: error })
  }
}

/** How many distinct IDs have a valid signature: what Notary counts. */
function countKeyIds({ message, signatures }: Received<unknown>, keys: ReadonlyMap<TufKeyId, PublicKey>): number {
  const valid = new Set<TufKeyId>()
  for (const { keyId, method, signature } of signatures) {
    const key = keys.get(keyId)
    if (key !== undefined && !valid.has(keyId) && verifySignature(key, method, message, signature)) valid.add(keyId)
  }
  return valid.size
}
