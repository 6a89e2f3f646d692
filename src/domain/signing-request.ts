// The change request and its state machine. A request names images; each image has its own record and walks alone, and the
// status of the whole follows from its images. `next` is pure and total: every pair of state and event has an answer.
import { decodeBase64, type Gun, type RoleName, type TargetName } from '@countersign/tuf'
import { type Decision, isSameGround } from './decision.ts'
import { DomainError } from './errors.ts'
import type { VerifiedOrigin } from './origin.ts'
import type { Pruned } from './pruning.ts'
import type { SignedApproval } from './signed-approval.ts'

/** Of images. */
export type ImageKind = 'sign' | 'unsign'
/**
 * Of a repository as a whole. `rotate`: staged keys take the place of their predecessors. `renew`: roles get a later expiry.
 * `repair`: roles that have expired get one. `root`: a next root that its keys signed elsewhere. `move`: such a root, with which the
 * repository goes to another trust server.
 */
export type UpkeepKind = 'rotate' | 'renew' | 'repair' | 'root' | 'move'
export type RequestKind = ImageKind | UpkeepKind

/** Characters of a request's description, so that records stay small. */
export const MAX_DESCRIPTION = 1000

/** States, each with who moves next. What is on disk: see the comment of each record. */
export const IMAGE_STATUSES = [
  'submitted', // Countersign: asks the policy
  'awaiting-approval', // people: the approvers that the policy names
  'approved', // Countersign: loads the repository and forms an intent
  'intended', // Countersign: has the key holder sign
  'signed', // Countersign: nothing has been sent yet
  'publishing', // the trust server: sent; the answer may be lost
  'published', // nobody: proven by reading back
  'denied', // nobody
  'withdrawn', // nobody
  'expired', // nobody
  'failed', // nobody
] as const
export type ImageStatus = (typeof IMAGE_STATUSES)[number]

const FINAL: readonly ImageStatus[] = ['published', 'denied', 'withdrawn', 'expired', 'failed']

/** What was signed for a tag elsewhere, when a promotion of it was asked for. */
export interface PromotionSource {
  readonly gun: Gun
  readonly tag: TargetName
  /** 64 hex digits. */
  readonly sha256: string
  /** The role that clients take the tag from, and its version. */
  readonly role: RoleName
  readonly version: number
}

/** What was asked for one image; never changes. */
export interface ImageSubject {
  /** The normalised reference. */
  readonly reference: string
  readonly gun: Gun
  readonly tag: TargetName
  /** As the registry served it at submission; for unsign only where the submitter named it. 64 hex digits. */
  readonly sha256?: string
  readonly length?: number
  readonly mediaType?: string
  /** Of a promotion: this has to be signed there still, when it is signed here. */
  readonly promotedFrom?: PromotionSource
  /** Of a pruning: this has to be so still, when it is unsigned. */
  readonly pruned?: Pruned
}

/** What was asked for a repository as a whole. */
export interface RepositorySubject {
  /** The GUN. */
  readonly reference: string
  readonly gun: Gun
  /** Of a change of root: the file that is to be published, base64. */
  readonly nextRoot?: string
  /** Of a move: the name of the trust server that the repository is to go to. */
  readonly moveTo?: string
}

export type Subject = ImageSubject | RepositorySubject

/** The image that a record is about; undefined where it is about a repository. */
export function imageOf({ subject }: { readonly subject: Subject }): ImageSubject | undefined {
  return 'tag' in subject ? subject : undefined
}

/** The signed root that a request is to publish; undefined for every other kind. */
export function nextRootOf({ subject }: { readonly subject: Subject }): Uint8Array | undefined {
  return 'nextRoot' in subject ? decodeBase64(subject.nextRoot) : undefined
}

/** Where a request is to move its repository; undefined for every other kind. */
export function moveToOf({ subject }: { readonly subject: Subject }): string | undefined {
  return 'moveTo' in subject ? subject.moveTo : undefined
}

export interface RoleVersion {
  readonly role: RoleName
  readonly version: number
  /** Hex SHA-256 of the file. */
  readonly sha256: string
}

export interface Failure {
  readonly code: string
  readonly detail: string
}

