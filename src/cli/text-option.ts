// Options that may be repeated.

/** Collects the values of such an option, for commander. */
export function addText(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text]
}
