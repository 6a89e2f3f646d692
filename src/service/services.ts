// What the outer layers (HTTP, start-up) may ask of the services. Every call takes the principal and checks its grants first.
import type { Gun, RoleName } from '@countersign/tuf'
import type { KeyType } from '../domain/ports.ts'
import type { ExpiryForecast } from '../domain/expiry-forecast.ts'
import type { RoleOutlook } from '../domain/expiry-outlook.ts'
import type { LeftRole, MovedRole } from '../domain/move.ts'
import type { FeedChange } from '../domain/trust-feed.ts'
import type { DriftChange, DriftCounts, SignedTag } from '../domain/drift.ts'
import type { PushClaim, PushCounts, PushedTag, PushSource } from '../domain/push-event.ts'
import type { ForeignVersion } from '../domain/foreign-version.ts'
import type { Grant, Principal } from '../domain/principal.ts'
import type { Pruned, PruneReason, PruneRules, SignedEntry } from '../domain/pruning.ts'
import type { ExpiredRole } from '../domain/repair.ts'
import type { Receipt } from '../domain/receipt.ts'
import type { Repository, RepositoryWarning, RoleReport } from '../domain/repository.ts'
import type { Decision } from '../domain/decision.ts'
import type { ImageKind, ImageSubject, RequestStatus, SigningRequest } from '../domain/signing-request.ts'
import type { RepositoryCustody, TokenRecord } from '../domain/ports.ts'

export interface Services {
  readonly requests: RequestService
  readonly repositories: RepositoryService
  readonly verifications: VerificationService
  readonly tokens: TokenService
  readonly exchange: ExchangeService
  readonly audit: AuditService
  readonly reconciler: Reconciler
  readonly foreignWatch: ForeignWatch
  readonly drift: DriftService
  readonly pushes: PushService
}

export interface Submission {
  readonly kind: ImageKind
  /** Image references as they were written. */
  readonly images: readonly string[]
  /**
   * `each`: an image that its registry refuses fails alone, with its code. Absent: all or none. Decisions and approvals are for all in both
   * cases, and so is an outage: of what does not answer nothing is known.
   */
  readonly mode?: 'each'
  /** `registry/repository:tag`, with or without digest: sign what is signed there, where the images' registries serve the same digest. */
  readonly promotedFrom?: string
  /** The digest that the registry has to serve for each of them, where references name none (64 hex digits). */
  readonly expected?: string
  /** Of one repository, and made by a plan, for each image in turn: more images than others may name. */
  readonly pruning?: readonly Pruned[]
  /** Of a pruning: even where no signed tag is left. */
  readonly mayLeaveNothing?: true
  readonly policy?: string
  readonly description?: string
  /** 1 to 255 characters. */
  readonly idempotencyKey?: string
  /** Where the request came from, for the record (a workload's run, an address). */
  readonly origin?: string
  /** ID of the request that this one repeats. */
  readonly resubmits?: string
}

/** What may be otherwise when a request is submitted again. */
export type Resubmission = Pick<Submission, 'mode' | 'policy' | 'description'>

export interface ApprovalInput {
  /** `approvalDigest` of the request as it was looked at. */
  readonly digest: string
  readonly comment?: string
  /** With the person's own key, one for each image that is approved; where the policy asks for them. */
  readonly signatures?: {
    /** RFC 3339, UTC, with milliseconds. */
    readonly expiresAt: string
    readonly images: readonly { readonly position: number; readonly signature: string }[]
  }
}

export interface DenialInput {
  /** For the submitter. */
  readonly reason: string
}

/** What would happen to one image, and why. */
export interface Explanation {
  readonly subject: ImageSubject
  readonly decision: Decision
}

