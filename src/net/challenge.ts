// The WWW-Authenticate header: which scheme a server wants, and where it says tokens come from. Pure, and strict: a challenge
// that two readers could understand differently is refused. RFC 9110, 11.6.1; distribution docs/spec/auth/token.md.
import { NetError } from './errors.ts'

export type Challenge =
  { readonly scheme: 'basic' } | { readonly scheme: 'bearer'; readonly realm: URL; readonly service?: string }

const MAX_LENGTH = 4096
const SCHEME = /^\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+|$)/
const PARAMETER = /^([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,\s*|$)/

/**
 * The first challenge of the header; other schemes that follow it are not looked at.
 * @throws NetError CHALLENGE_MALFORMED, CHALLENGE_UNSUPPORTED
 */
export function parseChallenge(header: string): Challenge {
  if (header.length > MAX_LENGTH) throw malformed('it is too long')
  const match = SCHEME.exec(header)
  const scheme = match?.[1]?.toLowerCase()
  if (match === null || scheme === undefined) throw malformed('it names no scheme')
  if (scheme === 'basic') return { scheme }
  if (scheme !== 'bearer') {
    throw new NetError('CHALLENGE_UNSUPPORTED', 'The server asks for an authentication scheme that is not supported.', {
      scheme,
    })
  }
  const parameters = readParameters(header.slice(match[0].length))
  const text = parameters.get('realm') ?? ''
  const realm = readUrl(text)
  if (realm === null || realm.username !== '' || realm.password !== '' || realm.hash !== '')
    throw malformed('its realm is no URL')
  const service = parameters.get('service')
  return service === undefined ? { scheme, realm } : { scheme, realm, service }
}

function readParameters(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>()
  for (let rest = text; rest !== '';) {
    const match = PARAMETER.exec(rest)
    const name = match?.[1]?.toLowerCase()
    if (match === null || name === undefined) throw malformed('its parameters cannot be read')
    if (parameters.has(name)) throw malformed('a parameter stands twice')
    parameters.set(name, match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? '')
    rest = rest.slice(match[0].length)
  }
  return parameters
}

/** Not by URL.canParse: once optimized, that of Node 20 reads Latin-1 as UTF-8, and accepts what the constructor then refuses. */
function readUrl(text: string): URL | null {
  try {
    return new URL(text)
  } catch {
    return null
  }
}

function malformed(why: string): NetError {
  return new NetError('CHALLENGE_MALFORMED', `The server's WWW-Authenticate header is refused: ${why}.`, { why })
}
