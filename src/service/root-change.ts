// Plans the next root of a repository, for its keys to sign elsewhere, and takes the signed one as a request. Permission first.
import {
  attachSignatures,
  certificateKey,
  decodeBase64,
  encodeBase64,
  parseRoleName,
  parseTufKeyId,
  ROOT,
  signingRole,
  TARGETS,
  type BaseRoleChange,
  type Gun,
  type PublicKey,
  type SignatureEntry,
} from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { USUAL_LIFETIMES } from '../domain/lifetimes.ts'
import { stagedKeys } from '../domain/key-rotation.ts'
import type { Principal } from '../domain/principal.ts'
import { holdsRoot, planNextRoot, rootChangeSubjects, verifyRootChange } from '../domain/root-change.ts'
import { nextRootOf } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { expiryFor, loadRepository, type LoadedRepository } from './load-repository.ts'
import type { RootChangeRequest, RootPlan, RootPlanRequest } from './services.ts'
import { requireReady } from './submission-checks.ts'
import type { Submitted } from './submit.ts'
import { storeUpkeep, underWay } from './submit-upkeep.ts'

/** An expired root is what the next one ends, and without it targets that have expired, too, cannot be repaired. */
const EXPIRY = expiryFor('root')

/**
 * The next root, unsigned. Nothing is stored here; a new key of the trust server waits there until a root lists it.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROTATION_NOT_STAGED, ROOT_CHANGE_INVALID; TufError CERTIFICATE_*, KEY_*;
 * NotaryError, KeyHolderError
 */
export async function planRootChange(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
  request: RootPlanRequest,
): Promise<RootPlan> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const rootKeys = request.rootCertificates.map((pem) => certificateKey(pem))
  const loaded = await loadRepository(dependencies, gun, EXPIRY)
  const changes: BaseRoleChange[] = rootKeys.length === 0 ? [] : [{ role: ROOT, keys: rootKeys }]
  for (const role of new Set(request.rotate.map(parseRoleName))) {
    const keys =
      role === TARGETS
        ? await stagedTargets(dependencies, loaded)
        : [await dependencies.publisher.rotateServerKey(gun, role)]
    changes.push({ role, keys })
  }
  const { rootMs } = loaded.custody.lifetimes ?? USUAL_LIFETIMES
  const expiresAt = new Date(dependencies.clock.now().getTime() + rootMs)
  const { root } = loaded.trusted
  return { gun, current: root.bytes, next: planNextRoot(loaded.trusted, changes, expiresAt) }
}

/**
 * Idempotent while the same root is under way, or published.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, ROOT_CHANGE_INVALID, ROOT_CHANGE_OUTDATED,
 * ROOT_CHANGE_UNDER_WAY; TufError, NotaryError, KeyHolderError, StoreError
 */
export async function submitRootChange(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
  { next, signatures }: RootChangeRequest,
): Promise<Submitted> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const file = signedFile(gun, next, signatures)
  const running = underWay(dependencies, gun, 'root') ?? underWay(dependencies, gun, 'move')
  if (running !== undefined) {
    const [asked] = running.images.map(({ record }) => nextRootOf(record))
    const isSame = running.kind === 'root' && asked !== undefined && Buffer.compare(asked, file) === 0
    if (isSame) return { request: running, isRepeated: true }
    throw new DomainError('ROOT_CHANGE_UNDER_WAY', 'Another change of root is under way. Wait for its end.', {
      gun,
      request: running.id,
    })
  }
  const { trusted } = await loadRepository(dependencies, gun, EXPIRY)
  const subjects = holdsRoot(trusted, file)
    ? [`${gun} root: published already`]
    : rootChangeSubjects(trusted, verifyRootChange(trusted, file))
  const subject = { reference: gun, gun, nextRoot: encodeBase64(file) }
  return storeUpkeep(dependencies, principal, subject, 'root', subjects)
}

/** Keys that stay, with the staged ones in the place of those that they were made for. @throws DomainError ROTATION_NOT_STAGED */
async function stagedTargets(
  { keyHolder }: ServiceDependencies,
  { trusted, custody }: LoadedRepository,
): Promise<readonly PublicKey[]> {
  const { gun } = trusted
  const staged = stagedKeys(custody).filter(({ role }) => role === TARGETS)
  const [next] = staged
  if (next === undefined) {
    throw new DomainError('ROTATION_NOT_STAGED', 'No key of base targets waits to replace another one.', { gun })
  }
  const listed = signingRole(trusted, TARGETS)?.keys ?? []
  const { key } = await keyHolder.exportPublicKey(gun, TARGETS, next.to)
  return listed.map((former) => (former.canonicalKeyId === next.from ? key : former))
}

/** @throws DomainError ROOT_CHANGE_INVALID where it cannot be a file of metadata, whatever it says */
export function signedFile(gun: Gun, next: Uint8Array, signatures: RootChangeRequest['signatures']): Uint8Array {
  const entries = signatures.map(signatureEntry)
  try {
    return attachSignatures({ message: next }, entries)
  } catch (cause) {
    throw new DomainError(
      'ROOT_CHANGE_INVALID',
      'These bytes and signatures are no file of metadata.',
      { gun },
      { cause },
    )
  }
}

function signatureEntry({ keyId, method, signature }: RootChangeRequest['signatures'][number]): SignatureEntry {
  return { keyId: parseTufKeyId(keyId), method, signature: decodeBase64(signature) }
}