export interface RequestService {
  /**
   * Parses, checks grants, resolves digests, asks the policy, stores, acknowledges. All images or none, unless the mode is another.
   * A denial by the policy is a stored request with status `denied`, not an error.
   * @throws DomainError, RegistryError, KeyHolderError, StoreError
   */
  submit(
    principal: Principal,
    submission: Submission,
  ): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /**
   * Asks that the staged keys of a repository take the place of their predecessors. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROTATION_NOT_STAGED; KeyHolderError, StoreError
   */
  rotate(principal: Principal, gun: Gun): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /**
   * Asks that the roles which expire soon are signed again as they are. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, RENEWAL_NOT_DUE; TufError, NotaryError, KeyHolderError, StoreError
   */
  renew(principal: Principal, gun: Gun): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /**
   * What has expired, what of it can be signed again here, and in words what cannot. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY; TufError, NotaryError, KeyHolderError
   */
  planRepair(principal: Principal, gun: Gun): Promise<readonly ExpiredRole[]>
  /**
   * Asks that targets and delegations which have expired are signed again as they are. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, REPAIR_NOT_NEEDED, REPAIR_NOT_POSSIBLE; TufError, NotaryError, KeyHolderError,
   * StoreError
   */
  repair(principal: Principal, gun: Gun): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /**
   * The next root of a repository, for its keys to sign elsewhere. Publishes nothing. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROTATION_NOT_STAGED; TufError, NotaryError, KeyHolderError
   */
  planRootChange(principal: Principal, gun: Gun, request: RootPlanRequest): Promise<RootPlan>
  /**
   * Asks that a root which its keys signed is published, with what has to come with it. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROOT_CHANGE_UNDER_WAY, ROOT_CHANGE_OUTDATED; TufError, NotaryError,
   * KeyHolderError, StoreError
   */
  changeRoot(
    principal: Principal,
    gun: Gun,
    request: RootChangeRequest,
  ): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /**
   * What a move to another trust server does, and the root for it, for its keys to sign elsewhere. Publishes nothing. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, MOVE_*; TufError, NotaryError, KeyHolderError
   */
  planMove(principal: Principal, gun: Gun, to: string): Promise<MovePlan>
  /**
   * Asks that the repository moves, with a root that its keys signed. Grant `operator`.
   * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, MOVE_*, ROOT_CHANGE_*; TufError, NotaryError, KeyHolderError, StoreError
   */
  move(
    principal: Principal,
    gun: Gun,
    request: MoveRequest,
  ): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /**
   * What would happen, and why; nothing is stored. About oneself with the grant `submit`; about another identity with `operator` on all
   * repositories named. @throws as `submit`
   */
  explain(principal: Principal, submission: Submission, as?: Principal): Promise<readonly Explanation[]>
  /**
   * Approves every image that this person may approve. What they looked at must be what the request says now.
   * @throws DomainError REQUEST_NOT_FOUND, APPROVAL_NOT_ASKED, APPROVAL_OUTDATED, APPROVER_UNKNOWN, APPROVER_NOT_LISTED,
   * APPROVER_IS_SUBMITTER, APPROVER_NOT_LINKED, REQUEST_FIELD_INVALID; TufError, NotaryError, KeyHolderError, StoreError
   */
  approve(principal: Principal, id: string, input: ApprovalInput): Promise<SigningRequest>
  /** A page of the tags that a repository can be tidied of. Grant `read`. @throws DomainError, TufError, NotaryError, RegistryError, KeyHolderError */
  planPruning(principal: Principal, gun: Gun, rules: PruneRules, after?: string): Promise<PrunePage>
  /** One denial ends the request. @throws as `approve`, without APPROVAL_OUTDATED */
  deny(principal: Principal, id: string, input: DenialInput): Promise<SigningRequest>
  /** @throws DomainError REQUEST_NOT_FOUND, WITHDRAWAL_NOT_PERMITTED, WITHDRAWAL_TOO_LATE; KeyHolderError, StoreError */
  withdraw(principal: Principal, id: string): Promise<SigningRequest>
  /**
   * The same images at the same digests under another policy, with the verified origin that they came with. Both who asked first and who
   * asks again count as submitters. Grant `submit`. @throws as `submit`; DomainError REQUEST_NOT_FOUND, RESUBMISSION_NOT_POSSIBLE
   */
  resubmit(
    principal: Principal,
    id: string,
    input: Resubmission,
  ): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }>
  /** @throws DomainError REQUEST_NOT_FOUND, also where the principal may not see it */
  find(principal: Principal, id: string): SigningRequest
  /** Newest first, only what the principal may see. @throws DomainError CURSOR_INVALID, GUN_INVALID */
  list(
    principal: Principal,
    query: { limit?: number; cursor?: string; gun?: Gun; status?: RequestStatus },
  ): { readonly requests: readonly SigningRequest[]; readonly nextCursor?: string }
  /** Resolves when the request is final, or after `waitMs`, or when the signal fires, with what it is then. */
  waitFor(principal: Principal, id: string, waitMs: number, signal?: AbortSignal): Promise<SigningRequest>
}

