// Rows for the refusals of a workload's token.
import type { OidcErrorCode } from '../../domain/oidc-errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

const ISSUER = 'Check which token the pipeline sends: it must be the ID token of its issuer, as it came.'
const SETTINGS = 'Ask an operator: identity.issuers says which workloads are known here.'
const AGAIN = 'Have the issuer make a new token, and exchange it at once; check the clocks of both machines.'

export const OIDC_PROBLEMS = {
  OIDC_TOKEN_MALFORMED: refuse(400, 'The subject token is not a signed JWT as it is read here', ISSUER),
  OIDC_HEADER_REFUSED: refuse(
    400,
    'The header of the subject token names keys or changes what is signed, or the token is of another kind',
    ISSUER,
  ),
  OIDC_ALGORITHM_REFUSED: refuse(
    403,
    'The subject token is signed with an algorithm that is not allowed',
    'If the issuer does sign so, an operator may add the algorithm to identity.issuers[].algorithms.',
  ),
  OIDC_CLAIM_MISSING: refuse(400, 'The subject token lacks a claim', ISSUER),
  OIDC_CLAIM_INVALID: refuse(400, 'A claim of the subject token is not as it must be', ISSUER),
  OIDC_ISSUER_UNKNOWN: refuse(403, 'The issuer of the subject token is not configured', SETTINGS),
  OIDC_AUDIENCE_WRONG: refuse(
    403,
    'The subject token was made for another audience',
    'Ask the issuer for a token with exactly the audience that the operator gave to this server.',
  ),
  OIDC_TOKEN_EXPIRED: refuse(403, 'The subject token has expired', AGAIN),
  OIDC_TOKEN_NOT_YET_VALID: refuse(403, 'The subject token is not valid yet', AGAIN),
  OIDC_TOKEN_TOO_OLD: refuse(403, 'The subject token was made too long ago', AGAIN),
  OIDC_KEY_UNKNOWN: refuse(
    403,
    'The subject token is signed with a key that its issuer does not publish',
    'Send a fresh token; where the keys were uploaded, an operator must upload the new ones.',
  ),
  OIDC_SIGNATURE_INVALID: refuse(403, 'The signature of the subject token is wrong', ISSUER),
  OIDC_PROVIDER_UNREACHABLE: retry(
    503,
    'The keys of the issuer cannot be read now',
    'Send the request again; an operator may have to look at the issuer or the network.',
  ),
  OIDC_PROVIDER_INVALID: refuse(
    502,
    'The issuer does not answer as it must',
    'An operator must correct identity.issuers, or find out who answers in the place of the issuer.',
  ),
  OIDC_IDENTITY_UNKNOWN: refuse(403, 'No rule gives this workload an identity', SETTINGS),
  OIDC_EVENT_REFUSED: refuse(
    403,
    'Runs that strangers can start get no identity',
    'Sign in a run for a push, tag or release; or an operator names the event in the rule.',
  ),
  OIDC_TOKEN_SPENT: refuse(
    403,
    'The subject token was exchanged before',
    'Each token is exchanged once: keep what came of it, or have the issuer make a new one.',
  ),
  OIDC_RATE_EXCEEDED: retry(429, 'Too many tokens of this issuer are exchanged', 'Wait, then send the request again.'),
  OIDC_LOGIN_NOT_CONFIGURED: refuse(
    404,
    'People cannot sign in here',
    'Use a token that an administrator made; or an operator names a provider in identity.issuers[].login.',
  ),
} as const satisfies Record<OidcErrorCode, ProblemRow>
