// What a row of measurements says: the median, and how far the rest lies around it.

/** Milliseconds, over all measurements of one row. */
export interface Summary {
  readonly count: number
  readonly median: number
  readonly min: number
  readonly max: number
  /** First and third quartile: half of the measurements lie between them. */
  readonly quartiles: readonly [number, number]
}

/** @throws RangeError where there is nothing to summarise */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('Nothing was measured.')
  const sorted = [...values].sort((a, b) => a - b)
  return {
    count: sorted.length,
    median: quantile(sorted, 0.5),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
    quartiles: [quantile(sorted, 0.25), quantile(sorted, 0.75)],
  }
}

/** Between the two nearest values in proportion. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const below = sorted[Math.floor(at)] ?? 0
  const above = sorted[Math.ceil(at)] ?? below
  return below + (above - below) * (at - Math.floor(at))
}
