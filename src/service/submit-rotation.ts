// Takes the wish that staged keys take the place of their predecessors: permission first, then record, store, acknowledgement. Which
// keys is the key holder's knowledge, from an operator's act on its own socket; here nobody names one.
import type { Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { stagedKeys } from '../domain/key-rotation.ts'
import { rotationDecision } from '../domain/policy.ts'
import type { Principal } from '../domain/principal.ts'
import { advance, isFinal, requestStatus, type SigningRequest } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { recordSubmission, requireReady, type Submitted } from './submit.ts'

/**
 * Idempotent while the repository has a rotation under way: that one is the answer.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROTATION_NOT_STAGED; KeyHolderError, StoreError; then nothing is stored
 */
export async function submitRotation(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
  origin?: string,
): Promise<Submitted> {
  const { repositories, keyHolder, requests, clock, identifiers } = dependencies
  requireReady(repositories, principal, 'operator', gun)
  const running = underWay(dependencies, gun)
  if (running !== undefined) return { request: running, isRepeated: true }
  const staged = stagedKeys(await keyHolder.repositoryStatus(gun))
  if (staged.length === 0) {
    throw new DomainError('ROTATION_NOT_STAGED', 'No key of this repository waits to replace another one.', { gun })
  }
  const at = clock.now()
  const decision = rotationDecision(
    staged.map(({ role, from, to }) => `${gun} ${role}: ${from} -> ${to}`),
    at,
  )
  const record = advance(
    { status: 'submitted', subject: { reference: gun, gun }, at },
    { type: 'decided', decision },
    at,
  )
  const request: SigningRequest = {
    id: identifiers.next('request'),
    kind: 'rotate',
    submitter: { id: principal.id, name: principal.name },
    ...(origin === undefined ? {} : { origin }),
    createdAt: at,
    images: [{ record, revision: 1 }],
  }
  // Record before act. A crash after this line leaves a record of a request that nobody was told of.
  await recordSubmission(dependencies, request)
  return requests.create(request)
}

function underWay({ requests }: ServiceDependencies, gun: Gun): SigningRequest | undefined {
  const pending = requests.unfinished(gun).find(({ kind }) => kind === 'rotate')
  const request = pending === undefined ? undefined : requests.find(pending.request)
  return request === undefined || isFinal(requestStatus(request.images)) ? undefined : request
}
