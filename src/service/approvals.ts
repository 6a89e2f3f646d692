// What people say to a request that waits for them: approve, deny, withdraw; and what time says. Approvals hold on the ground on which they
// are given, so the rules and the tags are looked at again before each of them.
import { approvalDigest } from '../domain/approval-digest.ts'
import { DomainError } from '../domain/errors.ts'
import { codeOf } from '../domain/port-faults.ts'
import type { PendingImage } from '../domain/ports.ts'
import type { ApproverRefusal, ApproverVerdict, Policy } from '../domain/policy.ts'
import { isGranted, type Principal } from '../domain/principal.ts'
import {
  advance,
  type Approval,
  imageOf,
  isComplete,
  type RequestEvent,
  type SigningRequest,
} from '../domain/signing-request.ts'
import { type ApprovalSignature, requireSignatures } from './approval-signatures.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { ImageProgress } from './image-progress.ts'
import { judgeAgain, nameOf, readStanding } from './judgement.ts'
import type { ApprovalInput, DenialInput } from './services.ts'

/** Others may move the request at the same moment; each try looks at it anew. */
const MAX_TRIES = 5
/** Characters of free text, so that records stay small. */
export const MAX_REASON = 1000

const REFUSALS: Readonly<Record<ApproverRefusal, string>> = {
  APPROVAL_NOT_ASKED: 'Nothing in this request waits for approvals, or the rules that asked for them are gone.',
  APPROVER_UNKNOWN:
    'Only people who stand in the list of people (people.yaml) approve or deny; this identity is none of theirs.',
  APPROVER_NOT_LISTED: 'The signing policy does not name this person among its approvers.',
  APPROVER_IS_SUBMITTER: 'Nobody approves what they asked for themselves, or what a run asks for that they started.',
  APPROVER_NOT_LINKED:
    'The request came from a run that a person started, and this approver has no identity at its provider in the list of people: it could be the same person.',
}

export class Approvals {
  readonly #dependencies: ServiceDependencies
  readonly #images: ImageProgress
  readonly #find: (principal: Principal, id: string) => SigningRequest

  /** @param find finds a request that the identity may see. @throws DomainError REQUEST_NOT_FOUND */
  constructor(
    dependencies: ServiceDependencies,
    images: ImageProgress,
    find: (principal: Principal, id: string) => SigningRequest,
  ) {
    this.#dependencies = dependencies
    this.#images = images
    this.#find = find
  }

