// What commands use of undici, in a module of its own that is imported when it is needed: in a bundle, a CommonJS package that is imported
// that way has no names.
export { request } from 'undici'
