// Exchanges the token of an issuer, once, for a short-lived one of ours that is bound to its claims (RFC 8693). The order: verify, find
// the identity, look whether it is spent, count, record, and only then spend and store in one transaction.
import { createHash } from 'node:crypto'
import { OidcError } from '../domain/oidc-errors.ts'
import type { SpentToken, TokenRecord } from '../domain/ports.ts'
import { identify, type Workload, type WorkloadIssuer } from '../domain/workload-identity.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { Rate } from './rate.ts'
import type { ExchangeService } from './services.ts'
import { hashSecret, newSecret } from './token-secret.ts'
import { describeGrants } from './tokens.ts'

type ExchangeDependencies = Pick<
  ServiceDependencies,
  'tokens' | 'keyHolder' | 'clock' | 'identifiers' | 'random' | 'observer' | 'verifier'
>

/** Spent tokens are remembered for longer than they are accepted: a clock may be set back. */
const KEEP_SPENT_MS = 3_600_000
/** How often what has ended is forgotten. */
const PURGE_EVERY_MS = 60_000
/** Characters of one fact of the audit log. */
const MAX_FACT = 1024

export class TokenExchange implements ExchangeService {
  readonly #dependencies: ExchangeDependencies
  readonly #rates = new Map<string, Rate>()
  /** Between the look and the transaction: the same token must not get past the look twice. */
  readonly #underWay = new Set<string>()
  #purgedAt = Number.NEGATIVE_INFINITY

  constructor(dependencies: ExchangeDependencies) {
    this.#dependencies = dependencies
  }

  async exchange(text: string): Promise<{ readonly token: TokenRecord; readonly secret: string }> {
    try {
      return await this.#exchange(text)
    } catch (error) {
      if (error instanceof OidcError) {
        this.#dependencies.observer.exchangeRefused({ code: error.code, facts: error.facts })
      }
      throw error
    }
  }

  async #exchange(text: string): Promise<{ readonly token: TokenRecord; readonly secret: string }> {
    const { tokens, verifier, clock } = this.#dependencies
    const { issuer, claims, tokenId, acceptedUntil } = await verifier.verify(text)
    const workload = identify(issuer, claims)
    const spent: SpentToken = {
      issuer: issuer.issuer,
      tokenIdSha256: createHash('sha256').update(tokenId).digest('hex'),
      acceptedUntil: new Date(acceptedUntil.getTime() + KEEP_SPENT_MS),
    }
    const key = `${issuer.name} ${spent.tokenIdSha256}`
    if (tokens.isSpent(spent) || this.#underWay.has(key)) {
      throw new OidcError('OIDC_TOKEN_SPENT', 'This token was exchanged before.', { issuer: issuer.name })
    }
    // Counted only now: whoever has no identity here must not keep those out who have.
    this.#count(issuer, clock.now().getTime())
    this.#underWay.add(key)
    try {
      return await this.#store(issuer, workload, spent)
    } finally {
      this.#underWay.delete(key)
    }
  }

  #count({ name, exchangesPerMinute }: WorkloadIssuer, now: number): void {
    const rate = this.#rates.get(name) ?? new Rate(exchangesPerMinute, now)
    this.#rates.set(name, rate)
    if (rate.take(now)) return
    throw new OidcError('OIDC_RATE_EXCEEDED', 'More tokens of this issuer are exchanged than it may have.', {
      issuer: name,
      perMinute: exchangesPerMinute,
    })
  }

  async #store(
    issuer: WorkloadIssuer,
    workload: Workload,
    spent: SpentToken,
  ): Promise<{ readonly token: TokenRecord; readonly secret: string }> {
    const { tokens, keyHolder, clock, identifiers, random, observer } = this.#dependencies
    const now = clock.now()
    const secret = newSecret(random)
    const { id, name, groups, grants, actor, origin } = workload
    const token: TokenRecord = {
      id: identifiers.next('token'),
      name,
      secretSha256: hashSecret(secret),
      grants,
      groups,
      createdAt: now,
      createdBy: id,
      expiresAt: new Date(now.getTime() + issuer.tokenLifetimeMs),
      workload: { id, issuer: issuer.name, ...(actor !== undefined && { actor }), origin },
    }
    // Record before act. A crash after this line leaves a record of a token that nobody has; the issuer's can be sent again.
    await keyHolder.appendRecord('token-exchanged', factsOf(token, workload, spent))
    this.#purge(now)
    tokens.exchange(spent, token)
    observer.tokenExchanged({ token: token.id, identity: id, issuer: issuer.name })
    return { token, secret }
  }

  #purge(now: Date): void {
    if (Math.abs(now.getTime() - this.#purgedAt) < PURGE_EVERY_MS) return
    this.#dependencies.tokens.purge(now)
    this.#purgedAt = now.getTime()
  }
}

/** Who, and from where, as far as the issuer said it. */
function factsOf(
  token: TokenRecord,
  { id, groups, grants, actor, origin }: Workload,
  { tokenIdSha256 }: SpentToken,
): Readonly<Record<string, string | number | boolean>> {
  const said = Object.entries(origin).map(([name, value]: [string, string | number | boolean]) => [
    name,
    typeof value === 'string' ? value.slice(0, MAX_FACT) : value,
  ])
  return {
    token: token.id,
    by: id,
    grants: describeGrants(grants),
    ...(groups.length > 0 && { groups: groups.join(', ') }),
    ...(actor !== undefined && { actor }),
    subjectSha256: tokenIdSha256,
    expiresAt: token.expiresAt?.toISOString() ?? '',
    ...(Object.fromEntries(said) as Record<string, string | number | boolean>),
  }
}
