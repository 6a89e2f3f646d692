// Types of the `canonicaljson` package, which has none of its own: only what canonical.ts calls.
declare module 'canonicaljson' {
  const canonicaljson: {
    stringify(value: string | number): string
  }
  export = canonicaljson
}
