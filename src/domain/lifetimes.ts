// How long what is signed lives, as the key holder says it of each repository. Pure.
import {
  type RoleName,
  ROOT,
  ROOT_LIFETIME_MS,
  SNAPSHOT,
  SNAPSHOT_LIFETIME_MS,
  TARGETS,
  TARGETS_LIFETIME_MS,
} from '@countersign/tuf'

/** In milliseconds from signing on. Snapshot: where a trust server has it signed by this key holder. */
export interface Lifetimes {
  readonly rootMs: number
  readonly targetsMs: number
  readonly delegationsMs: number
  readonly snapshotMs: number
}

/** Those of notary, where the key holder says nothing else. */
export const USUAL_LIFETIMES: Lifetimes = {
  rootMs: ROOT_LIFETIME_MS,
  targetsMs: TARGETS_LIFETIME_MS,
  delegationsMs: TARGETS_LIFETIME_MS,
  snapshotMs: SNAPSHOT_LIFETIME_MS,
}

export function lifetimeOf(lifetimes: Lifetimes, role: RoleName): number {
  switch (role) {
    case ROOT:
      return lifetimes.rootMs
    case SNAPSHOT:
      return lifetimes.snapshotMs
    default:
      return role === TARGETS ? lifetimes.targetsMs : lifetimes.delegationsMs
  }
}
