// Signing requests as the outer layers see them: submit, find, list, wait.
import type { Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import type { PendingImage } from '../domain/ports.ts'
import { isGranted, type Principal } from '../domain/principal.ts'
import { isFinal, requestStatus, type RequestStatus, type SigningRequest } from '../domain/signing-request.ts'
import type { GunWorker } from './advance-gun.ts'
import { Approvals } from './approvals.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { ImageProgress } from './image-progress.ts'
import type { Progress } from './progress.ts'
import { planMove, submitMove } from './move.ts'
import { planPruning } from './pruning.ts'
import { planRootChange, submitRootChange } from './root-change.ts'
import { resubmission } from './resubmission.ts'
import type {
  ApprovalInput,
  DenialInput,
  Explanation,
  MovePlan,
  MoveRequest,
  PrunePage,
  RequestService,
  Resubmission,
  RootChangeRequest,
  RootPlan,
  RootPlanRequest,
  Submission,
} from './services.ts'
import { SubmissionBatch } from './submission-batch.ts'
import { SubmissionsUnderWay } from './submissions-under-way.ts'
import { explain, type Intake, submit, type Submitted } from './submit.ts'
import { planRepair, submitRenewal, submitRepair, submitRotation } from './submit-upkeep.ts'
import type { PruneRules } from '../domain/pruning.ts'
import type { ExpiredRole } from '../domain/repair.ts'

const DEFAULT_PAGE = 50
const MAX_PAGE = 200

export class Requests implements RequestService {
  readonly #dependencies: ServiceDependencies
  readonly #progress: Progress
  readonly #worker: GunWorker
  readonly #intake: Intake
  readonly #approvals: Approvals

  constructor(dependencies: ServiceDependencies, progress: Progress, worker: GunWorker) {
    this.#dependencies = dependencies
    this.#progress = progress
    this.#worker = worker
    this.#intake = { batch: new SubmissionBatch(dependencies.requests), underWay: new SubmissionsUnderWay() }
    this.#approvals = new Approvals(dependencies, new ImageProgress(dependencies, progress), (who, id) =>
      this.find(who, id),
    )
  }

  async submit(principal: Principal, submission: Submission): Promise<Submitted> {
    return this.#accept(await submit(this.#dependencies, this.#intake, principal, submission))
  }

  explain(principal: Principal, submission: Submission, as: Principal = principal): Promise<readonly Explanation[]> {
    return explain(this.#dependencies, this.#intake.underWay, principal, submission, as)
  }

  planPruning(principal: Principal, gun: Gun, rules: PruneRules, after?: string): Promise<PrunePage> {
    return planPruning(this.#dependencies, principal, gun, rules, after)
  }

  async approve(principal: Principal, id: string, input: ApprovalInput): Promise<SigningRequest> {
    return this.#goOn(await this.#approvals.approve(principal, id, input))
  }

  deny(principal: Principal, id: string, input: DenialInput): Promise<SigningRequest> {
    return this.#approvals.deny(principal, id, input)
  }

  withdraw(principal: Principal, id: string): Promise<SigningRequest> {
    return this.#approvals.withdraw(principal, id)
  }

  async resubmit(principal: Principal, id: string, input: Resubmission): Promise<Submitted> {
    const { submission, submitter } = resubmission(principal, this.find(principal, id), input)
    return this.#accept(await submit(this.#dependencies, this.#intake, principal, submission, submitter))
  }

  /** Ends what has waited for approvals too long. @throws KeyHolderError, StoreError */
  expire(unfinished: readonly PendingImage[]): Promise<void> {
    return this.#approvals.expire(unfinished)
  }

  async rotate(principal: Principal, gun: Gun): Promise<Submitted> {
    return this.#accept(await submitRotation(this.#dependencies, principal, gun))
  }

  async renew(principal: Principal, gun: Gun): Promise<Submitted> {
    return this.#accept(await submitRenewal(this.#dependencies, principal, gun))
  }

  planRepair(principal: Principal, gun: Gun): Promise<readonly ExpiredRole[]> {
    return planRepair(this.#dependencies, principal, gun)
  }

  async repair(principal: Principal, gun: Gun): Promise<Submitted> {
    return this.#accept(await submitRepair(this.#dependencies, principal, gun))
  }

  planRootChange(principal: Principal, gun: Gun, request: RootPlanRequest): Promise<RootPlan> {
    return planRootChange(this.#dependencies, principal, gun, request)
  }

  async changeRoot(principal: Principal, gun: Gun, request: RootChangeRequest): Promise<Submitted> {
    return this.#accept(await submitRootChange(this.#dependencies, principal, gun, request))
  }

  planMove(principal: Principal, gun: Gun, to: string): Promise<MovePlan> {
    return planMove(this.#dependencies, principal, gun, to)
  }

  async move(principal: Principal, gun: Gun, request: MoveRequest): Promise<Submitted> {
    return this.#accept(await submitMove(this.#dependencies, principal, gun, request))
  }

  #accept(submitted: Submitted): Submitted {
    const { id, kind, images } = submitted.request
    if (!submitted.isRepeated) {
      for (const [position, { record }] of images.entries()) {
        const { gun } = record.subject
        const code = record.status === 'failed' ? { code: record.error.code } : {}
        this.#progress.requestChanged({ request: id, position, kind, gun, from: undefined, to: record.status, ...code })
      }
    }
    this.#goOn(submitted.request)
    return submitted
  }

  /** The acknowledgement does not wait for the work; a crash here is made good at the next start. */
  #goOn(request: SigningRequest): SigningRequest {
    for (const gun of new Set(request.images.map(({ record }) => record.subject.gun))) void this.#worker.wake(gun)
    return request
  }

  find(principal: Principal, id: string): SigningRequest {
    const request = this.#dependencies.requests.find(id)
    if (request === undefined || !isVisible(principal, request)) {
      throw new DomainError('REQUEST_NOT_FOUND', 'There is no such request, or this identity may not see it.', {
        request: id.slice(0, 64),
      })
    }
    return this.#withReasons(request)
  }

  #withReasons(request: SigningRequest): SigningRequest {
    const images = request.images.map((image, position) => {
      const waiting = this.#progress.reason(request.id, position)
      return waiting === undefined || isFinal(image.record.status) ? image : { ...image, waiting }
    })
    return { ...request, images }
  }

  list(
    principal: Principal,
    query: { limit?: number; cursor?: string; gun?: Gun; status?: RequestStatus },
  ): { readonly requests: readonly SigningRequest[]; readonly nextCursor?: string } {
    const { limit = DEFAULT_PAGE, ...rest } = query
    return this.#dependencies.requests.list({
      ...rest,
      limit: Math.min(MAX_PAGE, Math.max(1, Math.trunc(limit))),
      isVisible: (request) => isVisible(principal, request),
    })
  }

  async waitFor(principal: Principal, id: string, waitMs: number, signal?: AbortSignal): Promise<SigningRequest> {
    const answered = new AbortController()
    let isOver = false
    let wake: () => void = () => undefined
    // Watching starts before the first look, so that no change falls between.
    const unwatch = this.#progress.watch(id, () => {
      wake()
    })
    const end = (): void => {
      isOver = true
      wake()
    }
    signal?.addEventListener('abort', end)
    try {
      if (signal?.aborted === true) isOver = true
      else if (waitMs > 0) void this.#dependencies.pause.wait(waitMs, answered.signal).then(end, end)
      else isOver = true
      for (;;) {
        const changed = new Promise<void>((resolve) => {
          wake = resolve
        })
        const request = this.find(principal, id)
        if (isOver || isFinal(requestStatus(request.images))) return request
        await changed
      }
    } finally {
      unwatch()
      answered.abort()
      signal?.removeEventListener('abort', end)
    }
  }
}

/** Whoever may read all its repositories; a submitter also sees the own requests after losing the grant. */
function isVisible(principal: Principal, request: SigningRequest): boolean {
  return (
    request.submitter.id === principal.id ||
    request.images.every(({ record }) => isGranted(principal, 'read', record.subject.gun))
  )
}
