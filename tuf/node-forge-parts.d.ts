// Types of the two parts of node-forge that are used here, at their own paths: its index would load all of it at each start.
declare module 'node-forge/lib/asn1.js' {
  import type forge from 'node-forge'
  const asn1: typeof forge.asn1
  // eslint-disable-next-line no-restricted-exports -- the package's shape, not ours
  export { asn1 as default }
}
declare module 'node-forge/lib/util.js' {
  import type forge from 'node-forge'
  const util: typeof forge.util
  // eslint-disable-next-line no-restricted-exports -- the package's shape, not ours
  export { util as default }
}
