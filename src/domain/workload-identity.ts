// Whose token it is: ordered rules turn the claims of a verified token into an identity of ours. No rule, no identity. Pure.
import { invalidClaim, optionalTextClaim, textClaim, type Claims, type TokenIssuer } from './id-token.ts'
import { OidcError } from './oidc-errors.ts'
import type { VerifiedOrigin } from './origin.ts'
import { matchesPattern, type Pattern } from './pattern.ts'
import type { Grant } from './principal.ts'
import { numberText, originOf, type Provider } from './workload-origin.ts'

/** An issuer whose tokens are exchanged, with what they are exchanged for. */
export interface WorkloadIssuer extends TokenIssuer {
  readonly provider: Provider
  /** Of provider `other`: the claim that names the person behind a workload. */
  readonly actorClaim?: string
  /** The first rule that matches counts. */
  readonly identities: readonly IdentityRule[]
  /** How long our token is valid. */
  readonly tokenLifetimeMs: number
  /** Exchanges within a minute. */
  readonly exchangesPerMinute: number
}

export interface IdentityRule {
  /** Every claim must be one of its patterns, as text. */
  readonly match: ReadonlyMap<string, readonly Pattern[]>
  /** The identity is `<issuer name>:<kind>:<value of the claim>`. */
  readonly id: { readonly kind: string; readonly claim: string }
  readonly groups: readonly string[]
  readonly grants: readonly Grant[]
}

/** What a token is exchanged for. */
export interface Workload {
  /** At most 256 characters; never the id of an API token, which has no colon. */
  readonly id: string
  /** For people. */
  readonly name: string
  readonly groups: readonly string[]
  readonly grants: readonly Grant[]
  readonly actor?: string
  readonly origin: VerifiedOrigin
}

/** Characters of `Principal.id`. */
const MAX_ID = 256

/** The claim that says why a run was started, and what strangers can bring about: a run on code that the owner has not taken in. */
export const EVENTS: Readonly<Record<Provider, { readonly claim: string; readonly strangers: RegExp } | undefined>> = {
  github: { claim: 'event_name', strangers: /^pull_request/ },
  gitlab: { claim: 'pipeline_source', strangers: /^(merge_request_event|external_pull_request_event)$/ },
  other: undefined,
}

/** The identity of a token that its issuer has signed. @throws OidcError OIDC_IDENTITY_UNKNOWN, OIDC_EVENT_REFUSED, OIDC_CLAIM_MISSING, OIDC_CLAIM_INVALID */
export function identify(issuer: WorkloadIssuer, claims: Claims): Workload {
  const origin = originOf(issuer.provider, issuer.issuer, claims)
  const matching = issuer.identities.filter(({ match }) =>
    [...match].every(([claim, patterns]) => matchesClaim(claims, issuer.provider, claim, patterns)),
  )
  const rule = matching.find((one) => mayStart(issuer.provider, one, origin))
  if (rule === undefined && matching.length > 0) {
    throw new OidcError('OIDC_EVENT_REFUSED', 'Runs for pull and merge requests are not taken here.', {
      issuer: issuer.name,
      event: origin.event ?? '',
    })
  }
  if (rule === undefined) {
    throw new OidcError('OIDC_IDENTITY_UNKNOWN', 'No rule of identity.issuers gives this workload an identity.', {
      issuer: issuer.name,
      repository: origin.repositoryId ?? '',
    })
  }
  const id = identifier(issuer, rule.id.kind, rule.id.claim, claims)
  const actor = actorOf(issuer, claims)
  return {
    id,
    name: (origin.repository ?? nameOf(issuer, claims) ?? id).slice(0, MAX_ID),
    groups: rule.groups,
    grants: rule.grants,
    ...(actor !== undefined && { actor }),
    origin,
  }
}

/** A run that a stranger can bring about needs a rule that names its event, exactly. */
function mayStart(provider: Provider, { match }: IdentityRule, { event }: VerifiedOrigin): boolean {
  const events = EVENTS[provider]
  if (events === undefined || event === undefined || !events.strangers.test(event)) return true
  return match.get(events.claim)?.some((pattern) => pattern === event) === true
}

function matchesClaim(claims: Claims, provider: Provider, name: string, patterns: readonly Pattern[]): boolean {
  const text = claimText(claims, provider, name)
  return text !== undefined && patterns.some((pattern) => matchesPattern(pattern, text))
}

/** A claim as text, where it says anything. Whole numbers are written out; GitHub and GitLab write truth values as text themselves. */
function claimText(claims: Claims, provider: Provider, name: string): string | undefined {
  const value = claims.get(name)
  if (typeof value === 'number') return String(value)
  if (typeof value === 'boolean' && provider === 'other') return String(value)
  return optionalTextClaim(claims, name)
}

function actorOf(issuer: WorkloadIssuer, claims: Claims): string | undefined {
  if (issuer.provider === 'other') {
    return issuer.actorClaim === undefined ? undefined : identifier(issuer, 'user', issuer.actorClaim, claims)
  }
  const claim = issuer.provider === 'github' ? 'actor_id' : 'user_id'
  numberText(claims, claim)
  return identifier(issuer, 'user', claim, claims)
}

function nameOf(issuer: WorkloadIssuer, claims: Claims): string | undefined {
  return issuer.provider === 'other' ? optionalTextClaim(claims, 'preferred_username') : undefined
}

function identifier({ name, provider }: WorkloadIssuer, kind: string, claim: string, claims: Claims): string {
  const value = claimText(claims, provider, claim) ?? textClaim(claims, claim)
  const id = `${name}:${kind}:${value}`
  if (id.length > MAX_ID) throw invalidClaim(claim, 'is too long for an identity')
  return id
}
