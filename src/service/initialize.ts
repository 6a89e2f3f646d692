// A new repository, from nothing to read back and verified. Every step can be taken up again: the record says how far it came,
// and the same call goes on from there.
import {
  certificateKey,
  type Gun,
  METADATA_LIMITS,
  parseRoleName,
  type RoleName,
  sha256Hex,
  SNAPSHOT,
  TIMESTAMP,
  TufError,
  verifyRootCertificate,
} from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { isFault, isOutage } from '../domain/port-faults.ts'
import type { InitializationFiles } from '../domain/ports.ts'
import { forget, type Repository } from '../domain/repository.ts'
import { retrying } from './backoff.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { verifyPublished } from './load-repository.ts'
import type { Initialization, InitializationRequest, RootSignature } from './services.ts'

/** The attachment in which the key holder hands out root bytes that are to be signed elsewhere. */
const ROOT_SIGNED = 'root.signed'

/** @throws DomainError GUN_ALREADY_PUBLISHED, REPOSITORY_ALREADY_REGISTERED; NotaryError; KeyHolderError; TufError */
export async function initialize(
  dependencies: ServiceDependencies,
  request: InitializationRequest,
  createdBy: string,
): Promise<Initialization> {
  const { repositories, settings } = dependencies
  const existing = repositories.find(request.gun)
  const isSame = existing !== undefined && isSameRequest(existing, request, settings.signerName)
  // While the key holder has given no files the settings may still be corrected: it may have refused them.
  if (existing !== undefined && !isSame && (existing.state !== 'initializing' || existing.firstFiles !== undefined)) {
    throw new DomainError(
      'REPOSITORY_ALREADY_REGISTERED',
      'The repository is registered already, with other settings.',
      {
        gun: request.gun,
        state: existing.state,
      },
    )
  }
  // The key holder checks it again; here so that nothing is asked or stored for a certificate that cannot do.
  if (!isSame && request.root.kind === 'offline') {
    verifyRootCertificate(certificateKey(request.root.certificatePem), request.gun, dependencies.clock.now())
  }
  // 1. The record, with the server's keys. A crash before leaves nothing; after it the same keys are used again.
  const chosen = settingsOf(request, settings.signerName)
  const record =
    existing === undefined
      ? await register(dependencies, request.gun, chosen, createdBy)
      : isSame
        ? existing
        : repositories.update({ ...forget(existing, 'certificatePem'), ...chosen })
  if (record.state !== 'initializing') return answer(record)
  // 2. The key holder makes keys and root. A crash before our save is harmless: asked again, it gives the same files.
  const withFiles = record.firstFiles === undefined ? await haveSigned(dependencies, record, request) : record
  if (withFiles.state !== 'initializing') return answer(withFiles)
  return publishFirst(dependencies, withFiles)
}

async function haveSigned(
  { keyHolder, repositories }: ServiceDependencies,
  repository: Repository,
  { root }: InitializationRequest,
): Promise<Repository> {
  const { gun, serverKeys, signer, keyType } = repository
  if (serverKeys === undefined) throw new Error('A repository that is being initialized has server keys.')
  const result = await keyHolder.initializeRepository({
    gun,
    root,
    snapshotKey: serverKeys.snapshot,
    timestampKey: serverKeys.timestamp,
    signer,
    keyType,
    evidence: { request: 'initialize-repository', principal: repository.createdBy },
  })
  if (result.state === 'ready') return repositories.update(withFirstFiles(repository, result))
  const rootSigned = result.files.get(ROOT_SIGNED)
  if (rootSigned === undefined) throw unexpected(gun, ROOT_SIGNED)
  const { rootKeyIds } = result
  return repositories.update({ ...repository, state: 'awaiting-root-signature', rootKeyIds, rootSigned })
}

/** @throws DomainError ROOT_SIGNATURES_NOT_EXPECTED, GUN_ALREADY_PUBLISHED; KeyHolderError; NotaryError; TufError */
export async function completeInitialization(
  dependencies: ServiceDependencies,
  repository: Repository,
  signatures: readonly RootSignature[],
): Promise<Initialization> {
  const { gun, state, firstFiles, createdBy } = repository
  if (state === 'ready') return answer(repository)
  if (state === 'initializing') {
    if (firstFiles !== undefined) return publishFirst(dependencies, repository)
    throw new DomainError(
      'ROOT_SIGNATURES_NOT_EXPECTED',
      'The root is not ready to be signed. Repeat the initialization first.',
      {
        gun,
      },
    )
  }
  const result = await dependencies.keyHolder.completeInitialization({
    gun,
    signatures,
    evidence: { request: 'complete-initialization', principal: createdBy },
  })
  return publishFirst(dependencies, dependencies.repositories.update(withFirstFiles(repository, result)))
}

