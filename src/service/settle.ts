// The same work for many items, some at a time: as soon as one ends, whichever way, the next one begins.

/** The results in the order of the items, when all have ended. */
export async function settleEach<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<readonly { readonly item: T; readonly result: PromiseSettledResult<void> }[]> {
  const outcomes = items.map((item) => ({ item, result: undefined as PromiseSettledResult<void> | undefined }))
  const left = outcomes.values()
  const worker = async (): Promise<void> => {
    // All workers take from one iterator.
    for (const outcome of left) [outcome.result] = await Promise.allSettled([work(outcome.item)])
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  return outcomes.flatMap(({ item, result }) => (result === undefined ? [] : [{ item, result }]))
}
