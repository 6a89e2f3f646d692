// Versions that somebody signed with a key of ours, and that an operator disowned: nothing of them is carried on. The next version of the
// role has the content of the last one that we signed and that was published.
import { parseTargets, type Gun, type Received, type RoleName, type TargetsMetadata } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { notSignable } from './change-plan.ts'
import type { Holder } from './holder.ts'

/**
 * The content that this version is to have; undefined where it follows what is published, as always else.
 * @param version the next one, or one that was signed before: the answer stays the same
 * @throws KeyHolderError ROLE_NOT_SIGNABLE where there is none to go back to
 */
export function contentToRestore(
  holder: Holder,
  gun: Gun,
  role: RoleName,
  version: number,
): Received<TargetsMetadata> | undefined {
  const disowned = holder.versions.highestDisowned(gun, role)
  if (disowned === undefined || disowned >= version) return undefined
  const ours = holder.payloads.lastPublished(gun, role, version)
  if (ours !== undefined && ours.version > disowned) return undefined
  if (ours?.file === undefined) {
    throw notSignable(gun, role, 'an operator disowned its version, and there is no version of ours to go back to')
  }
  return parseTargets(ours.file, role)
}

/** The roles whose next version will go back. */
export function rolesToRestore(holder: Holder, gun: Gun): readonly RoleName[] {
  return holder.versions.ofGun(gun).flatMap(({ role, highestSeen }) => {
    const disowned = holder.versions.highestDisowned(gun, role)
    if (disowned === undefined) return []
    const ours = holder.payloads.lastPublished(gun, role, (highestSeen?.version ?? disowned) + 1)
    return ours !== undefined && ours.version > disowned ? [] : [role]
  })
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
