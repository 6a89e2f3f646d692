// Steps 1 to 4 of a publication: look at the registry again, load and verify the base, choose roles, save the intent.
// Nothing is signed here, and every way out leaves an image moved: to `intended`, to its end, or left for the next round.
// The steps are named in steps.ts.
import {
  changesTargets,
  encodeBase64,
  type Gun,
  ROOT,
  type RoleName,
  TARGETS,
  type TargetsChange,
  targetsOf,
  type TrustedRepository,
  TufError,
  verifyEdit,
} from '@countersign/tuf'
import { isSameGround } from '../domain/decision.ts'
import { DomainError } from '../domain/errors.ts'
import { evidenceOf, signedApprovals } from '../domain/evidence.ts'
import { failureOf, isOutage } from '../domain/port-faults.ts'
import { isRotated, rolesToRotate, stagedKeys } from '../domain/key-rotation.ts'
import type { DeclaredChange, PendingImage, RepositoryCustody } from '../domain/ports.ts'
import type { KeyChange, Publication } from '../domain/publication.ts'
import { checkMovingRoot } from '../domain/move.ts'
import { MAX_PRUNED } from '../domain/pruning.ts'
import { holdsRoot, rolesOfRootChange, verifyRootChange } from '../domain/root-change.ts'
import { renewalEnd, rolesToRenew, windowsFor, windowsWithin } from '../domain/renewal.ts'
import { expiredRoles, rolesToRepair } from '../domain/repair.ts'
import { roleVersions } from '../domain/role-versions.ts'
import { rolesToSign, rolesToUnsign } from '../domain/publication-roles.ts'
import { signedDigest } from '../domain/signed-entry.ts'
import { imageOf, moveToOf, nextRootOf } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { ImageProgress } from './image-progress.ts'
import { judgeAgain } from './judgement.ts'
import { expiryFor, type LoadedRepository, loadRepository } from './load-repository.ts'
import { checkMove } from './move.ts'
import { requireImage, SecondLook } from './second-look.ts'
import type { SnapshotKeyCheck } from './snapshot-key.ts'
import type { PublicationStep } from './steps.ts'
import { throughOutages } from './through-outages.ts'

export interface Intent {
  readonly publication: Publication
  readonly images: readonly PendingImage[]
  readonly base: TrustedRepository
}

interface Candidate {
  readonly image: PendingImage
  /** Of a tag. */
  readonly change?: TargetsChange
  /** Of a rotation. */
  readonly keys?: readonly KeyChange[]
  /** Of a renewal: what the expiry dates are to lie behind. */
  readonly until?: Date
  readonly isRepair?: boolean
  /** Of a change of root: the signed file. */
  readonly nextRoot?: Uint8Array
  readonly moveTo?: string
  readonly roles: readonly RoleName[]
}

/** Changes of one publication, and of one that only drops: a shorter list keeps a failure small, and what is pruned goes at once. */
const MAX_CHANGES = { put: 500, drop: MAX_PRUNED }
/** Bytes of what goes to the key holder with the changes, below those of a frame's header. */
const MAX_CHANGE_BYTES = 3 * 1024 * 1024

export class IntentFormer {
  readonly #dependencies: ServiceDependencies
  readonly #progress: ImageProgress
  readonly #snapshotKey: SnapshotKeyCheck
  readonly #second: SecondLook

  constructor(dependencies: ServiceDependencies, progress: ImageProgress, snapshotKey: SnapshotKeyCheck) {
    this.#dependencies = dependencies
    this.#progress = progress
    this.#snapshotKey = snapshotKey
    this.#second = new SecondLook(dependencies, progress)
  }

