// What the domain needs remembered. Calls are synchronous: each is one durable transaction, and nothing runs in between.
// Every method may throw StoreError, which means that nothing was written.
import type { Gun, TargetName } from '@countersign/tuf'
import type { DriftCounts, SignedTag } from './drift.ts'
import type { DomainError } from './errors.ts'
import type { VerifiedOrigin } from './origin.ts'
import type { Grant } from './principal.ts'
import type { Publication } from './publication.ts'
import type { PushCounts, PushedImage, PushedTag } from './push-event.ts'
import type { Repository } from './repository.ts'
import type { FeedPositions } from './trust-feed.ts'
import type { WebhookNews } from './webhook-event.ts'
import type { ImageRecord, RequestStatus, RoleVersion, SigningRequest, Submitter } from './signing-request.ts'

export interface IdempotencyKey {
  /** Keys of different identities never meet. */
  readonly principal: string
  readonly key: string
  /** Hex SHA-256 over the meaning of the request. */
  readonly bodySha256: string
}

export interface ImageUpdate {
  readonly request: string
  /** Position in the request, from 0. */
  readonly position: number
  /** The revision that was read. */
  readonly revision: number
  readonly record: ImageRecord
}

/** One image of one request, with what is needed to move it. */
export interface PendingImage {
  readonly request: string
  readonly position: number
  readonly kind: SigningRequest['kind']
  readonly submitter: Submitter
  /** The policy that was asked for. */
  readonly policy?: string
  readonly origin?: string
  readonly revision: number
  readonly record: ImageRecord
}

export interface RequestQuery {
  /** At most this many; 1 to 200. */
  readonly limit: number
  readonly cursor?: string
  readonly gun?: Gun
  readonly status?: RequestStatus
  /** Asked for each request; what it refuses does not count toward the limit. */
  readonly isVisible: (request: SigningRequest) => boolean
}

/** What `create` answers or throws. */
export type CreationOutcome =
  { readonly request: SigningRequest; readonly isRepeated: boolean } | { readonly refusal: DomainError }

export interface RequestStore {
  /**
   * Stores a new request, or answers with the one that the same key stored before.
   * @throws DomainError IDEMPOTENCY_KEY_REUSED (same key, other body), RECORD_EXISTS
   */
  create(request: SigningRequest, idempotency?: IdempotencyKey): { request: SigningRequest; isRepeated: boolean }
  /** As `create` for each, in one transaction: each outcome stands for itself, and none is told before all are durable. */
  createAll(
    submissions: readonly (readonly [request: SigningRequest, idempotency: IdempotencyKey | undefined])[],
  ): readonly CreationOutcome[]
  /** The request that this key stored before. @throws DomainError IDEMPOTENCY_KEY_REUSED */
  findRepeated(idempotency: IdempotencyKey): SigningRequest | undefined
  find(id: string): SigningRequest | undefined
  /** The newest request for this digest that was made for an event, or signed it, whoever asked for that. Undefined: events may ask. */
  findAsked(gun: Gun, tag: TargetName, sha256: string): string | undefined
  /** Newest first. @throws DomainError CURSOR_INVALID */
  list(query: RequestQuery): { requests: readonly SigningRequest[]; nextCursor?: string }
  /** Images that are not final, oldest first; of one repository or of all. */
  unfinished(gun?: Gun): readonly PendingImage[]
  /** How many images were asked for since then: by one identity, or in one repository. */
  countImages(since: Date, of: { readonly submitter: string } | { readonly gun: Gun }): number
  /** Whether this version was signed for a publication of ours; of a role's last 2,000 versions. */
  hasSigned(gun: Gun, version: RoleVersion): boolean
  /** By tag: the digest at which it was signed here last, and when; a tag that was unsigned since is absent. */
  lastSigned(gun: Gun): ReadonlyMap<string, { readonly sha256: string; readonly at: Date }>
  /** The role versions that the repository's newest published images were proven with: a memory of what was once current. */
  proven(gun: Gun): readonly RoleVersion[]
  /**
   * Moves images, and in the same transaction stores a publication or its signed files, or drops the files of one that has ended.
   * @throws DomainError RECORD_CHANGED where a revision is not the one that was read (then nothing is written)
   */
  save(updates: readonly ImageUpdate[], publication?: Publication, forgetFilesOf?: string): void
  publication(id: string): Publication | undefined
}

export interface RepositoryStore {
  /** @throws DomainError RECORD_EXISTS */
  create(repository: Repository): void
  /** Writes all but `gun`, `createdAt` and `createdBy`; `revision` is the one that was read. @throws DomainError RECORD_CHANGED */
  update(repository: Repository): Repository
  /** Its requests stay. `revision` is the one that was read. @throws DomainError RECORD_CHANGED */
  remove(repository: Pick<Repository, 'gun' | 'revision'>): void
  find(gun: Gun): Repository | undefined
  /** By GUN, in byte order. */
  list(): readonly Repository[]
}

