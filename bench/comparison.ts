// One comparison: what both sides took, the servers' share of it, and the ratio that was aimed at. Data and arithmetic only.
import type { ServerShare } from './server-time.ts'
import { summarise, type Summary } from './statistics.ts'

/** One side of a comparison. */
export interface Side {
  readonly what: string
  /** In the unit of the comparison. */
  readonly summary: Summary
  /** For one measurement, on average. Absent where the servers are all that is measured. */
  readonly servers?: ServerShare
}

export interface Comparison {
  readonly scenario: string
  readonly title: string
  readonly native: Side
  readonly ours: Side
  /** Milliseconds where absent. */
  readonly unit?: 'MiB'
  /** Our median divided by the native one. */
  readonly ratio: number
  /** The ratio that must not be exceeded; absent: stated only. */
  readonly target?: number
}

export interface Measured {
  readonly milliseconds: number
  readonly servers: ServerShare
}

/** Two rows of plain figures. */
export function compareFigures(
  facts: Pick<Comparison, 'scenario' | 'title' | 'target' | 'unit'>,
  native: { readonly what: string; readonly values: readonly number[] },
  ours: { readonly what: string; readonly values: readonly number[] },
): Comparison {
  const side = ({ what, values }: { readonly what: string; readonly values: readonly number[] }): Side => {
    return { what, summary: summarise(values) }
  }
  const [nativeSide, ourSide] = [side(native), side(ours)]
  return { ...facts, native: nativeSide, ours: ourSide, ratio: ourSide.summary.median / nativeSide.summary.median }
}

export function compare(
  facts: Pick<Comparison, 'scenario' | 'title' | 'target'>,
  native: { readonly what: string; readonly runs: readonly Measured[] },
  ours: { readonly what: string; readonly runs: readonly Measured[] },
): Comparison {
  const [nativeSide, ourSide] = [sideOf(native), sideOf(ours)]
  return { ...facts, native: nativeSide, ours: ourSide, ratio: ourSide.summary.median / nativeSide.summary.median }
}

function sideOf({ what, runs }: { readonly what: string; readonly runs: readonly Measured[] }): Side {
  const sum = (value: (share: ServerShare) => number) => runs.reduce((total, { servers }) => total + value(servers), 0)
  return {
    what,
    summary: summarise(runs.map(({ milliseconds }) => milliseconds)),
    servers: {
      requests: sum(({ requests }) => requests) / runs.length,
      milliseconds: sum(({ milliseconds }) => milliseconds) / runs.length,
    },
  }
}
