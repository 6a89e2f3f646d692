// What happened to a bundle of records whose hashes are not those that were logged: edited, cut, deleted, added to, put in another
// order. Pure: hashes in, a verdict out.
import type { AuditFault } from './audit-faults.ts'

export interface BundleVerdict {
  readonly fault: Extract<AuditFault, 'record-changed' | 'record-missing' | 'record-added' | 'record-moved'>
  /** Where, counted from the beginning of the bundle. */
  readonly at: number
  /** Records that are missing or added. */
  readonly count: number
  /** Of a record that was moved: where it was logged, in the same bundle. */
  readonly belongsAt?: number
}

/**
 * @param found leaf hashes of the records that stand there
 * @param logged leaf hashes of those that were logged
 * @returns undefined where they are the same
 */
export function judgeBundle(found: readonly Buffer[], logged: readonly Buffer[]): BundleVerdict | undefined {
  const same = found.findIndex((hash, at) => !isSame(hash, logged[at]))
  const at = same < 0 ? found.length : same
  const here = found[at]
  if (here === undefined) {
    return at >= logged.length ? undefined : { fault: 'record-missing', at, count: logged.length - at }
  }
  if (at >= logged.length) return { fault: 'record-added', at, count: found.length - at }
  if (isSameSet(found, logged)) {
    return { fault: 'record-moved', at, count: 1, belongsAt: logged.findIndex((hash) => hash.equals(here)) }
  }
  const missing = shift(found, logged, at)
  if (missing !== undefined) return { fault: 'record-missing', at, count: missing }
  const added = shift(logged, found, at)
  if (added !== undefined) return { fault: 'record-added', at, count: added }
  return { fault: 'record-changed', at, count: 1 }
}

/** How many of `longer` have to go from `at` on so that the rest of `shorter` follows; undefined where no number does. */
function shift(shorter: readonly Buffer[], longer: readonly Buffer[], at: number): number | undefined {
  const next = shorter[at]
  if (next === undefined) return undefined
  const place = longer.findIndex((hash, index) => index > at && hash.equals(next))
  if (place < 0) return undefined
  const count = place - at
  const follows = longer.slice(place).every((hash, index) => isSame(hash, shorter[at + index] ?? hash))
  return follows ? count : undefined
}

function isSameSet(found: readonly Buffer[], logged: readonly Buffer[]): boolean {
  if (found.length !== logged.length) return false
  const sorted = (hashes: readonly Buffer[]) => hashes.map((hash) => hash.toString('hex')).sort()
  const there = sorted(logged)
  return sorted(found).every((hash, index) => hash === there[index])
}

function isSame(hash: Buffer, other: Buffer | undefined): boolean {
  return other?.equals(hash) === true
}
