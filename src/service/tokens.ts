// API tokens: made, listed, revoked, and looked up when they are presented. A secret is shown once and never stored.
import { DomainError } from '../domain/errors.ts'
import { parsePattern } from '../domain/pattern.ts'
import {
  type Grant,
  GRANT_KINDS,
  GROUP_NAME,
  type GrantKind,
  isGrantedAnywhere,
  mayHandOut,
  type Principal,
} from '../domain/principal.ts'
import type { TokenRecord } from '../domain/ports.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { NewToken, TokenService } from './services.ts'
import { hashSecret, isSecret, newSecret } from './token-secret.ts'

type TokenDependencies = Pick<
  ServiceDependencies,
  'tokens' | 'keyHolder' | 'clock' | 'identifiers' | 'random' | 'verifier'
>

/** What `create` and `rotate` answer with. */
interface WithSecret {
  readonly token: TokenRecord
  readonly secret: string
}

/** How exactly the last use of a token is kept: not every call is worth a write. */
const TOUCH_EVERY_MS = 300_000
const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._@/:-]{0,99}$/u
const MAX_GRANTS = 50
const MAX_GROUPS = 32

export class Tokens implements TokenService {
  readonly #dependencies: TokenDependencies

  /** Identities that came with a secret that was replaced already. */
  readonly #byPrevious = new WeakSet<Principal>()

  constructor(dependencies: TokenDependencies) {
    this.#dependencies = dependencies
  }

  authenticate(secret: string): Principal | undefined {
    if (!isSecret(secret)) return undefined
    const { tokens, clock } = this.#dependencies
    const hash = hashSecret(secret)
    const token = tokens.findBySecret(hash)
    const now = clock.now()
    if (token === undefined || !this.#isValid(token, hash, now)) return undefined
    this.#touch(token, now)
    const principal = principalOf(token)
    if (token.secretSha256 !== hash) this.#byPrevious.add(principal)
    return principal
  }

  async create(principal: Principal, request: NewToken): Promise<WithSecret> {
    requireAdmin(principal)
    const grants = parseGrants(request.grants)
    const groups = parseGroups(request.groups ?? [])
    requireReach(principal, { grants, groups })
    return this.#store(principal.id, { ...request, grants, groups })
  }

  async createFirst(name: string): Promise<WithSecret | undefined> {
    if (this.#dependencies.tokens.list().length > 0) return undefined
    return this.#store('first start', { name, grants: EVERYWHERE, groups: [] })
  }

  list(principal: Principal, kind: 'made' | 'exchanged' = 'made'): readonly TokenRecord[] {
    requireAdmin(principal)
    const { tokens } = this.#dependencies
    const all = kind === 'made' ? tokens.list() : tokens.listExchanged()
    return all.filter(({ grants }) => mayHandOut(principal, grants))
  }

  async revoke(principal: Principal, id: string): Promise<void> {
    requireAdmin(principal)
    const token = this.#find(id)
    if (!mayHandOut(principal, token.grants)) throw escalation()
    // Here the act comes first: a revocation must not wait for a log that cannot be written. The failure is still reported.
    this.#dependencies.tokens.revoke(id, this.#dependencies.clock.now())
    const { name } = token
    await this.#dependencies.keyHolder.appendRecord('token-revoked', { token: id, name, by: principal.id })
  }

  async rotate(principal: Principal, id: string, overlapMs: number): Promise<WithSecret> {
    // A secret that was replaced must not bring about a third one: it may be the reason for the rotation.
    const isOwn = principal.id === id && !this.#byPrevious.has(principal)
    if (!isOwn) requireAdmin(principal)
    const { tokens, keyHolder, clock, random } = this.#dependencies
    const token = this.#find(id)
    if (!isOwn) requireReach(principal, token)
    const now = clock.now()
    if (token.workload !== undefined || !this.#isValid(token, token.secretSha256, now)) {
      throw new DomainError('TOKEN_NOT_ROTATABLE', 'The token was exchanged, revoked, or has expired.', { token: id })
    }
    const secret = newSecret(random)
    const previous =
      overlapMs === 0
        ? undefined
        : { secretSha256: token.secretSha256, validUntil: new Date(now.getTime() + overlapMs) }
    await keyHolder.appendRecord('token-rotated', {
      token: id,
      name: token.name,
      by: principal.id,
      previousValidUntil: (previous?.validUntil ?? now).toISOString(),
    })
    tokens.rotate(id, token.secretSha256, hashSecret(secret), previous)
    return { token: tokens.find(id) ?? token, secret }
  }

  #find(id: string): TokenRecord {
    const token = this.#dependencies.tokens.find(id)
    if (token !== undefined) return token
    throw new DomainError('TOKEN_NOT_FOUND', 'There is no such token.', { token: id.slice(0, 64) })
  }

  #isValid(token: TokenRecord, hash: string, now: Date): boolean {
    const { revokedAt, expiresAt, previous, workload } = token
    if (revokedAt !== undefined || (expiresAt !== undefined && now >= expiresAt)) return false
    if (workload !== undefined && !this.#dependencies.verifier.knows(workload.issuer)) return false
    return token.secretSha256 === hash || (previous !== undefined && now < previous.validUntil)
  }

  #touch({ id, lastUsedAt }: TokenRecord, now: Date): void {
    if (lastUsedAt !== undefined && Math.abs(now.getTime() - lastUsedAt.getTime()) < TOUCH_EVERY_MS) return
    try {
      this.#dependencies.tokens.touch(id, now)
    } catch {
      // A database that cannot be written refuses what changes anything; reading goes on.
    }
  }

