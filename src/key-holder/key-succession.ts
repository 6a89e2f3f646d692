// From which keys a verified repository lists to the states of our own. Pure.
import type { RoleName, TrustedRepository } from '@countersign/tuf'
import type { StoredKey } from './key-table.ts'

/** A key of ours whose state changes: a staged one that is listed now, or one that its successor has displaced. */
export interface KeyMove {
  readonly role: RoleName
  readonly canonicalKeyId: string
  readonly state: 'active' | 'replaced'
}

/**
 * A staged key that is listed is in use, whoever listed it. A key is replaced when its successor is in use and it is listed nowhere:
 * while an owner lists both, both sign.
 */
export function movedKeys(keys: readonly StoredKey[], repository: TrustedRepository): readonly KeyMove[] {
  const listed = listedKeys(repository)
  const isListed = ({ publicKey }: StoredKey): boolean => listed.has(publicKey.canonicalKeyId)
  const succeeded = new Set(keys.filter(isListed).map(({ replaces }) => replaces))
  return keys.flatMap((key): KeyMove[] => {
    const { role, state } = key
    const { canonicalKeyId } = key.publicKey
    if (state === 'staged' && isListed(key)) return [{ role, canonicalKeyId, state: 'active' }]
    if (state === 'active' && !isListed(key) && succeeded.has(canonicalKeyId)) {
      return [{ role, canonicalKeyId, state: 'replaced' }]
    }
    return []
  })
}

/** Canonical IDs of all keys that root or a targets role lists. */
function listedKeys({ root, targets, delegations }: TrustedRepository): ReadonlySet<string> {
  const files = [root, targets, ...delegations.values()].map(({ metadata }) =>
    'delegations' in metadata ? metadata.delegations.keys : metadata.keys,
  )
  return new Set(files.flatMap((keys) => [...keys.values()].map(({ canonicalKeyId }) => canonicalKeyId)))
}