interface Common {
  readonly subject: Subject
  readonly at: Date
}
interface Decided extends Common {
  readonly decision: Decision
  /** By people, where the decision asks for them; what they saw is this decision. */
  readonly approvals?: readonly Approval[]
  /** Publications of this image that were given up, for the bound on retries. */
  readonly conflicts: number
  /** When the first of them was. */
  readonly contendedSince?: Date
  /** Since when its keys cannot be used, so that it waits although it was approved. */
  readonly heldUpSince?: Date
}
interface InPublication extends Decided {
  /** Names the publication, whose roles, changes and bytes are stored beside the requests. */
  readonly publication: string
}

/** What one person said to one image of a request. */
export interface Approval {
  /** As the list of people names them; each counts once. */
  readonly person: string
  /** The identity that was used. */
  readonly approver: string
  readonly at: Date
  /** 64 hex digits: what they saw, see `approval-digest.ts`. */
  readonly digest: string
  readonly comment?: string
  /** By the person's own key, over this image's change. */
  readonly signed?: Pick<SignedApproval, 'expiresAt' | 'signature'>
}

/** Why somebody stopped it. */
export interface Denial {
  readonly person: string
  readonly approver: string
  readonly reason: string
}

export type ImageRecord =
  | (Common & { readonly status: 'submitted' })
  | (Decided & { readonly status: 'awaiting-approval' })
  | (Decided & { readonly status: 'approved' })
  | (InPublication & { readonly status: 'intended' })
  | (InPublication & { readonly status: 'signed' })
  | (InPublication & { readonly status: 'publishing' })
  | (Decided & {
      readonly status: 'published'
      readonly publication?: string
      /** The proof: role files, verified from the pinned root, that hold (or no longer hold) the entry. */
      readonly roles: readonly RoleVersion[]
      /** True where the repository already said so and nothing was signed. */
      readonly unchanged: boolean
    })
  | (Common & {
      readonly status: 'denied'
      readonly decision: Decision
      /** Absent: the policy denied it. */
      readonly denial?: Denial
    })
  | (Common & { readonly status: 'withdrawn'; readonly by?: string })
  | (Common & { readonly status: 'expired' })
  | (Common & { readonly status: 'failed'; readonly error: Failure })

export type RequestEvent =
  | { readonly type: 'decided'; readonly decision: Decision }
  /** By one person; whether it is enough is another event, since images of one request wait for each other. */
  | { readonly type: 'approval-given'; readonly approval: Approval }
  /** Every image of the request has its approvals. */
  | { readonly type: 'approvals-complete' }
  | { readonly type: 'approval-denied'; readonly denial: Denial }
  /** The rules or the tag changed since: approvals given on other ground are void. */
  | { readonly type: 'reconsidered'; readonly decision: Decision }
  | { readonly type: 'intent-saved'; readonly publication: string }
  /** The key holder signed and the bytes are stored. */
  | { readonly type: 'signed' }
  /** The next step sends the bytes. */
  | { readonly type: 'sending' }
  /** Read back and verified. */
  | { readonly type: 'proven'; readonly roles: readonly RoleVersion[] }
  /** The verified repository already holds what was asked. */
  | { readonly type: 'found-unchanged'; readonly roles: readonly RoleVersion[] }
  /** The base moved, or an intent is given up: form a new one. A version signed meanwhile is burnt by publishing above it. */
  | { readonly type: 'conflict' }
  /** The key holder has said that it cannot use the keys now: nothing was signed, and nobody else was first. */
  | { readonly type: 'held-up' }
  | { readonly type: 'failed'; readonly error: Failure }
  | { readonly type: 'withdrawn'; readonly by?: string }
  | { readonly type: 'expired' }
export type RequestEventType = RequestEvent['type']

/** Who asked, as it was then: rules are judged by it again before anything is signed. Grants are judged once and not kept. */
export interface Submitter {
  readonly id: string
  readonly name: string
  readonly groups?: readonly string[]
  /** The people behind it (see `actor` of `Principal`), and who asked before where it was submitted again: they approve nothing of it. */
  readonly actors?: readonly string[]
  readonly origin?: VerifiedOrigin
}

