// The difference between two versions of a targets file, as people and checks want to read it. Judges nothing.
import { canonicalText } from './canonical.ts'
import type { JsonValue } from './json.ts'
import { encodePublicKey } from './key.ts'
import type { FileMeta } from './metadata.ts'
import type { RoleName, TufKeyId } from './role.ts'
import type { DelegationRole, Delegations, TargetsMetadata } from './targets.ts'

/** An entry that is new or gone. */
export interface EntryChange {
  readonly name: string
  readonly meta: FileMeta
}

/** An entry that stands in both versions and differs. */
export interface EntryMove {
  readonly name: string
  readonly from: FileMeta
  readonly to: FileMeta
}

export interface DelegationsChange {
  readonly added: readonly RoleName[]
  readonly removed: readonly RoleName[]
  /** Other keys, threshold or paths. */
  readonly changed: readonly RoleName[]
  /** True where the same roles stand in another order, which is the order of search. */
  readonly reordered: boolean
  readonly keysAdded: readonly TufKeyId[]
  readonly keysRemoved: readonly TufKeyId[]
}

/** Lists are in the order of names (UTF-16 units), whatever the order in the files. */
export interface ChangeDescription {
  /** `from` is absent for a first version. */
  readonly version: { readonly from?: number; readonly to: number }
  readonly expiresAt: { readonly from?: Date; readonly to: Date }
  readonly put: readonly EntryChange[]
  /** Another digest or length: another image. */
  readonly moved: readonly EntryMove[]
  readonly dropped: readonly EntryChange[]
  /** The same image, but other custom data or another set of hashes. */
  readonly annotated: readonly EntryMove[]
  readonly delegations: DelegationsChange
}

/** @param previous undefined: there was none, and every entry of `next` is new */
export function describeChange(previous: TargetsMetadata | undefined, next: TargetsMetadata): ChangeDescription {
  const before = previous?.targets ?? new Map<string, FileMeta>()
  const put: EntryChange[] = []
  const moved: EntryMove[] = []
  const annotated: EntryMove[] = []
  for (const [name, to] of next.targets) {
    const from = before.get(name)
    if (from === undefined) put.push({ name, meta: to })
    else if (!isSameImage(from, to)) moved.push({ name, from, to })
    else if (!isSameAnnotation(from, to)) annotated.push({ name, from, to })
  }
  const dropped: EntryChange[] = []
  for (const [name, meta] of before) if (!next.targets.has(name)) dropped.push({ name, meta })
  return {
    version: { ...(previous && { from: previous.version }), to: next.version },
    expiresAt: { ...(previous && { from: previous.expiresAt }), to: next.expiresAt },
    put: put.sort(byName),
    moved: moved.sort(byName),
    dropped: dropped.sort(byName),
    annotated: annotated.sort(byName),
    delegations: describeDelegations(previous?.delegations ?? NO_DELEGATIONS, next.delegations),
  }
}

const NO_DELEGATIONS: Delegations = { keys: new Map(), roles: [] }

function isSameImage(from: FileMeta, to: FileMeta): boolean {
  return from.length === to.length && from.hashes.get('sha256') === to.hashes.get('sha256')
}

function isSameAnnotation(from: FileMeta, to: FileMeta): boolean {
  // Hot: SHA-256 alone, which was compared already.
  if (from.custom === undefined && to.custom === undefined && isSha256Alone(from) && isSha256Alone(to)) return true
  return isSameHashes(from, to) && textOf(from.custom) === textOf(to.custom)
}

function isSha256Alone({ hashes }: FileMeta): boolean {
  return hashes.size === 1 && hashes.has('sha256')
}

function isSameHashes({ hashes: from }: FileMeta, { hashes: to }: FileMeta): boolean {
  if (from.size !== to.size) return false
  for (const [algorithm, digest] of from) if (to.get(algorithm) !== digest) return false
  return true
}

/** Absent and null are the same to Go. */
function textOf(custom: JsonValue | undefined): string {
  return canonicalText(custom ?? null)
}

function describeDelegations(from: Delegations, to: Delegations): DelegationsChange {
  const before = byRoleName(from)
  const after = byRoleName(to)
  const kept = [...before.keys()].filter((name) => after.has(name))
  const keptAfter = [...after.keys()].filter((name) => before.has(name))
  return {
    added: [...after.keys()].filter((name) => !before.has(name)).sort(),
    removed: [...before.keys()].filter((name) => !after.has(name)).sort(),
    changed: kept.filter((name) => before.get(name) !== after.get(name)).sort(),
    reordered: kept.some((name, at) => name !== keptAfter[at]),
    keysAdded: [...to.keys.keys()].filter((id) => !from.keys.has(id)).sort(),
    keysRemoved: [...from.keys.keys()].filter((id) => !to.keys.has(id)).sort(),
  }
}

/** Each role's meaning as text: two texts differ where keys (content included), threshold or paths do. */
function byRoleName({ keys, roles }: Delegations): ReadonlyMap<RoleName, string> {
  const texts = new Map<RoleName, string>()
  // Of several entries with one name the first counts.
  for (const role of roles) if (!texts.has(role.name)) texts.set(role.name, textOfRole(role, keys))
  return texts
}

function textOfRole({ keyIds, threshold, paths }: DelegationRole, keys: Delegations['keys']): string {
  const listed = [...new Set(keyIds)].sort().map((keyId) => {
    const key = keys.get(keyId)
    return [keyId, key === undefined ? null : encodePublicKey(key)]
  })
  return canonicalText([listed, threshold, [...new Set(paths)].sort()])
}

function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name < other.name ? -1 : Number(one.name > other.name)
}
