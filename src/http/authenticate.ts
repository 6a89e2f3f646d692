// Who asks: from the Authorization header to a Principal. Permission is another matter, and the services' own.
import type { Principal } from '../domain/principal.ts'
import { HttpError } from './errors.ts'

/** `cs_` and 32 random bytes in base64url. What does not look like this is not looked up. */
const TOKEN = /^cs_[A-Za-z0-9_-]{43}$/

/** Looks a token up by its hash, in time that does not depend on how much of it is right; notes that it was used. */
export interface TokenLookup {
  authenticate(secret: string): Principal | undefined
}

/** The identity behind the header. @throws HttpError TOKEN_MISSING, TOKEN_INVALID; neither tells unknown from revoked or expired */
export function authenticate(header: string | undefined, tokens: TokenLookup): Principal {
  const secret = bearerOf(header)
  const principal = TOKEN.test(secret) ? tokens.authenticate(secret) : undefined
  if (principal === undefined) throw new HttpError('TOKEN_INVALID', 'The token is unknown, revoked or expired.')
  return principal
}

/** What stands behind `Bearer`. @throws HttpError TOKEN_MISSING */
export function bearerOf(header: string | undefined): string {
  if (header === undefined || header === '') {
    throw new HttpError(
      'TOKEN_MISSING',
      'The request has no Authorization header, and its connection proves no identity.',
    )
  }
  const match = /^Bearer +([^ ]+)$/i.exec(header)
  if (match?.[1] === undefined) throw new HttpError('TOKEN_MISSING', 'The Authorization header is not: Bearer TOKEN.')
  return match[1]
}