export interface SigningRequest {
  readonly id: string
  readonly kind: RequestKind
  readonly submitter: Submitter
  readonly description?: string
  readonly policy?: string
  /** Where it came from, as recorded beside the signature: a workload's run, an address. */
  readonly origin?: string
  /** ID of the request that this one repeats under another policy. */
  readonly resubmits?: string
  readonly createdAt: Date
  readonly images: readonly RequestImage[]
}

export interface RequestImage {
  readonly record: ImageRecord
  /** Counts the changes of this record; every write is conditional on it. */
  readonly revision: number
  /** Why nothing moves now: who must be asked and is out of reach. Not stored; told until the image moves. */
  readonly waiting?: Failure
}

/** A state and an event that do not belong together; a defect of the caller or a lost race, never the user's fault. */
export type Transition = { readonly ok: true; readonly record: ImageRecord } | { readonly ok: false }

/** The next record, or that this event means nothing in this state. Total: never throws. */
export function next(record: ImageRecord, event: RequestEvent, at: Date): Transition {
  const moved = move(record, event, at)
  return moved === undefined ? { ok: false } : { ok: true, record: moved }
}

/** @throws DomainError TRANSITION_INVALID where `next` has no answer */
export function advance(record: ImageRecord, event: RequestEvent, at: Date): ImageRecord {
  const transition = next(record, event, at)
  if (transition.ok) return transition.record
  throw new DomainError('TRANSITION_INVALID', 'The request is not in a state for this.', {
    status: record.status,
    event: event.type,
  })
}

function move(record: ImageRecord, event: RequestEvent, at: Date): ImageRecord | undefined {
  const { subject } = record
  if (event.type === 'failed') return isFinal(record.status) ? undefined : fail(record, event.error, at)
  switch (record.status) {
    case 'submitted':
      if (event.type === 'decided') return decided(subject, event.decision, at)
      return stopped(record, event, at)
    case 'awaiting-approval':
      if (event.type === 'approval-given') return withApproval(record, event.approval)
      if (event.type === 'approvals-complete')
        return isComplete(record) ? { ...record, status: 'approved', at } : undefined
      if (event.type === 'approval-denied') {
        return { status: 'denied', subject, at, decision: record.decision, denial: event.denial }
      }
      if (event.type === 'reconsidered') return reconsidered(record, event.decision, at)
      return stopped(record, event, at)
    case 'approved': {
      const { decision, conflicts } = record
      if (event.type === 'reconsidered') return reconsidered(record, event.decision, at)
      if (event.type === 'intent-saved') {
        return { ...record, status: 'intended', at, publication: event.publication }
      }
      if (event.type === 'found-unchanged') {
        const { approvals } = record
        return {
          status: 'published',
          subject,
          at,
          decision,
          ...(approvals !== undefined && { approvals }),
          conflicts,
          roles: event.roles,
          unchanged: true,
        }
      }
      return stopped(record, event, at)
    }
    case 'intended':
      if (event.type === 'signed') return { ...record, status: 'signed', at }
      if (event.type === 'held-up') return heldUp(record, at)
      return event.type === 'conflict' ? reapproved(record, at) : undefined
    case 'signed':
      if (event.type === 'sending') return { ...record, status: 'publishing', at }
      return event.type === 'conflict' ? reapproved(record, at) : undefined
    case 'publishing':
      if (event.type === 'proven') return { ...record, status: 'published', at, roles: event.roles, unchanged: false }
      return event.type === 'conflict' ? reapproved(record, at) : undefined
    case 'published':
    case 'denied':
    case 'withdrawn':
    case 'expired':
    case 'failed':
      return undefined
  }
}

function decided(subject: Subject, decision: Decision, at: Date): ImageRecord {
  if (decision.outcome === 'deny') return { status: 'denied', subject, at, decision }
  const status = decision.approvals === undefined ? 'approved' : 'awaiting-approval'
  return { status, subject, at, decision, conflicts: 0 }
}

/** A second approval by the same person changes nothing. */
function withApproval(record: ImageRecord & { status: 'awaiting-approval' }, approval: Approval): ImageRecord {
  const { approvals = [] } = record
  if (approvals.some(({ person }) => person === approval.person)) return record
  return { ...record, approvals: [...approvals, approval] }
}