  /**
   * Approved images of one GUN and one kind -> one intent. `ended`: none is left. `later`: somebody who must be asked is out of
   * reach, and the images wait as they are.
   */
  async form(gun: Gun, images: readonly PendingImage[]): Promise<Intent | 'ended' | 'later'> {
    // 1. The registry must still serve what was decided upon: the tag may have moved while the request waited. First, so that nobody
    //    else publishes between 2 and the upload while a registry is slow. A crash before or after leaves the images approved, or failed.
    const { checked, isWaiting } = await this.#recheck(forOneVersion(distinctTags(images)))
    const none = isWaiting ? 'later' : 'ended'
    if (checked.length === 0) return none
    this.#passed('digests-checked')
    // 2. Load and verify the base. A crash before or after leaves the images approved: the next start begins at 1 again.
    let loaded: LoadedRepository
    try {
      loaded = await this.#load(gun, checked)
    } catch (error) {
      return this.#refuse(checked, error)
    }
    this.#passed('base-loaded')
    // 3. Choose the roles; refuse before anything is signed where the publication could not succeed. A crash before or after leaves
    //    the images approved, or at their end (failed, or published by a version that stands already).
    const candidates = sameRoles(checked.flatMap((image) => this.#candidate(loaded, image) ?? []))
    const changing = candidates.filter((candidate) => !this.#isSettled(loaded.trusted, candidate))
    const [first] = changing
    if (first === undefined) return none
    this.#passed('roles-chosen')
    // 4. Save the intent. A crash before leaves the images approved; a crash after leaves an intent that nobody acts upon any more:
    //    whether the key holder signed it is not known, so it is given up, and a version it may have signed is burnt by the next.
    try {
      const intent = this.#save(loaded.trusted, first.roles, changing)
      this.#passed('intent-saved')
      return intent
    } catch (error) {
      // What cannot be built upon is refused with its code; a record that somebody else moved is looked at again.
      if (!(error instanceof TufError)) throw error
      return this.#refuse(
        changing.map(({ image }) => image),
        error,
      )
    }
  }

  #passed(step: PublicationStep): void {
    this.#dependencies.onStep?.(step)
  }

  async #load(gun: Gun, images: readonly PendingImage[]): Promise<LoadedRepository> {
    return throughOutages(this.#dependencies, this.#progress, images, async () => {
      const loaded = await loadRepository(this.#dependencies, gun, expiryFor(images[0]?.kind))
      // A move gives the snapshot to the new server, whoever signed it at the old one.
      if (images[0]?.kind !== 'move') await this.#snapshotKey.require(loaded.trusted)
      else await this.#checkMove(loaded, images[0])
      return loaded
    })
  }

  /** What the plan has checked may be otherwise by now. @throws DomainError MOVE_*, ROOT_CHANGE_OUTDATED; TufError, NotaryError */
  async #checkMove(loaded: LoadedRepository, { record }: PendingImage): Promise<void> {
    const [to, next] = [moveToOf(record), nextRootOf(record)]
    if (to === undefined || next === undefined) throw new Error('A move has a destination and a root.')
    if (!holdsRoot(loaded.trusted, next)) await checkMove(this.#dependencies, loaded, to, next)
  }

