// Stopping all signing for a repository, and letting it go on: decisions of an operator, recorded.
import { parseGun, type Gun } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { openVersions, requireRestorable, type OpenVersions } from './disowned.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'
import { chunkRecord } from './record-chunks.ts'
import { describeRepository, newest } from './repository-status.ts'
import type { ForeignVersion } from './versions.ts'

interface NamedVersion {
  readonly role: string
  readonly version: number
}

/** See the operation's description in the protocol. @throws KeyHolderError GUN_NOT_MANAGED */
export function freeze(holder: Holder, { request, socket }: Call<'freeze'>): Promise<Answer<'freeze'>> {
  const gun = parseGun(request.gun)
  holder.repositories.get(gun)
  const { reason, evidence } = request
  commit(holder, [{ kind: 'repository-frozen', by: socket, gun, reason, evidence }], () => {
    holder.repositories.setFrozen(gun, reason)
  })
  return Promise.resolve({ response: describeRepository(holder, gun) })
}

/**
 * Also decides about versions of our roles that were found and not signed here, and records which. A drop that nothing could follow is
 * refused, and the repository stays frozen. A drop that nothing has followed yet ends by an `accept` that was asked for, and by nothing else.
 * @throws KeyHolderError GUN_NOT_MANAGED, FOREIGN_VERSIONS_UNNAMED, FOREIGN_DECISION_REQUIRED, NO_VERSION_TO_DROP, NO_VERSION_TO_RESTORE
 */
export function unfreeze(holder: Holder, { request, socket }: Call<'unfreeze'>): Promise<Answer<'unfreeze'>> {
  const gun = parseGun(request.gun)
  const { frozenBecause = '' } = holder.repositories.get(gun)
  const { reason, evidence, foreign, seen } = request
  const open = openVersions(holder, gun)
  if (seen !== undefined) requireNamed(gun, open, seen)
  const { accepted, dropped } = decide(gun, open, foreign)
  const word = foreign ?? (accepted.length > 0 ? 'accept' : undefined)
  const record = {
    kind: 'repository-unfrozen',
    by: socket,
    gun,
    frozenBecause,
    ...(word && { foreign: word }),
  } as const
  const records = chunkRecord({ ...record, reason, evidence }, 'versions', [...accepted, ...dropped])
  commit(holder, records, () => {
    holder.repositories.setFrozen(gun, null)
    holder.versions.decide(gun, accepted, 'accepted')
    holder.versions.decide(gun, dropped, 'dropped')
    if (dropped.length > 0) requireRestorable(holder, gun)
  })
  // One of the two is empty: a decision is about all that wait.
  const { shown, leftOut } = newest([...accepted, ...dropped])
  const named = shown.map(({ role, version }) => ({ role, version }))
  return Promise.resolve({
    response: {
      ...describeRepository(holder, gun),
      ...(accepted.length > 0 && { accepted: named }),
      ...(dropped.length > 0 && { dropped: named }),
      ...(leftOut > 0 && { decidedLeftOut: leftOut }),
    },
  })
}

/** @throws KeyHolderError FOREIGN_DECISION_REQUIRED, NO_VERSION_TO_DROP */
function decide(
  gun: Gun,
  { undecided, inForce }: OpenVersions,
  foreign: 'accept' | 'drop' | undefined,
): Record<'accepted' | 'dropped', readonly ForeignVersion[]> {
  if (foreign === 'accept') return { accepted: [...undecided, ...inForce], dropped: [] }
  if (foreign === 'drop') {
    if (undecided.length + inForce.length > 0) return { accepted: [], dropped: undecided }
    throw new KeyHolderError(
      'NO_VERSION_TO_DROP',
      'No version waits for a decision: none was found, or all were accepted. What was accepted is unsigned tag by tag.',
      { gun },
    )
  }
  if (inForce.length === 0) return { accepted: undecided, dropped: [] }
  if (undecided.length === 0) return { accepted: [], dropped: [] }
  throw new KeyHolderError(
    'FOREIGN_DECISION_REQUIRED',
    'Versions were found since an earlier one was dropped. Say whether they are dropped, too, or accepted, which ends that drop.',
    { gun, undecided: inWords(undecided), dropped: inWords(inForce) },
  )
}

/** That whoever decides has seen all that he decides about, and names nothing else. @throws KeyHolderError FOREIGN_VERSIONS_UNNAMED */
function requireNamed(gun: Gun, { undecided, inForce }: OpenVersions, seen: readonly NamedVersion[]): void {
  const isAmong = (one: NamedVersion, versions: readonly NamedVersion[]): boolean =>
    versions.some(({ role, version }) => role === one.role && version === one.version)
  const unnamed = undecided.filter((one) => !isAmong(one, seen))
  const unknown = seen.filter((one) => !isAmong(one, [...undecided, ...inForce]))
  if (unnamed.length + unknown.length === 0) return
  throw new KeyHolderError(
    'FOREIGN_VERSIONS_UNNAMED',
    'The versions that wait for a decision are not those that were named. Look at them, and name them all.',
    { gun, undecided: inWords(undecided), unnamed: inWords(unnamed), unknown: inWords(unknown) },
  )
}

/** The newest few are enough to go and look. */
function inWords(versions: readonly NamedVersion[]): string {
  const words = versions.slice(-32).map(({ role, version }) => `${role}@${version}`)
  return [...(versions.length > 32 ? ['...'] : []), ...words].join(' ')
}
