// Versions that somebody signed with a key of ours, and that an operator disowned: nothing of them is carried on. The next version of the
// role has the content of the last one that we signed and that was published.
import {
  parseTargets,
  ROOT,
  SNAPSHOT,
  TIMESTAMP,
  type Gun,
  type Received,
  type RoleName,
  type TargetsMetadata,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Holder } from './holder.ts'
import type { Payload } from './payloads.ts'
import type { ForeignVersion } from './versions.ts'

/** Why the next version of a role does not follow what is published, and what there is to go back to. */
interface Drop {
  readonly disowned: number
  /** The newest version that an operator accepted, before that one; its file is not here. */
  readonly accepted: number
  readonly ours: Payload | undefined
}

/** Roles that hold no tags: nothing of their content is anybody's, so there is nothing to bring back. */
const WITHOUT_TAGS: ReadonlySet<RoleName> = new Set([ROOT, SNAPSHOT, TIMESTAMP])

/**
 * The content that this version is to have; undefined where it follows what is published, as always else.
 * @param version the next one; what one that was signed before went back to is recorded with it
 * @throws KeyHolderError NO_VERSION_TO_RESTORE where there is none to go back to
 */
export function contentToRestore(
  holder: Holder,
  gun: Gun,
  role: RoleName,
  version: number,
): Received<TargetsMetadata> | undefined {
  const drop = dropBelow(holder, gun, role, version)
  if (drop === undefined) return undefined
  const { disowned, accepted, ours } = drop
  if (ours?.file === undefined)
    throw nothingToRestore(gun, role, disowned, 'no version of ours was published before it')
  if (accepted > ours.version) {
    const why = `version ${accepted} before it was accepted by an operator, and its file is not here`
    throw nothingToRestore(gun, role, disowned, why)
  }
  return parseTargets(ours.file, role)
}

/** The roles whose next version will go back. */
export function rolesToRestore(holder: Holder, gun: Gun): readonly RoleName[] {
  return holder.versions.ofGun(gun).flatMap(({ role }) => (dropInForce(holder, gun, role) === undefined ? [] : [role]))
}

/** What an operator can decide about. */
export interface OpenVersions {
  readonly undecided: readonly ForeignVersion[]
  /** Dropped, and nothing of ours was published above them yet. What was dropped before that stays so. */
  readonly inForce: readonly ForeignVersion[]
}

export function openVersions(holder: Holder, gun: Gun): OpenVersions {
  const waiting = new Map(
    holder.versions.ofGun(gun).flatMap(({ role }) => {
      const drop = dropInForce(holder, gun, role)
      return drop === undefined ? [] : [[role, drop.ours?.version ?? 0] as const]
    }),
  )
  return {
    undecided: holder.versions.foreignOf(gun, 'undecided'),
    inForce: holder.versions
      .foreignOf(gun, 'dropped')
      .filter(({ role, version }) => version > (waiting.get(role) ?? Number.POSITIVE_INFINITY)),
  }
}

/** That a renewal or a rotation can go back, in every role that waits for it. @throws KeyHolderError NO_VERSION_TO_RESTORE */
export function requireRestorable(holder: Holder, gun: Gun): void {
  for (const role of rolesToRestore(holder, gun)) contentToRestore(holder, gun, role, nextSeen(holder, gun, role))
}

/** For what stands on the published content. @throws KeyHolderError BASE_VERSION_DISOWNED */
export function refuseDisowned(holder: Holder, gun: Gun, roles: readonly RoleName[]): void {
  const waiting = rolesToRestore(holder, gun)
  const role = roles.find((one) => waiting.includes(one))
  if (role === undefined) return
  throw new KeyHolderError(
    'BASE_VERSION_DISOWNED',
    'An operator disowned what is published in this role. A renewal or a rotation of its key brings back what we signed last.',
    { gun, role },
  )
}

function dropInForce(holder: Holder, gun: Gun, role: RoleName): Drop | undefined {
  return dropBelow(holder, gun, role, nextSeen(holder, gun, role))
}

/** Above everything that was seen, and so above everything that anything was decided about. */
function nextSeen(holder: Holder, gun: Gun, role: RoleName): number {
  return (holder.versions.ofRole(gun, role).highestSeen?.version ?? 0) + 1
}

/** Whether the newest word about the versions below this one is that they are disowned. */
function dropBelow(holder: Holder, gun: Gun, role: RoleName, version: number): Drop | undefined {
  if (WITHOUT_TAGS.has(role)) return undefined
  const disowned = holder.versions.highestDisowned(gun, role, version)
  if (disowned === undefined) return undefined
  const accepted = holder.versions.highestAccepted(gun, role, version) ?? 0
  const ours = holder.payloads.lastPublished(gun, role, version)
  return Math.max(accepted, ours?.version ?? 0) > disowned ? undefined : { disowned, accepted, ours }
}

function nothingToRestore(gun: Gun, role: RoleName, disowned: number, why: string): KeyHolderError {
  return new KeyHolderError('NO_VERSION_TO_RESTORE', `Version ${disowned} of this role cannot be dropped: ${why}.`, {
    gun,
    role,
    disowned,
  })
}