export interface PrunePage {
  readonly gun: Gun
  /** Before anything was looked at. */
  readonly madeAt: Date
  /** All tags that clients find signed. */
  readonly signed: number
  /** Those of this page that the rules name. */
  readonly entries: readonly (SignedEntry & { readonly reason: PruneReason })[]
  /** How many of this page are none of them for certain: served still, where the registry was asked, and not old. */
  readonly stays: number
  /** Those of which nothing could be found out, or that cannot be unsigned completely. */
  readonly kept: readonly { readonly tag: string; readonly code: string; readonly detail: string }[]
  readonly nextCursor?: string
}

export interface InitializationRequest {
  readonly gun: Gun
  readonly root: { readonly kind: 'online' } | { readonly kind: 'offline'; readonly certificatePem: string }
  /** True: tags are signed in `targets/releases` and `targets/<signer>`. False: in `targets`. */
  readonly delegations: boolean
  readonly keyType?: KeyType
}

export interface Initialization {
  readonly gun: Gun
  readonly state: 'ready' | 'awaiting-root-signature'
  readonly rootKeyIds: readonly string[]
  /** The exact bytes to be signed with the offline root key. */
  readonly rootSigned?: Uint8Array
}

/** A role whose key a next root may exchange without naming it: staged in the key holder, or made by the trust server. */
export type RotatedRole = 'targets' | 'snapshot' | 'timestamp'

export interface RootPlanRequest {
  /** PEM of the certificates that role root is to have, all of them; none: as they are. */
  readonly rootCertificates: readonly string[]
  readonly rotate: readonly RotatedRole[]
}

export interface RootPlan {
  readonly gun: Gun
  /** The published root file. */
  readonly current: Uint8Array
  /** Canonical bytes of the next root: what signatures are over. */
  readonly next: Uint8Array
}

export interface RootChangeRequest {
  /** `RootPlan.next` as it was signed. */
  readonly next: Uint8Array
  readonly signatures: readonly RootSignature[]
}

export interface MovePlan extends RootPlan {
  /** Names of the trust servers. */
  readonly from: string
  readonly to: string
  /** The versions of root that there are, oldest first. */
  readonly roots: readonly number[]
  /** Whether the new server serves them, too: one of ours does. */
  readonly takesOlderRoots: boolean
  /** Go along as they are. */
  readonly moved: readonly MovedRole[]
  /** Stay behind: clients pass over them now. */
  readonly left: readonly LeftRole[]
  /** Updates without files that raise the versions at a notary-server. */
  readonly raises: number
  /** A client that has the old server in its cache works without any server until then. */
  readonly oldTimestampExpiresAt: Date
  /** What the old server has is worth nothing from then on. */
  readonly oldRootExpiresAt: Date
}

export interface MoveRequest extends RootChangeRequest {
  readonly to: string
}

export interface RootSignature {
  /** TUF key ID of the root certificate key. */
  readonly keyId: string
  readonly method: string
  /** Base64. */
  readonly signature: string
}

export interface RepositoryReport {
  readonly repository: Repository
  readonly custody: RepositoryCustody
  /** The roles that list each key of ours, by canonical ID; a key may have none. Empty where `trouble` says why. */
  readonly keyRoles: ReadonlyMap<string, readonly RoleName[]>
  /** Absent where the repository could not be loaded; `trouble` says why. */
  readonly roles: readonly RoleReport[]
  readonly warnings: readonly RepositoryWarning[]
  /** Who can sign each role again; empty where `trouble` says why. */
  readonly outlook: readonly RoleOutlook[]
  readonly trouble?: { readonly code: string; readonly detail: string }
}