  #candidate(loaded: LoadedRepository, image: PendingImage): Candidate | undefined {
    const { trusted, custody } = loaded
    try {
      if (image.kind === 'rotate') return this.#rotation(trusted, custody, image)
      if (image.kind === 'renew') return this.#renewal(trusted, custody, image)
      if (image.kind === 'repair') return this.#repair(trusted, custody, image)
      if (image.kind === 'root' || image.kind === 'move') return this.#rootChange(trusted, image)
      return this.#imageChange(loaded, image)
    } catch (error) {
      this.#progress.move([image], [{ type: 'failed', error: failureOf(error) }])
      return undefined
    }
  }

  /** Undefined: by the rules of now it is denied, or waits for approvals again. @throws DomainError */
  #imageChange({ trusted, custody, repository }: LoadedRepository, asked: PendingImage): Candidate | undefined {
    const image = this.#reconsidered(trusted, asked)
    if (image === undefined) return undefined
    const { tag, sha256, length } = requireImage(image)
    if (image.kind === 'unsign') {
      requireSignedDigest(trusted, image)
      return { image, change: { kind: 'drop', name: tag }, roles: rolesToUnsign(trusted, custody, tag) }
    }
    if (sha256 === undefined || length === undefined) throw new Error('A request to sign has no digest.')
    const roles = rolesToSign(trusted, custody, repository.signer, tag)
    return { image, change: { kind: 'put', name: tag, sha256, length }, roles }
  }

  /**
   * Rules and tag may have changed while the request waited: what was decided on other ground is decided again, here, where the base that
   * will be built upon is known.
   */
  #reconsidered(base: TrustedRepository, image: PendingImage): PendingImage | undefined {
    const { record } = image
    if (record.status !== 'approved') return image
    const { tag, sha256 } = requireImage(image)
    const standing = signedDigest(base, tag)
    const now = this.#dependencies.clock.now()
    const judged = judgeAgain(this.#dependencies.policies.current(), image, standing, now)
    if (judged === undefined) return image
    // That it stands there as asked already is no other ground: there is nothing left to approve.
    const isAsAsked = image.kind === 'sign' && standing !== undefined && standing === sha256
    const { decision: former } = record
    const isSame = isAsAsked ? judged.policyDigest === former.policyDigest : isSameGround(judged, former)
    if (judged.outcome === 'allow' && isSame) return image
    const [moved] = this.#progress.move([image], [{ type: 'reconsidered', decision: judged }])
    return moved?.record.status === 'approved' ? moved : undefined
  }

  /** The keys are those that the key holder has staged. Undefined: it stands there already, by a lost answer or the owner's hand. */
  #rotation(base: TrustedRepository, custody: RepositoryCustody, image: PendingImage): Candidate | undefined {
    const keys = stagedKeys(custody).map(({ from, to }) => ({ from, to }))
    const roles = rolesToRotate(base, keys)
    if (!isRotated(base, keys)) return { image, keys, roles }
    this.#progress.move([image], [{ type: 'found-unchanged', roles: roleVersions(base, roles) }])
    return undefined
  }

  /** Undefined: nothing expires soon any more, by a lost answer or because the roles were signed for another reason. */
  #renewal(base: TrustedRepository, custody: RepositoryCustody, image: PendingImage): Candidate | undefined {
    const { clock, settings } = this.#dependencies
    const windows = windowsWithin(windowsFor(image.submitter, settings.renewal), custody)
    const now = clock.now()
    const roles = rolesToRenew(base, custody, windows, now)
    if (roles.length > 0) return { image, until: renewalEnd(windows, roles, now), roles }
    this.#progress.move([image], [{ type: 'found-unchanged', roles: roleVersions(base, [TARGETS]) }])
    return undefined
  }

  /** Undefined: nothing has expired any more that we can sign. */
  #repair(base: TrustedRepository, custody: RepositoryCustody, image: PendingImage): Candidate | undefined {
    const roles = rolesToRepair(expiredRoles(base, custody))
    if (roles.length > 0) return { image, isRepair: true, roles }
    this.#progress.move([image], [{ type: 'found-unchanged', roles: roleVersions(base, [TARGETS]) }])
    return undefined
  }

  /** Undefined: it stands there already, by a lost answer. @throws DomainError, TufError */
  #rootChange(base: TrustedRepository, image: PendingImage): Candidate | undefined {
    const nextRoot = nextRootOf(image.record)
    if (nextRoot === undefined) throw new Error('A change of root has a root.')
    if (holdsRoot(base, nextRoot)) {
      this.#progress.move([image], [{ type: 'found-unchanged', roles: roleVersions(base, [ROOT]) }])
      return undefined
    }
    const { changes } = verifyRootChange(base, nextRoot)
    const moveTo = moveToOf(image.record)
    if (moveTo !== undefined) checkMovingRoot(base.gun, changes)
    return { image, nextRoot, roles: rolesOfRootChange(changes), ...(moveTo !== undefined && { moveTo }) }
  }

  /** Images wait for an outage to pass, but not for ever: then they fail with its code. */
  #refuse(images: readonly PendingImage[], error: unknown): 'ended' | 'later' {
    const failing = isOutage(error) ? images.filter((image) => !isPatient(this.#dependencies, image)) : images
    if (failing.length > 0) this.#progress.move(failing, [{ type: 'failed', error: failureOf(error) }])
    this.#progress.wait(
      images.filter((image) => !failing.includes(image)),
      error,
    )
    return failing.length < images.length ? 'later' : 'ended'
  }

  async #recheck(
    images: readonly PendingImage[],
  ): Promise<{ readonly checked: readonly PendingImage[]; readonly isWaiting: boolean }> {
    const checked: PendingImage[] = []
    let isWaiting = false
    for (const { item: image, result } of await this.#second.look(images)) {
      if (result.status === 'fulfilled') checked.push(image)
      else if (this.#refuse([image], result.reason) === 'later') isWaiting = true
    }
    return { checked, isWaiting }
  }

  /** The repository may say so already (asked twice, or published by a version whose answer was lost): nothing is signed then. */
  #isSettled(base: TrustedRepository, { image, change, roles }: Candidate): boolean {
    if (change === undefined) return false
    try {
      if (roles.some((role) => changesTargets(base, role, [change]))) return false
    } catch (error) {
      this.#progress.move([image], [{ type: 'failed', error: failureOf(error) }])
      return true
    }
    this.#progress.move([image], [{ type: 'found-unchanged', roles: roleVersions(base, roles) }])
    return true
  }

  #save(base: TrustedRepository, roles: readonly RoleName[], candidates: readonly Candidate[]): Intent | 'ended' {
    const [first] = candidates
    if (first === undefined) return 'ended'
    const { clock, identifiers } = this.#dependencies
    const now = clock.now()
    const changes = candidates.flatMap(({ change }) => change ?? [])
    const { keys, until, nextRoot, moveTo, isRepair = false } = first
    const evidence = evidenceOf(first.image)
    const publication: Publication = {
      id: identifiers.next('publication'),
      gun: base.gun,
      kind: first.image.kind,
      roles: changes.length > 0 ? changedRoles(base, roles, changes, now) : roles,
      changes: candidates.flatMap((candidate) => declared(candidate) ?? []),
      ...(keys !== undefined && { keys: { changes: keys, evidence } }),
      ...(until !== undefined && { renewal: { until, evidence } }),
      ...(isRepair && { repair: { evidence } }),
      ...(nextRoot !== undefined && {
        root: { file: encodeBase64(nextRoot), evidence, ...(moveTo !== undefined && { moveTo }) },
      }),
      base: roleVersions(base, roles),
      createdAt: now,
      files: [],
    }
    const images = this.#progress.move(
      candidates.map(({ image }) => image),
      [{ type: 'intent-saved', publication: publication.id }],
      { publication },
    )
    return { publication, images, base }
  }
}

