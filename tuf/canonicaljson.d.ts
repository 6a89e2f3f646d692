// Types of the `canonicaljson` package, which has none of its own: only what canonical.ts calls. A CommonJS package: Node hands
// its functions out under `default`, a transpiler by name.
declare module 'canonicaljson' {
  type Stringify = (value: string | number) => string
  export const stringify: Stringify | undefined
  const all: { readonly stringify: Stringify }
  // eslint-disable-next-line no-restricted-exports -- the package's shape, not ours
  export { all as default }
}