  async #store(
    createdBy: string,
    {
      name,
      grants,
      groups,
      expiresAt,
    }: { name: string; grants: readonly Grant[]; groups: readonly string[]; expiresAt?: Date },
  ): Promise<WithSecret> {
    const { tokens, keyHolder, clock, identifiers, random } = this.#dependencies
    const now = clock.now()
    if (!NAME.test(name)) throw new DomainError('TOKEN_NAME_INVALID', 'Give the token a name of 1 to 100 characters.')
    if (expiresAt !== undefined && expiresAt <= now) {
      throw new DomainError('GRANT_INVALID', 'The token would have expired already.', {
        expiresAt: expiresAt.toISOString(),
      })
    }
    const secret = newSecret(random)
    const token: TokenRecord = {
      id: identifiers.next('token'),
      name,
      secretSha256: hashSecret(secret),
      grants,
      groups,
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
      ...(groups.length > 0 && { groups: groups.join(', ') }),
    })
    tokens.create(token)
    return { token, secret }
  }
}

/** Every grant on every repository. */
const EVERYWHERE: readonly Grant[] = GRANT_KINDS.map((grant) => ({ grant, repositories: [parsePattern('*')] }))

function principalOf({ id, name, grants, groups, workload }: TokenRecord): Principal {
  return {
    id: workload?.id ?? id,
    name,
    grants,
    ...(groups.length > 0 && { groups }),
    ...(workload?.actor !== undefined && { actor: workload.actor }),
    ...(workload !== undefined && { origin: workload.origin }),
  }
}

/** @throws DomainError GRANT_INVALID */
function parseGroups(groups: readonly string[]): readonly string[] {
  if (groups.length <= MAX_GROUPS && groups.every((group) => GROUP_NAME.test(group))) return [...new Set(groups)]
  throw new DomainError('GRANT_INVALID', `Give at most ${MAX_GROUPS} groups of a-z, 0-9, . _ and -.`)
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

function requireAdmin(principal: Principal): void {
  if (isGrantedAnywhere(principal, 'admin')) return
  throw new DomainError('NOT_PERMITTED', 'This identity has no grant "admin".', { grant: 'admin' })
}

/** A group counts in the policies of every repository, whatever the grants of its members. @throws DomainError GRANT_ESCALATION */
function requireReach(principal: Principal, { grants, groups }: Pick<TokenRecord, 'grants' | 'groups'>): void {
  if (!mayHandOut(principal, groups.length > 0 ? EVERYWHERE : grants)) throw escalation()
}

function escalation(): DomainError {
  return new DomainError('GRANT_ESCALATION', 'These grants reach beyond the repositories that you administer.')
}

/** At most what one fact of the audit log holds. */
export function describeGrants(grants: readonly Grant[]): string {
  return grants
    .map(({ grant, repositories }) => `${grant}: ${repositories.join(', ')}`)
    .join('; ')
    .slice(0, 4000)
}