  /**
   * @throws DomainError REQUEST_NOT_FOUND, APPROVAL_NOT_ASKED, APPROVAL_OUTDATED, APPROVER_*; TufError, NotaryError where the tags cannot
   * be looked at; KeyHolderError, StoreError
   */
  async approve(principal: Principal, id: string, input: ApprovalInput): Promise<SigningRequest> {
    const { digest, comment } = input
    checkText('comment', comment)
    return this.#tolerant(async () => {
      const { request, waiting, policy } = await this.#onPresentGround(principal, id)
      if (approvalDigest(request) !== digest) throw outdated(request)
      const { images, person, approvalKey } = this.#allowedBy(policy, principal, request, waiting)
      const signed = requireSignatures(images, approvalKey, input.signatures)
      const at = this.#dependencies.clock.now()
      const approval: Approval = {
        person,
        approver: principal.id,
        at,
        digest,
        ...(comment !== undefined && { comment }),
      }
      await this.#record('request-approved', request, { person, approver: principal.id, digest, comment })
      this.#images.moveEach(
        withCompletion(waiting, images, (position) => withSignature(approval, signed.get(position)), at),
      )
      return this.#find(principal, id)
    })
  }

  /** One denial ends the request for all its images. @throws as `approve`, without APPROVAL_OUTDATED */
  async deny(principal: Principal, id: string, { reason }: DenialInput): Promise<SigningRequest> {
    checkText('reason', reason)
    return this.#tolerant(async () => {
      const request = this.#find(principal, id)
      const waiting = this.#waiting(request)
      const policy = this.#dependencies.policies.current()
      const { person } = this.#allowedBy(policy, principal, request, waiting)
      await this.#record('request-denied', request, { person, approver: principal.id, reason })
      const denial = { person, approver: principal.id, reason }
      this.#images.move(waiting, [{ type: 'approval-denied', denial }])
      return this.#find(principal, id)
    })
  }

  /**
   * Takes back what nobody has begun to sign. By the submitter, or by an operator of all its repositories.
   * @throws DomainError REQUEST_NOT_FOUND, WITHDRAWAL_NOT_PERMITTED, WITHDRAWAL_TOO_LATE; KeyHolderError, StoreError
   */
  async withdraw(principal: Principal, id: string): Promise<SigningRequest> {
    return this.#tolerant(async () => {
      const request = this.#find(principal, id)
      const isOperator = request.images.every(({ record }) => isGranted(principal, 'operator', record.subject.gun))
      if (request.submitter.id !== principal.id && !isOperator) {
        throw new DomainError(
          'WITHDRAWAL_NOT_PERMITTED',
          'A request is withdrawn by the identity that submitted it, or by an operator of all its repositories.',
          { request: request.id },
        )
      }
      const images = this.#pending(request).filter(
        ({ record }) => record.status === 'awaiting-approval' || record.status === 'approved',
      )
      if (images.length === 0) {
        throw new DomainError('WITHDRAWAL_TOO_LATE', 'Every image of this request is being signed, or at its end.', {
          request: request.id,
        })
      }
      await this.#record('request-withdrawn', request, { principal: principal.id })
      this.#images.move(images, [{ type: 'withdrawn', by: principal.id }])
      return this.#find(principal, id)
    })
  }

  /** Ends what has waited for approvals too long. Called again and again. @throws KeyHolderError, StoreError */
  async expire(unfinished: readonly PendingImage[]): Promise<void> {
    const now = this.#dependencies.clock.now()
    const overdue = new Set(unfinished.flatMap(({ request, record }) => (isOverdue(record, now) ? [request] : [])))
    for (const id of overdue) {
      const request = this.#dependencies.requests.find(id)
      if (request === undefined) continue
      const waiting = this.#pending(request).filter(({ record }) => record.status === 'awaiting-approval')
      await this.#record('request-expired', request, {})
      try {
        this.#images.move(waiting, [{ type: 'expired' }])
      } catch (error) {
        // Somebody said something at the last moment: looked at again the next time.
        if (codeOf(error) !== 'RECORD_CHANGED') throw error
      }
    }
  }

  /**
   * The request as the rules and the tags of now have it. Where that is other ground than before, approvals given so far are void, and
   * whoever approves now has seen something else.
   */
  async #onPresentGround(principal: Principal, id: string) {
    const before = this.#find(principal, id)
    const waiting = this.#waiting(before)
    const policy = this.#dependencies.policies.current()
    const subjects = waiting.flatMap(({ record }) => imageOf(record) ?? [])
    const standing = await readStanding(this.#dependencies, policy, before.submitter, subjects)
    const at = this.#dependencies.clock.now()
    const moves = waiting.map((image) => {
      const subject = imageOf(image.record)
      const decision = judgeAgain(policy, image, subject && standing.get(nameOf(subject)), at)
      return [image, decision === undefined ? [] : [{ type: 'reconsidered', decision } as const]] as const
    })
    // What is the same ground stays as it is: nothing is written for a look.
    if (moves.some(([image, events]) => isOtherGround(image, events, at))) {
      await this.#record('request-reconsidered', before, {})
      this.#images.moveEach(together(moves, at))
      throw outdated(this.#find(principal, id))
    }
    return { request: before, waiting, policy }
  }

  /** @throws DomainError APPROVER_* where this person may approve none of the images that wait */
  #allowedBy(policy: Policy, principal: Principal, request: SigningRequest, waiting: readonly PendingImage[]) {
    const verdicts = waiting.flatMap((image): (readonly [PendingImage, ApproverVerdict])[] => {
      if (!('decision' in image.record) || image.record.decision.approvals === undefined) return []
      const { decision, subject } = image.record
      const verdict = policy.judgeApprover({
        decision,
        gun: subject.gun,
        submitter: request.submitter,
        approver: principal,
      })
      return [[image, verdict]]
    })
    const allowed = verdicts.filter(([, verdict]) => verdict.isAllowed)
    const [first] = allowed
    if (first?.[1].isAllowed === true) {
      const { person, approvalKey } = first[1]
      return { images: allowed.map(([image]) => image), person, approvalKey }
    }
    const [refused] = verdicts
    throw refusal(refused !== undefined && !refused[1].isAllowed ? refused[1].code : 'APPROVAL_NOT_ASKED', request)
  }

  /** @throws DomainError APPROVAL_NOT_ASKED */
  #waiting(request: SigningRequest): readonly PendingImage[] {
    const now = this.#dependencies.clock.now()
    const waiting = this.#pending(request).filter(
      ({ record }) => record.status === 'awaiting-approval' && !isOverdue(record, now),
    )
    if (waiting.length === 0) throw refusal('APPROVAL_NOT_ASKED', request)
    return waiting
  }

  #pending(request: SigningRequest): readonly PendingImage[] {
    return request.images.map(({ record, revision }, position) => ({
      request: request.id,
      position,
      kind: request.kind,
      submitter: request.submitter,
      ...(request.policy !== undefined && { policy: request.policy }),
      ...(request.origin !== undefined && { origin: request.origin }),
      revision,
      record,
    }))
  }

  /** Record before act, one for each image: the auditor asks by tag. */
  async #record(
    kind: string,
    request: SigningRequest,
    facts: Readonly<Record<string, string | number | boolean | undefined>>,
  ): Promise<void> {
    const given = Object.entries(facts).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    )
    for (const { record } of request.images) {
      const { tag, sha256 } = imageOf(record) ?? {}
      await this.#dependencies.keyHolder.appendRecord(kind, {
        request: request.id,
        gun: record.subject.gun,
        ...(tag !== undefined && { tag }),
        ...(sha256 !== undefined && { sha256 }),
        ...Object.fromEntries(given),
      })
    }
  }

  /** Somebody else moved the request meanwhile: look again. */
  async #tolerant(work: () => Promise<SigningRequest>): Promise<SigningRequest> {
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        if (codeOf(error) !== 'RECORD_CHANGED' || tries >= MAX_TRIES) throw error
      }
    }
  }
}

