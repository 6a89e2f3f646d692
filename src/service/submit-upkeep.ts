// Takes requests about a repository as a whole: that staged keys take the place of their predecessors, or that roles are signed again
// before they expire. Permission first, then record, store, acknowledgement.
import { TARGETS, type Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { stagedKeys } from '../domain/key-rotation.ts'
import { upkeepDecision } from '../domain/policy.ts'
import type { Principal } from '../domain/principal.ts'
import { expiredRoles, rolesToRepair, type ExpiredRole } from '../domain/repair.ts'
import { coversWindows, rolesToRenew, windowsFor, windowsWithin } from '../domain/renewal.ts'
import {
  advance,
  isFinal,
  requestStatus,
  type RepositorySubject,
  type SigningRequest,
  type UpkeepKind,
} from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
import { requireReady } from './submission-checks.ts'
import { recordSubmission } from './submission-record.ts'
import { submitterOf, type Submitted } from './submit.ts'

/**
 * Which keys is the key holder's knowledge, from an operator's act on its own socket; here nobody names one. Idempotent while the
 * repository has a rotation under way: that one is the answer.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROTATION_NOT_STAGED; KeyHolderError, StoreError; then nothing is stored
 */
export async function submitRotation(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
): Promise<Submitted> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const running = underWay(dependencies, gun, 'rotate')
  if (running !== undefined) return { request: running, isRepeated: true }
  const staged = stagedKeys(await dependencies.keyHolder.repositoryStatus(gun)).filter(({ role }) => role !== TARGETS)
  if (staged.length === 0) {
    throw new DomainError('ROTATION_NOT_STAGED', 'No key of this repository waits to replace another one.', { gun })
  }
  const subjects = staged.map(({ role, from, to }) => `${gun} ${role}: ${from} -> ${to}`)
  return storeUpkeep(dependencies, principal, { reference: gun, gun }, 'rotate', subjects)
}

/**
 * Idempotent while the repository has a renewal under way that takes in all that is asked for now: the daemon's own leaves out roles that
 * the settings have renewed only when somebody asks.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, RENEWAL_NOT_DUE; TufError, NotaryError, KeyHolderError, StoreError
 */
export async function submitRenewal(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
): Promise<Submitted> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const { clock, settings } = dependencies
  const windows = windowsFor(principal, settings.renewal)
  const running = allUnderWay(dependencies, gun, 'renew').find(({ submitter }) =>
    coversWindows(windowsFor(submitter, settings.renewal), windows),
  )
  if (running !== undefined) return { request: running, isRepeated: true }
  const { trusted, custody } = await loadRepository(dependencies, gun)
  const roles = rolesToRenew(trusted, custody, windowsWithin(windows, custody), clock.now())
  if (roles.length === 0) {
    throw new DomainError('RENEWAL_NOT_DUE', 'No role that is signed here expires soon.', { gun })
  }
  return storeUpkeep(
    dependencies,
    principal,
    { reference: gun, gun },
    'renew',
    roles.map((role) => `${gun} ${role}`),
  )
}

/** What has expired, and what of it can be signed again here. @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY; as `loadRepository` */
export async function planRepair(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
): Promise<readonly ExpiredRole[]> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const o = { acceptsExpired: true, acceptsExpiredRoot: true }
  const { trusted, custody } = await loadRepository(dependencies, gun, o)
  return expiredRoles(trusted, custody)
}

/**
 * Idempotent while the repository has a repair under way.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, REPAIR_NOT_NEEDED, REPAIR_NOT_POSSIBLE; TufError, NotaryError,
 * KeyHolderError, StoreError
 */
export async function submitRepair(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
): Promise<Submitted> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const running = underWay(dependencies, gun, 'repair')
  if (running !== undefined) return { request: running, isRepeated: true }
  const expired = await planRepair(dependencies, principal, gun)
  if (expired.length === 0) {
    throw new DomainError('REPAIR_NOT_NEEDED', 'Neither targets nor a delegation of this repository has expired.', {
      gun,
    })
  }
  const roles = rolesToRepair(expired)
  if (roles.length === 0) {
    const why = expired.flatMap(({ obstacle }) => obstacle ?? [])
    throw new DomainError('REPAIR_NOT_POSSIBLE', why.join(' '), {
      gun,
      roles: expired.map(({ role }) => role).join(' '),
    })
  }
  const subjects = expired
    .filter(({ role }) => roles.includes(role))
    .map(({ role, version, expiredAt }) => `${gun} ${role}: version ${version} expired at ${expiredAt.toISOString()}`)
  return storeUpkeep(dependencies, principal, { reference: gun, gun }, 'repair', subjects)
}

/** @param subjects what is changed, a text each, for the record of the decision @throws KeyHolderError, StoreError */
export async function storeUpkeep(
  dependencies: ServiceDependencies,
  principal: Principal,
  subject: RepositorySubject,
  kind: UpkeepKind,
  subjects: readonly string[],
): Promise<Submitted> {
  const { requests, clock, identifiers } = dependencies
  const at = clock.now()
  const decision = upkeepDecision(kind, subjects, at)
  const record = advance({ status: 'submitted', subject, at }, { type: 'decided', decision }, at)
  const request: SigningRequest = {
    id: identifiers.next('request'),
    kind,
    submitter: submitterOf(principal),
    createdAt: at,
    images: [{ record, revision: 1 }],
  }
  // Record before act. A crash after this line leaves a record of a request that nobody was told of.
  await recordSubmission(dependencies, request)
  return requests.create(request)
}

/** The request of this kind that is not finished. */
export function underWay(dependencies: ServiceDependencies, gun: Gun, kind: UpkeepKind): SigningRequest | undefined {
  return allUnderWay(dependencies, gun, kind)[0]
}

function allUnderWay({ requests }: ServiceDependencies, gun: Gun, kind: UpkeepKind): readonly SigningRequest[] {
  return requests
    .unfinished(gun)
    .filter((image) => image.kind === kind)
    .flatMap(({ request }) => requests.find(request) ?? [])
    .filter(({ images }) => !isFinal(requestStatus(images)))
}
