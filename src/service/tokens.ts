// API tokens: made, listed, revoked, and looked up when they are presented. A secret is shown once and never stored.
import { createHash } from 'node:crypto'
import { DomainError } from '../domain/errors.ts'
import { parsePattern } from '../domain/pattern.ts'
import {
  type Grant,
  GRANT_KINDS,
  type GrantKind,
  isGrantedAnywhere,
  mayHandOut,
  type Principal,
} from '../domain/principal.ts'
import type { TokenRecord } from '../domain/ports.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { TokenService } from './services.ts'

type TokenDependencies = Pick<ServiceDependencies, 'tokens' | 'keyHolder' | 'clock' | 'identifiers' | 'random'>

/** Bytes of randomness in a secret: nobody guesses it, so a plain hash is enough to store it. */
const SECRET_BYTES = 32
const SECRET = /^cs_[A-Za-z0-9_-]{43}$/
const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._@/:-]{0,99}$/u
const MAX_GRANTS = 50

export class Tokens implements TokenService {
  readonly #dependencies: TokenDependencies

  constructor(dependencies: TokenDependencies) {
    this.#dependencies = dependencies
  }

  authenticate(secret: string): Principal | undefined {
    if (!SECRET.test(secret)) return undefined
    const token = this.#dependencies.tokens.findBySecret(hashSecret(secret))
    if (token === undefined || !isValid(token, this.#dependencies.clock.now())) return undefined
    return { id: token.id, name: token.name, grants: token.grants }
  }

  async create(
    principal: Principal,
    request: { name: string; grants: readonly { grant: string; repositories: readonly string[] }[]; expiresAt?: Date },
  ): Promise<{ readonly token: TokenRecord; readonly secret: string }> {
    requireAdmin(principal)
    const grants = parseGrants(request.grants)
    if (!mayHandOut(principal, grants)) throw escalation()
    return this.#store(principal.id, { ...request, grants })
  }

  async createFirst(name: string): Promise<{ readonly token: TokenRecord; readonly secret: string } | undefined> {
    if (this.#dependencies.tokens.list().length > 0) return undefined
    const all = [parsePattern('*')]
    return this.#store('first start', { name, grants: GRANT_KINDS.map((grant) => ({ grant, repositories: all })) })
  }

  list(principal: Principal): readonly TokenRecord[] {
    requireAdmin(principal)
    return this.#dependencies.tokens.list().filter(({ grants }) => mayHandOut(principal, grants))
  }

  async revoke(principal: Principal, id: string): Promise<void> {
    requireAdmin(principal)
    const token = this.#dependencies.tokens.find(id)
    if (token === undefined)
      throw new DomainError('TOKEN_NOT_FOUND', 'There is no such token.', { token: id.slice(0, 64) })
    if (!mayHandOut(principal, token.grants)) throw escalation()
    // Here the act comes first: a revocation must not wait for a log that cannot be written. The failure is still reported.
    this.#dependencies.tokens.revoke(id, this.#dependencies.clock.now())
    await this.#dependencies.keyHolder.appendRecord('token-revoked', { token: id, name: token.name, by: principal.id })
  }

  async #store(
    createdBy: string,
    { name, grants, expiresAt }: { name: string; grants: readonly Grant[]; expiresAt?: Date },
  ): Promise<{ readonly token: TokenRecord; readonly secret: string }> {
    const { tokens, keyHolder, clock, identifiers, random } = this.#dependencies
    const now = clock.now()
    if (!NAME.test(name)) throw new DomainError('TOKEN_NAME_INVALID', 'Give the token a name of 1 to 100 characters.')
    if (expiresAt !== undefined && expiresAt <= now) {
      throw new DomainError('GRANT_INVALID', 'The token would have expired already.', {
        expiresAt: expiresAt.toISOString(),
      })
    }
    const secret = `cs_${Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url')}`
    const token: TokenRecord = {
      id: identifiers.next('token'),
      name,
      secretSha256: hashSecret(secret),
      grants,
      createdAt: now,
      createdBy,
      ...(expiresAt === undefined ? {} : { expiresAt }),
    }
    // Record before act: a token that works is in the log.
    await keyHolder.appendRecord('token-created', {
      token: token.id,
      name,
      by: createdBy,
      grants: describeGrants(grants),
    })
    tokens.create(token)
    return { token, secret }
  }
}

/** @throws DomainError GRANT_INVALID */
export function parseGrants(
  grants: readonly { readonly grant: string; readonly repositories: readonly string[] }[],
): readonly Grant[] {
  const isCountRight = grants.length >= 1 && grants.length <= MAX_GRANTS
  if (!isCountRight || grants.some(({ repositories }) => repositories.length < 1 || repositories.length > MAX_GRANTS)) {
    throw new DomainError('GRANT_INVALID', `Give 1 to ${MAX_GRANTS} grants, each with 1 to ${MAX_GRANTS} patterns.`)
  }
  return grants.map(({ grant, repositories }) => {
    if (!isGrantKind(grant)) {
      throw new DomainError('GRANT_INVALID', `A grant is one of ${GRANT_KINDS.join(', ')}.`, {
        grant: grant.slice(0, 64),
      })
    }
    return { grant, repositories: repositories.map(parsePattern) }
  })
}

function isGrantKind(text: string): text is GrantKind {
  return GRANT_KINDS.some((kind) => kind === text)
}

function isValid({ revokedAt, expiresAt }: TokenRecord, now: Date): boolean {
  return revokedAt === undefined && (expiresAt === undefined || now < expiresAt)
}

function requireAdmin(principal: Principal): void {
  if (isGrantedAnywhere(principal, 'admin')) return
  throw new DomainError('NOT_PERMITTED', 'This identity has no grant "admin".', { grant: 'admin' })
}

function escalation(): DomainError {
  return new DomainError('GRANT_ESCALATION', 'These grants reach beyond the repositories that you administer.')
}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** At most what one fact of the audit log holds. */
function describeGrants(grants: readonly Grant[]): string {
  return grants
    .map(({ grant, repositories }) => `${grant}: ${repositories.join(', ')}`)
    .join('; ')
    .slice(0, 4000)
}