export interface TokenRecord {
  readonly id: string
  readonly name: string
  /** Hex SHA-256 of the secret, which itself is stored nowhere. */
  readonly secretSha256: string
  readonly grants: readonly Grant[]
  /** Names that policies know groups of identities by. */
  readonly groups: readonly string[]
  readonly createdAt: Date
  readonly createdBy: string
  readonly expiresAt?: Date
  readonly revokedAt?: Date
  /** Kept to within a few minutes. */
  readonly lastUsedAt?: Date
  /** The secret before the last rotation, while it is still taken. */
  readonly previous?: PreviousSecret
  /** Of a token that was exchanged for one of an issuer: whose it is. Absent: an administrator made it. */
  readonly workload?: TokenWorkload
}

export interface PreviousSecret {
  readonly secretSha256: string
  readonly validUntil: Date
}

/** As `Workload`, which it was made from. */
export interface TokenWorkload {
  readonly id: string
  /** Name of the issuer in the configuration. */
  readonly issuer: string
  readonly actor?: string
  readonly origin: VerifiedOrigin
}

/** What tells a token of an issuer from all others, while it could be presented again. */
export interface SpentToken {
  readonly issuer: string
  readonly tokenIdSha256: string
  readonly acceptedUntil: Date
}

export interface TokenStore {
  /** @throws DomainError RECORD_EXISTS */
  create(token: TokenRecord): void
  find(id: string): TokenRecord | undefined
  /** By its secret, or by the one before. */
  findBySecret(secretSha256: string): TokenRecord | undefined
  /** Those that administrators made, revoked ones included, oldest first. */
  list(): readonly TokenRecord[]
  /** Likewise those that were exchanged. */
  listExchanged(): readonly TokenRecord[]
  /** Keeps the first time of revocation. */
  revoke(id: string, at: Date): void
  touch(id: string, at: Date): void
  /** Gives the token another secret. `from` is the hash of the one that was read. @throws DomainError RECORD_CHANGED */
  rotate(id: string, from: string, secretSha256: string, previous: PreviousSecret | undefined): void
  isSpent(token: Pick<SpentToken, 'issuer' | 'tokenIdSha256'>): boolean
  /** Spends a token of an issuer for one of ours: both or neither. @throws OidcError OIDC_TOKEN_SPENT; DomainError RECORD_EXISTS */
  exchange(spent: SpentToken, token: TokenRecord): void
  /** Forgets exchanged and spent tokens that nobody can use any more. */
  purge(now: Date): void
}

/** What was published at the last look, so that the next one sees what is new, also after a restart. */
export interface SeenVersions extends FeedPositions {
  /** Root and targets roles; empty: nobody has looked yet. */
  seen(gun: Gun): readonly RoleVersion[]
  /** Takes the place of what was seen, and stores the events in the same transaction. */
  noteSeen(gun: Gun, roles: readonly RoleVersion[], news: readonly WebhookNews[]): void
}

/** The tags that were signed here, in the order in which they are to be asked for. */
export interface SignedTags {
  /** The one that was queued first, if it was before this moment. */
  next(queuedBefore: Date): SignedTag | undefined
  /**
   * Stores what is known now, with the event in the same transaction. What was signed since it was read stays, and is asked for at once.
   * @param read as `next` gave it
   */
  note(read: SignedTag, tag: SignedTag, queuedAt: Date, news?: WebhookNews): void
  /** Unless it was signed anew since it was read. */
  forget(read: SignedTag, news?: WebhookNews): void
  /** Queues every tag of a registry behind this moment. */
  postpone(registry: string, queuedAt: Date): void
  /** Has it asked for next. Nothing where it was not signed here. */
  hurry(gun: Gun, tag: TargetName): void
  /** Those that stand otherwise than signed, newest first. */
  drifted(gun: Gun, limit: number): readonly SignedTag[]
  counts(gun?: Gun): DriftCounts
}

/** A tag that is to be looked at, as it was read. */
export interface DueTag extends PushedTag {
  /** Another one means that somebody has made it due again. */
  readonly mark: string
}

/** The tags that were pushed and are not signed, in the order in which they are to be looked at. */
export interface PushedTags {
  /**
   * Stores what an event told: all of it or nothing, and what is there already once. Due at once.
   * @param limit claims of this source that may wait @throws DomainError PUSH_QUEUE_FULL
   */
  add(images: readonly PushedImage[], source: string, at: Date, limit: number): void
  /** Those that are due, first those that have been for longest. */
  due(now: Date, limit: number): readonly DueTag[]
  /** Stores what was found, and drops the claims that were read. What was told since is due at once. */
  note(read: DueTag, found: Pick<PushedTag, 'sha256' | 'request'>, dueAt: Date): void
  /** Keeps the claims for later. */
  defer(read: DueTag, trouble: string, dueAt: Date): void
  /** Drops the claims that were read and, where nothing was told since, the tag; with the event in the same transaction. */
  forget(read: DueTag, news?: WebhookNews): void
  /** Lets every tag of a registry wait until then, with this trouble. */
  postpone(registry: string, trouble: string, dueAt: Date): void
  /** Oldest first. */
  list(gun: Gun, limit: number): readonly PushedTag[]
  counts(gun?: Gun): PushCounts
  /** Those that are known since before then, and of which nobody was told. */
  overdue(before: Date, limit: number): readonly PushedTag[]
  /** Remembers that it was told, with the event in the same transaction. */
  noteTold(tag: PushedTag, at: Date, news: WebhookNews): void
}

/** Whether the store can take a write now, for readiness. @throws StoreError */
export interface StoreProbe {
  check(): void
}