/** The approval for the images that this person may approve; and where no image lacks any then, all of them go on together. */
function withCompletion(
  waiting: readonly PendingImage[],
  approved: readonly PendingImage[],
  approvalOf: (position: number) => Approval,
  at: Date,
): Moves {
  const given = ({ position }: PendingImage): RequestEvent => ({
    type: 'approval-given',
    approval: approvalOf(position),
  })
  return together(
    waiting.map((image) => [image, approved.includes(image) ? [given(image)] : []] as const),
    at,
  )
}

type Moves = readonly (readonly [PendingImage, readonly RequestEvent[]])[]

/** Where one is denied by these events, all are; where none lacks an approval any more, all go on. */
function together(moves: Moves, at: Date): Moves {
  const after = moves.map(([image, events]) =>
    events.reduce((record, event) => advance(record, event, at), image.record),
  )
  const denied = after.find((record) => record.status === 'denied')
  if (denied?.status === 'denied') {
    return moves.map(([image]) => [image, [{ type: 'reconsidered', decision: denied.decision }]] as const)
  }
  const isReady = after.every((record) => record.status === 'awaiting-approval' && isComplete(record))
  return moves.map(
    ([image, events]) => [image, isReady ? [...events, { type: 'approvals-complete' }] : events] as const,
  )
}

function withSignature(approval: Approval, signed: ApprovalSignature | undefined): Approval {
  return signed === undefined ? approval : { ...approval, signed }
}

function isOtherGround(image: PendingImage, events: readonly RequestEvent[], at: Date): boolean {
  if (!('decision' in image.record)) return false
  const { decision: before } = image.record
  return events.some((event) => {
    const after = advance(image.record, event, at)
    if (after.status !== image.record.status || !('decision' in after)) return true
    return after.decision.policyDigest !== before.policyDigest || after.decision.standing !== before.standing
  })
}

function isOverdue(record: PendingImage['record'], now: Date): boolean {
  return (
    record.status === 'awaiting-approval' &&
    record.decision.approvals !== undefined &&
    record.decision.approvals.expiresAt <= now
  )
}

function outdated(request: SigningRequest): DomainError {
  return new DomainError(
    'APPROVAL_OUTDATED',
    'The request is not what was looked at: its tags or the rules have changed. Look at it again, and approve what it says now.',
    { request: request.id, digest: approvalDigest(request) },
  )
}

function refusal(code: ApproverRefusal, request: SigningRequest): DomainError {
  return new DomainError(code, REFUSALS[code], { request: request.id })
}

function checkText(field: string, value: string | undefined): void {
  if (value === undefined || (value.length > 0 && value.length <= MAX_REASON)) return
  throw new DomainError('REQUEST_FIELD_INVALID', `The field ${field} takes 1 to ${MAX_REASON} characters.`, {
    field,
    max: MAX_REASON,
  })
}
