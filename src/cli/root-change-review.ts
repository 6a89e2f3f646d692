// A change of root in words, for whoever signs it, and how far its signatures have come. Pure; the words are made from the bytes.
import {
  ROOT,
  type Gun,
  type Received,
  type RoleName,
  type RootMetadata,
  type SignatureEntry,
  type TufKeyId,
} from '@countersign/tuf'

interface Change {
  readonly gun: Gun
  readonly current: Received<RootMetadata>
  readonly next: Received<RootMetadata>
}

/** Every role and key of the next root, and beside each whether it is new; so that nothing is signed that was not shown. */
export function describeRootChange({ gun, current, next }: Change): string[] {
  const before = current.metadata
  const after = next.metadata
  return [
    `Repository: ${gun}`,
    `Root:       version ${before.version} -> ${after.version}, expires ${before.expiresAt.toISOString()} -> ${after.expiresAt.toISOString()}`,
    ...[...after.roles.values()].flatMap(({ name, keyIds, threshold }) => {
      const former = before.roles.get(name)?.keyIds ?? []
      return [
        ...keyIds.map((id) => line(name, id, after, former.includes(id) ? 'stays' : 'NEW', threshold)),
        ...former
          .filter((id) => !keyIds.includes(id))
          .map((id) => line(name, id, before, 'GOES', before.roles.get(name)?.threshold ?? 1)),
      ]
    }),
  ]
}

function line(name: RoleName, id: TufKeyId, { keys }: RootMetadata, fate: string, threshold: number): string {
  const keyType = keys.get(id)?.keyType ?? 'unknown'
  return `Role ${name.padEnd(10)} ${fate.padEnd(5)} key ${id} (${keyType}), threshold ${threshold}`
}

/** One of the two lists of root keys that have to sign: those of the current root, and those of the next. */
export interface Quorum {
  readonly of: 'current' | 'next'
  readonly threshold: number
  readonly signed: readonly TufKeyId[]
  readonly unsigned: readonly TufKeyId[]
  readonly isComplete: boolean
}

/** Who has signed, and who could. Distinct keys count, as in verification: two certificates of one key are one. */
export function quorumsOf({ current, next }: Change, signatures: readonly SignatureEntry[]): readonly Quorum[] {
  const made = new Set(signatures.map(({ keyId }) => keyId))
  return (['current', 'next'] as const).map((of) => {
    const { roles, keys } = (of === 'current' ? current : next).metadata
    const { keyIds, threshold } = roles.get(ROOT) ?? { keyIds: [], threshold: 1 }
    const signed = keyIds.filter((id) => made.has(id))
    const distinct = new Set(signed.map((id) => keys.get(id)?.canonicalKeyId))
    return {
      of,
      threshold,
      signed,
      unsigned: keyIds.filter((id) => !made.has(id)),
      isComplete: distinct.size >= threshold,
    }
  })
}