type ChosenSettings = Pick<Repository, 'rootKind' | 'certificatePem' | 'signer' | 'keyType'>

function settingsOf(
  { root, delegations, keyType = 'ecdsa' }: InitializationRequest,
  signerName: string,
): ChosenSettings {
  return {
    rootKind: root.kind,
    ...(root.kind === 'offline' ? { certificatePem: root.certificatePem } : {}),
    signer: delegations ? signerName : null,
    keyType,
  }
}

function isSameRequest(repository: Repository, request: InitializationRequest, signerName: string): boolean {
  const chosen = settingsOf(request, signerName)
  return (['rootKind', 'certificatePem', 'signer', 'keyType'] as const).every(
    (name) => repository[name] === chosen[name],
  )
}

async function register(
  { publisher, repositories, clock, source }: ServiceDependencies,
  gun: Gun,
  chosen: ChosenSettings,
  createdBy: string,
): Promise<Repository> {
  if ((await readRoot(source, gun)) !== undefined) throw alreadyPublished(gun)
  // A server may make a new key at each question (notary-v1 trap Q35): asked once, then kept.
  const snapshot = await publisher.serverKey(gun, SNAPSHOT)
  const timestamp = await publisher.serverKey(gun, TIMESTAMP)
  const repository: Repository = {
    gun,
    state: 'initializing',
    ...chosen,
    serverKeys: { snapshot, timestamp },
    rootKeyIds: [],
    createdAt: clock.now(),
    createdBy,
    revision: 1,
  }
  repositories.create(repository)
  return repository
}

/**
 * 3. One publication of root, targets and delegations; then read back, verify from our own root, and let the key holder see it.
 * A crash before leaves the files here; after the upload, on the server too. The same call looks which, and goes on.
 */
async function publishFirst(dependencies: ServiceDependencies, repository: Repository): Promise<Initialization> {
  const { source, publisher, keyHolder, repositories } = dependencies
  const { gun, root, firstFiles } = repository
  if (root === undefined || firstFiles === undefined) throw unexpected(gun, 'root')
  if ((await readRoot(source, gun)) === undefined) {
    try {
      await publisher.publish(gun, byRole(firstFiles))
    } catch (error) {
      // A lost answer may have been a yes. Whose root stands there now is found out below.
      if (isFault('publishRefusal', error) || (await readRoot(source, gun)) === undefined) throw error
    }
  }
  await retrying(dependencies, isOutage, async () => {
    const custody = await keyHolder.repositoryStatus(gun)
    const trusted = await verifyPublished(dependencies, gun, root.bytes, custody).catch(async (error: unknown) => {
      const published = await readRoot(source, gun)
      const isForeign = published !== undefined && sha256Hex(published) !== root.sha256
      throw isForeign && error instanceof TufError ? alreadyPublished(gun) : error
    })
    await keyHolder.observeRepository(gun, trusted.files)
  })
  // A crash before this line leaves `initializing`; the same call finds our root on the server and comes here.
  return answer(repositories.update({ ...forget(repository, 'firstFiles'), state: 'ready' }))
}

function withFirstFiles(repository: Repository, { files, rootKeyIds }: InitializationFiles): Repository {
  const bytes = files.get('root')
  if (bytes === undefined) throw unexpected(repository.gun, 'root')
  const rest = forget(repository, 'rootSigned')
  return { ...rest, state: 'initializing', rootKeyIds, firstFiles: files, root: { sha256: sha256Hex(bytes), bytes } }
}

function answer({ gun, state, rootKeyIds, rootSigned }: Repository): Initialization {
  if (state === 'ready') return { gun, state, rootKeyIds }
  return { gun, state: 'awaiting-root-signature', rootKeyIds, ...(rootSigned === undefined ? {} : { rootSigned }) }
}

/** The newest root that the server has, unverified; undefined where the GUN is not published. */
export async function readRoot(source: ServiceDependencies['source'], gun: Gun): Promise<Uint8Array | undefined> {
  return source.read(gun, 'root.json', METADATA_LIMITS.maxBytes)
}

function byRole(files: ReadonlyMap<string, Uint8Array>): ReadonlyMap<RoleName, Uint8Array> {
  return new Map([...files].map(([name, bytes]) => [parseRoleName(name), bytes]))
}

function alreadyPublished(gun: Gun): DomainError {
  return new DomainError(
    'GUN_ALREADY_PUBLISHED',
    'The trust server has metadata for this name that was not made here. Have it pinned by the operator, then adopt it.',
    { gun },
  )
}

function unexpected(gun: Gun, missing: string): DomainError {
  return new DomainError('SIGNED_ROLES_UNEXPECTED', 'The key holder answered without a file that was needed.', {
    gun,
    missing,
  })
}