export interface RepositoryService {
  /** Idempotent: after an interruption the same call goes on where it stopped. Grant `operator`. */
  initialize(principal: Principal, request: InitializationRequest): Promise<Initialization>
  /** Takes the offline signatures and publishes. Idempotent. Grant `operator`. */
  addRootSignatures(principal: Principal, gun: Gun, signatures: readonly RootSignature[]): Promise<Initialization>
  /** Registers a repository that the operator pinned in the key holder. Grant `operator`. */
  adopt(principal: Principal, gun: Gun): Promise<RepositoryReport>
  /**
   * The daemon forgets the repository. Nothing is deleted on the trust server, and the key holder keeps keys, pin and versions: `adopt`
   * registers it again. Grant `operator`. @throws DomainError REPOSITORY_HAS_REQUESTS while one is not finished
   */
  remove(principal: Principal, gun: Gun): Promise<void>
  /** Registered repositories that the principal may read. */
  list(principal: Principal): readonly Repository[]
  /** Custody, expiry dates and warnings. An unreachable trust server is told in `trouble`, not thrown. Grant `read`. */
  report(principal: Principal, gun: Gun): Promise<RepositoryReport>
  /** What is signed again in the next three years, by whom and when. Grant `read`. @throws DomainError, TufError, NotaryError, KeyHolderError */
  forecast(principal: Principal, gun: Gun): Promise<ExpiryForecast>
}

/** `unknown`: it could not be found out, `error` says why; never to be read as "not signed". */
export type Verdict = 'signed' | 'not-signed' | 'digest-differs' | 'unknown'

export interface Verification {
  readonly reference: string
  readonly gun: string
  readonly tag?: string
  readonly verdict: Verdict
  /** 64 hex digits: the digest that is signed for the tag. */
  readonly digest?: string
  readonly length?: number
  /** The role that docker takes the tag from. */
  readonly role?: RoleName
  readonly roleVersion?: number
  readonly signers: readonly string[]
  readonly error?: { readonly code: string; readonly detail: string }
}

/** The JSON of `docker trust inspect`. */
export interface TrustInspection {
  readonly Name: string
  readonly SignedTags: readonly {
    readonly SignedTag: string
    readonly Digest: string
    readonly Signers: readonly string[]
  }[]
  readonly Signers: readonly NamedKeys[]
  readonly AdministrativeKeys: readonly NamedKeys[]
}
export interface NamedKeys {
  readonly Name: string
  readonly Keys: readonly { readonly ID: string }[]
}

/** One metadata file, named as clients ask for it: `2.root.json`, `timestamp.json`, `targets/releases.<hex>.json`. */
export interface PublishedFile {
  readonly name: string
  /** 64 hex digits */
  readonly sha256: string
  readonly bytes: Uint8Array
}

export interface PublishedMetadata {
  readonly gun: Gun
  readonly verifiedAt: Date
  /** Roots oldest first, then the timestamp, then what it leads to. */
  readonly files: readonly PublishedFile[]
}

export interface VerificationService {
  /** One verdict per image, in order. Grant `read` on every repository named, else NOT_PERMITTED for the whole call. */
  verify(
    principal: Principal,
    images: readonly string[],
    options?: { readonly compareRegistry?: boolean },
  ): Promise<readonly Verification[]>
  /** @throws DomainError REPOSITORY_NOT_PUBLISHED, TufError, NotaryError. Grant `read`. */
  inspect(principal: Principal, image: string): Promise<readonly TrustInspection[]>
  /** Every file that a stock client asks for, verified from the pinned root. @throws as `inspect`. Grant `read`. */
  published(principal: Principal, gun: Gun): Promise<PublishedMetadata>
}

export interface NewToken {
  readonly name: string
  readonly grants: readonly { readonly grant: string; readonly repositories: readonly string[] }[]
  /** Names that policies know groups of identities by. */
  readonly groups?: readonly string[]
  readonly expiresAt?: Date
}

export interface TokenService {
  /** The identity behind a presented secret; undefined for unknown, revoked and expired ones alike. */
  authenticate(secret: string): Principal | undefined
  /**
   * The secret is returned here and nowhere else.
   * @throws DomainError NOT_PERMITTED, GRANT_INVALID, GRANT_ESCALATION, TOKEN_NAME_INVALID
   */
  create(principal: Principal, request: NewToken): Promise<{ readonly token: TokenRecord; readonly secret: string }>
  /** All grants on all repositories, for the first start; undefined where any token exists already. */
  createFirst(name: string): Promise<{ readonly token: TokenRecord; readonly secret: string } | undefined>
  /** Tokens whose grants lie within the principal's admin patterns: those that were made, or those that were exchanged. */
  list(principal: Principal, kind?: 'made' | 'exchanged'): readonly TokenRecord[]
  /** @throws DomainError TOKEN_NOT_FOUND, GRANT_ESCALATION */
  revoke(principal: Principal, id: string): Promise<void>
  /**
   * Gives a token another secret; the one before is taken for `overlapMs` more. For whoever may hand out its grants, and for the token
   * itself by its newest secret.
   * @throws DomainError NOT_PERMITTED, TOKEN_NOT_FOUND, TOKEN_NOT_ROTATABLE, GRANT_ESCALATION
   */
  rotate(
    principal: Principal,
    id: string,
    overlapMs: number,
  ): Promise<{ readonly token: TokenRecord; readonly secret: string }>
}