/** Whether as many different people have approved as the decision asks for. */
export function isComplete({ decision, approvals = [] }: Pick<Decided, 'decision' | 'approvals'>): boolean {
  return new Set(approvals.map(({ person }) => person)).size >= (decision.approvals?.required ?? 0)
}

/** Approvals hold on the ground on which they were given. Where it is another one now, they are asked for again. */
function reconsidered(record: ImageRecord & Decided, decision: Decision, at: Date): ImageRecord {
  const { subject, conflicts, contendedSince, heldUpSince } = record
  if (decision.outcome === 'deny') return { status: 'denied', subject, at, decision }
  const approvals = isSameGround(record.decision, decision) ? record.approvals : undefined
  // When it expires was settled when it was asked for: looking at it again gives no more time.
  const settled = withExpiryOf(decision, record.decision)
  // What waits goes on together with the other images of its request, by an event of its own.
  const isReady = record.status === 'approved' && isComplete({ decision: settled, ...(approvals && { approvals }) })
  const status = isReady ? 'approved' : 'awaiting-approval'
  return {
    status,
    subject,
    at: status === record.status ? record.at : at,
    decision: settled,
    ...(approvals !== undefined && { approvals }),
    conflicts,
    ...(contendedSince !== undefined && { contendedSince }),
    ...(heldUpSince !== undefined && { heldUpSince }),
  }
}

function withExpiryOf(decision: Decision, former: Decision): Decision {
  if (decision.approvals === undefined || former.approvals === undefined) return decision
  const expiresAt = new Date(Math.min(decision.approvals.expiresAt.getTime(), former.approvals.expiresAt.getTime()))
  return { ...decision, approvals: { ...decision.approvals, expiresAt } }
}

/** Before the intent a request can still be stopped; after it only publication or failure ends it. */
function stopped(record: ImageRecord, event: RequestEvent, at: Date): ImageRecord | undefined {
  const { subject } = record
  if (event.type === 'withdrawn')
    return { status: 'withdrawn', subject, at, ...(event.by !== undefined && { by: event.by }) }
  return event.type === 'expired' ? { status: 'expired', subject, at } : undefined
}

function fail(record: ImageRecord, error: Failure, at: Date): ImageRecord {
  return { status: 'failed', subject: record.subject, at, error }
}

/** As before the intent; it counts for no conflict. */
function heldUp(record: ImageRecord & InPublication, at: Date): ImageRecord {
  const { subject, decision, approvals, conflicts, contendedSince, heldUpSince = record.at } = record
  return {
    status: 'approved',
    subject,
    at,
    decision,
    ...(approvals !== undefined && { approvals }),
    conflicts,
    ...(contendedSince !== undefined && { contendedSince }),
    heldUpSince,
  }
}

function reapproved(record: ImageRecord & InPublication, at: Date): ImageRecord {
  const { subject, decision, approvals, conflicts, contendedSince = at } = record
  return {
    status: 'approved',
    subject,
    at,
    decision,
    ...(approvals !== undefined && { approvals }),
    conflicts: conflicts + 1,
    contendedSince,
  }
}

export function isFinal(status: RequestStatus): boolean {
  return status === 'partial' || FINAL.some((final) => final === status)
}

/** `partial`: all images have ended, some published and some not. */
export type RequestStatus = ImageStatus | 'partial'

/**
 * The status of the whole. While images are under way it is that of the image that is furthest behind; at the end it is their
 * common status, `partial` where some were published and some not, and else the gravest.
 */
export function requestStatus(images: readonly { readonly record: Pick<ImageRecord, 'status'> }[]): RequestStatus {
  const statuses = images.map(({ record }) => record.status)
  const behind = IMAGE_STATUSES.find((status) => !isFinal(status) && statuses.includes(status))
  if (behind !== undefined) return behind
  const isPublished = statuses.includes('published')
  if (isPublished && statuses.some((status) => status !== 'published')) return 'partial'
  return GRAVITY.find((status) => statuses.includes(status)) ?? 'failed'
}

const GRAVITY: readonly ImageStatus[] = ['failed', 'denied', 'expired', 'withdrawn', 'published']

/** When anything last happened to the request. */
export function updatedAt(request: SigningRequest): Date {
  const times = request.images.map(({ record }) => record.at.getTime())
  return new Date(Math.max(request.createdAt.getTime(), ...times))
}