function declared({ image, change }: Candidate): DeclaredChange | undefined {
  if (change === undefined) return undefined
  const approvals = signedApprovals(image)
  return { change, evidence: evidenceOf(image), ...(approvals.length > 0 && { approvals }) }
}

/** A second change of the same tag waits for the next version. */
function distinctTags(images: readonly PendingImage[]): readonly PendingImage[] {
  const seen = new Set<string>()
  return images.filter(({ record }) => {
    const tag = imageOf(record)?.tag
    return tag === undefined || (!seen.has(tag) && seen.add(tag))
  })
}

/** What one version takes; the rest waits for the next one. */
function forOneVersion(images: readonly PendingImage[]): readonly PendingImage[] {
  const some = images.slice(0, images[0]?.kind === 'unsign' ? MAX_CHANGES.drop : MAX_CHANGES.put)
  let bytes = 0
  const end = some.findIndex((image) => {
    bytes += bytesOf(image)
    return bytes > MAX_CHANGE_BYTES
  })
  return end < 1 ? (end === 0 ? some.slice(0, 1) : some) : some.slice(0, end)
}

/** About: names and marks of the change itself, and what is known to grow. */
function bytesOf(image: PendingImage): number {
  const tag = imageOf(image.record)?.tag ?? ''
  return 256 + Buffer.byteLength(JSON.stringify([tag, evidenceOf(image), signedApprovals(image)]))
}

/** One publication changes the same roles for all its tags; others wait for the next one. */
function sameRoles(candidates: readonly Candidate[]): readonly Candidate[] {
  const wanted = candidates[0]?.roles.join(' ')
  return candidates.filter(({ roles }) => roles.join(' ') === wanted)
}

/** The roles in which these changes change something. */
export function changedRoles(
  base: TrustedRepository,
  roles: readonly RoleName[],
  changes: readonly TargetsChange[],
  now: Date,
): readonly RoleName[] {
  // Only whether there is a difference counts; version and expiry are the key holder's to choose.
  const expiresAt = new Date(now.getTime() + 86_400_000)
  return roles.filter((role) => {
    const version = (targetsOf(base, role)?.metadata.version ?? 0) + 1
    return verifyEdit(base, role, changes, { version, expiresAt })
  })
}

/** A digest named with an unsign request must be the one that is signed. */
function requireSignedDigest(base: TrustedRepository, image: PendingImage): void {
  const { sha256, tag, reference } = requireImage(image)
  if (sha256 === undefined) return
  const signed = signedDigest(base, tag)
  if (signed === undefined || signed === sha256) return
  throw new DomainError('DIGEST_MISMATCH', 'Another digest is signed for this tag than the one that was named.', {
    image: reference,
    requested: sha256,
    signed,
  })
}

/** Whether it may go on waiting for somebody who is out of reach. */
export function isPatient(
  { settings, clock }: Pick<ServiceDependencies, 'settings' | 'clock'>,
  { record }: PendingImage,
): boolean {
  const since = ('heldUpSince' in record ? record.heldUpSince : undefined) ?? record.at
  return clock.now().getTime() - since.getTime() < settings.patienceMs
}