export interface ExchangeService {
  /** Once for each token of an issuer. The secret is returned here and nowhere else. @throws OidcError, KeyHolderError, StoreError */
  exchange(token: string): Promise<{ readonly token: TokenRecord; readonly secret: string }>
}

/** The key that every checkpoint of the audit log is signed with. */
export interface AuditLogKey {
  readonly origin: string
  /** As verifiers take it: `origin+hash+base64`. */
  readonly publicKey: string
}

export interface AuditService {
  /**
   * What proves to others that the audit log has the record of an image that was published. For whoever may see the request.
   * @throws DomainError REQUEST_NOT_FOUND, RECEIPT_NOT_AVAILABLE; KeyHolderError
   */
  receipt(principal: Principal, id: string, position: number): Promise<Receipt>
  /** Public: any identity may ask. @throws KeyHolderError */
  publicKey(principal: Principal): Promise<AuditLogKey>
}

export interface ForeignWatch {
  /**
   * Versions that somebody else published since the last look: recorded in the audit log, told, and shown to the key holder, which freezes the
   * repository where they were made with a key of ours. @throws DomainError, TufError, NotaryError, KeyHolderError, StoreError
   * @param told what the feed of the whole server says of the repository since the last look; where that cannot be read, the
   * repository's own feed is asked, if there is one. Only what was superseded since depends on it.
   */
  look(gun: Gun, told?: readonly FeedChange[]): Promise<readonly ForeignVersion[]>
}

export interface DriftReport extends DriftCounts {
  readonly gun: Gun
  /** The drifted ones, newest first. */
  readonly tags: readonly SignedTag[]
  readonly hasMore: boolean
}

export interface DriftService {
  /** What was found last. Grant `read`. @throws DomainError NOT_PERMITTED; StoreError */
  list(principal: Principal, gun: Gun): DriftReport
  counts(): DriftCounts
  /**
   * Asks a registry for the tag that is due first, if one is. Undefined: nothing has changed, or nothing is known.
   * @throws KeyHolderError, StoreError
   */
  look(): Promise<DriftChange | undefined>
}

/** What became of the events of one delivery. */
export interface PushReceipt {
  /** They will be looked at. */
  readonly accepted: number
  /** They are about nothing that is switched on and managed, or could not be read. */
  readonly ignored: number
}

export interface UnsignedReport extends PushCounts {
  readonly gun: Gun
  /** Oldest first. */
  readonly tags: readonly PushedTag[]
  readonly hasMore: boolean
}

export interface PushService {
  /** The source of this name, where the secret is one of its secrets; undefined for unknown names and wrong secrets alike. */
  identify(name: string, secret: string): PushSource | undefined
  /**
   * Takes what a registry told, durably; nobody is asked for anything before this has returned.
   * @param leftOut events that are no claims, for the counts
   * @throws DomainError PUSH_RATE_EXCEEDED, PUSH_QUEUE_FULL; StoreError
   */
  accept(
    source: PushSource,
    claims: readonly PushClaim[],
    leftOut?: { readonly others: number; readonly malformed: number },
  ): PushReceipt
  /** Tags that were pushed and are not signed. Grant `read`. @throws DomainError NOT_PERMITTED; StoreError */
  list(principal: Principal, gun: Gun): UnsignedReport
  counts(): PushCounts
  /** Looks at the tags that are due, so many at the same time, and asks for signatures. How many were looked at. @throws StoreError */
  look(limit: number): Promise<number>
  /** Records and tells the tags that have been unsigned for too long, each once. @throws KeyHolderError, StoreError */
  tellOverdue(): Promise<readonly PushedTag[]>
}

export interface Reconciler {
  /** Resumes every unfinished request; at start and on a timer. Resolves when each repository has been tried once. */
  run(): Promise<void>
  /** Takes no new step; resolves when the steps at hand are done. */
  stop(): Promise<void>
}

export type { Grant }
