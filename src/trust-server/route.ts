// From the path of a request to what is asked for. notary v0.7.0 server/server.go RootHandler; the paths are those of stock clients, with
// slashes and a raw colon in the name of the repository. Pure.
import { parseGun, parseRoleName, TufError, type Gun, type RoleName } from '@countersign/tuf'

type FixedKind = 'ping' | 'health' | 'metrics' | 'token' | 'all-changes'

export type Route =
  | { readonly kind: FixedKind | 'unknown' | 'method-unknown' }
  | { readonly kind: 'update' | 'delete' | 'changes' | 'older-roots' | 'bring-older-roots'; readonly gun: RequestedGun }
  | { readonly kind: 'current'; readonly gun: RequestedGun; readonly role: RoleName | undefined }
  | {
      readonly kind: 'by-sha256'
      readonly gun: RequestedGun
      readonly role: RoleName | undefined
      readonly hex: string
    }
  | {
      readonly kind: 'by-version'
      readonly gun: RequestedGun
      readonly role: RoleName | undefined
      readonly version: number
    }
  | { readonly kind: 'key' | 'rotate'; readonly gun: RequestedGun; readonly role: 'snapshot' | 'timestamp' }

/** The name as it was asked for, and the repository where it can be one. */
export interface RequestedGun {
  readonly text: string
  readonly gun: Gun | undefined
}

/** Methods that the original's router knows at all. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE'])

const METADATA = /^\/v2\/([^*]+)\/_trust\/tuf\/(.*)$/
const CHANGES = /^\/v2\/([^*]+)\/_trust\/changefeed$/
/** Of ours alone: the original answers 404. */
const OLDER_ROOTS = /^\/v2\/([^*]+)\/_trust\/roots$/
const ROLE = '(root|targets(?:/[^/\\s]+)*|snapshot|timestamp)'
const BY_HASH = new RegExp(`^${ROLE}\\.([a-fA-F0-9]{64}|[a-fA-F0-9]{96}|[a-fA-F0-9]{128})\\.json$`)
const BY_VERSION = new RegExp(`^([1-9]*[0-9]+)\\.${ROLE}\\.json$`)
const CURRENT = new RegExp(`^${ROLE}\\.json$`)
const KEY = /^(snapshot|timestamp)\.key$/

/** `path` without the query, as it came. */
export function routeOf(method: string, path: string): Route {
  if (!METHODS.has(method)) return { kind: 'method-unknown' }
  const decoded = decode(path)
  if (decoded === undefined) return { kind: 'unknown' }
  const fixed = FIXED[`${method} ${decoded}`]
  if (fixed !== undefined) return { kind: fixed }
  if (method === 'GET') {
    const changes = CHANGES.exec(decoded)
    if (changes?.[1] !== undefined) return { kind: 'changes', gun: requested(changes[1]) }
  }
  const [, moved] = OLDER_ROOTS.exec(decoded) ?? []
  if (moved !== undefined && (method === 'GET' || method === 'POST')) {
    return { kind: method === 'GET' ? 'older-roots' : 'bring-older-roots', gun: requested(moved) }
  }
  const [, name, file] = METADATA.exec(decoded) ?? []
  if (name === undefined || file === undefined) return { kind: 'unknown' }
  return metadataRoute(method, requested(name), file)
}

const FIXED: Readonly<Record<string, FixedKind>> = {
  'GET /v2/': 'ping',
  'GET /v2/_trust/changefeed': 'all-changes',
  'GET /_notary_server/health': 'health',
  'GET /metrics': 'metrics',
  'GET /token': 'token',
  'POST /token': 'token',
}

function metadataRoute(method: string, gun: RequestedGun, file: string): Route {
  if (file === '') {
    return method === 'POST'
      ? { kind: 'update', gun }
      : method === 'DELETE'
        ? { kind: 'delete', gun }
        : { kind: 'unknown' }
  }
  const [, key] = KEY.exec(file) ?? []
  if (key !== undefined && (method === 'GET' || method === 'POST')) {
    return { kind: method === 'GET' ? 'key' : 'rotate', gun, role: key === 'snapshot' ? 'snapshot' : 'timestamp' }
  }
  return method === 'GET' ? fileRoute(gun, file) : { kind: 'unknown' }
}

function fileRoute(gun: RequestedGun, file: string): Route {
  const [, hashed, hex] = BY_HASH.exec(file) ?? []
  if (hashed !== undefined && hex !== undefined) return { kind: 'by-sha256', gun, role: roleOf(hashed), hex }
  const [, version, versioned] = BY_VERSION.exec(file) ?? []
  if (version !== undefined && versioned !== undefined) {
    return { kind: 'by-version', gun, role: roleOf(versioned), version: Number(version) }
  }
  const [, current] = CURRENT.exec(file) ?? []
  return current === undefined ? { kind: 'unknown' } : { kind: 'current', gun, role: roleOf(current) }
}

/**
 * `%2F` is a slash, as in the original. What could be read as another path by somebody on the way is no path here; the original
 * redirects, which its clients do not follow.
 */
function decode(path: string): string | undefined {
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return undefined
  }
  const isPlain = /^[\x20-\x7e]*$/.test(decoded) && !decoded.includes('\\') && !decoded.includes('//')
  return isPlain && !decoded.split('/').some((part) => part === '.' || part === '..') ? decoded : undefined
}

function requested(text: string): RequestedGun {
  return { text, gun: orUndefined(() => parseGun(text)) }
}

function roleOf(text: string): RoleName | undefined {
  return orUndefined(() => parseRoleName(text))
}

function orUndefined<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof TufError) return undefined
    throw error
  }
}
