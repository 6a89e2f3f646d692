// What has been opened is closed, all of it: one part that fails must not leave keys of another in memory.

export type Closer = () => void | Promise<void>

/** Calls them all, one after the other. @throws at the end, what the first one threw that failed */
export async function closeAll(closers: readonly Closer[]): Promise<void> {
  const failures: { readonly error: unknown }[] = []
  for (const close of closers) {
    try {
      await close()
    } catch (error) {
      failures.push({ error })
    }
  }
  const [first] = failures
  if (first !== undefined) throw first.error
}
