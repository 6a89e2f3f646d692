// Steps 5 to 10 of a publication: have it signed, check the signed bytes, save, send, read back, save the proof. The one place that has
// the key holder sign and the trust server publish, for tags, keys and expiry dates alike. At each step stands what a crash around it
// leaves; the steps are named in steps.ts.
import { changesTargets, CodedError, decodeBase64, TufError, type TrustedRepository } from '@countersign/tuf'
import { holdsRoot } from '../domain/root-change.ts'
import { isRotated } from '../domain/key-rotation.ts'
import { isRenewed } from '../domain/renewal.ts'
import { isRepaired } from '../domain/repair.ts'
import { codeOf, failureOf, isFault, isOutage } from '../domain/port-faults.ts'
import type { PendingImage, SignedRole } from '../domain/ports.ts'
import type { Publication } from '../domain/publication.ts'
import { roleVersions } from '../domain/role-versions.ts'
import type { Failure, RoleVersion } from '../domain/signing-request.ts'
import { backOff, retrying } from './backoff.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { type Intent, isPatient } from './form-intent.ts'
import type { ImageProgress } from './image-progress.ts'
import { expiryFor, loadRepository } from './load-repository.ts'
import { MoveSteps } from './move-steps.ts'
import type { Progress } from './progress.ts'
import type { PublicationStep } from './steps.ts'
import { ownProven, rehearseSigned, verifySigned } from './verify-signed.ts'

/**
 * `ended`: its images are final. `again`: they are approved again. `split`: likewise, and should be tried one by one.
 * `later`: the answer is not known and nobody can be asked now; the publication stays as it is.
 */
export type Outcome = 'ended' | 'again' | 'split' | 'later'

/** What the trust server shows of a publication. */
type Sight =
  | { readonly seen: 'ours'; readonly roles: readonly RoleVersion[] }
  | { readonly seen: 'base' }
  | { readonly seen: 'moved' }
  | { readonly seen: 'broken'; readonly error: Failure }
  | { readonly seen: 'nothing'; readonly error: unknown }

export class PublicationSteps {
  readonly #dependencies: ServiceDependencies
  readonly #images: ImageProgress
  readonly #moves: MoveSteps
  readonly #progress: Progress

  constructor(dependencies: ServiceDependencies, images: ImageProgress, progress: Progress) {
    this.#dependencies = dependencies
    this.#images = images
    this.#moves = new MoveSteps(dependencies)
    this.#progress = progress
  }

  /** From a saved intent to the end. */
  async sign(intent: Intent): Promise<Outcome> {
    const { publication, images } = intent
    let files: readonly SignedRole[]
    try {
      // 5. Have it signed. The key holder records before it signs. A lost answer is asked for again under the same publication id,
      //    which gives the same bytes. A crash before or after leaves the intent; the next start gives it up and begins at 1, and the
      //    version that the key holder may have signed is burnt.
      const signed = await retrying(
        this.#dependencies,
        isAnswerLost,
        () => this.#haveSigned(intent),
        (error) => {
          this.#images.wait(images, error)
        },
      )
      this.#passed('signed')
      // 6. Check it before it leaves the house: the difference to the base is exactly what was declared, and where keys change, the
      //    clients that are out there take it. A crash before or after leaves the intent, as at 5.
      files = verifySigned(
        intent,
        signed,
        this.#dependencies.cache,
        ownProven(this.#dependencies.requests, publication.gun),
      )
      rehearseSigned(intent, files, this.#dependencies.cache)
      this.#passed('bytes-checked')
    } catch (error) {
      return this.#notSigned(publication, images, error)
    }
    // 7. Save the bytes, and that they are about to be sent. A crash before leaves the intent, as at 5; from here on a crash leaves a
    //    question that only the trust server can answer, and the next start asks it first (9): it sends the bytes if they are not
    //    there and the base still stands, and gives them up where it has moved.
    const whole = { ...publication, files }
    const sending = this.#images.move(images, [{ type: 'signed' }, { type: 'sending' }], { publication: whole })
    this.#passed('bytes-saved')
    return this.#deliver(whole, sending, { isSent: false })
  }

  /** Takes up a publication that an earlier run left. */
  async resume(id: string, images: readonly PendingImage[]): Promise<Outcome> {
    const publication = this.#dependencies.requests.publication(id)
    const status = images[0]?.record.status
    if (publication === undefined || publication.files.length === 0 || status === 'intended') {
      return this.#giveUp(id, publication, images, 'PUBLICATION_INTERRUPTED')
    }
    // Earlier versions saved bytes and the intention to send them one after the other.
    const sending = status === 'signed' ? this.#images.move(images, [{ type: 'sending' }]) : images
    return this.#deliver(publication, sending, { isSent: true })
  }

  #passed(step: PublicationStep): void {
    this.#dependencies.onStep?.(step)
  }

  #haveSigned({ publication, base }: Intent): Promise<readonly SignedRole[]> {
    const { id, gun, roles, changes, keys, renewal, repair, root } = publication
    if (root !== undefined) {
      const { file, evidence } = root
      const nextRoot = decodeBase64(file)
      return this.#dependencies.keyHolder.changeRoot({ publication: id, gun, nextRoot, evidence, base: base.files })
    }
    if (keys !== undefined) {
      const { evidence } = keys
      return this.#dependencies.keyHolder.replaceKeys({ publication: id, gun, evidence, base: base.files })
    }
    if (renewal !== undefined) {
      const { evidence } = renewal
      return this.#dependencies.keyHolder.renewRoles({ publication: id, gun, roles, evidence, base: base.files })
    }
    if (repair !== undefined) {
      const { evidence } = repair
      return this.#dependencies.keyHolder.repairRoles({ publication: id, gun, roles, evidence, base: base.files })
    }
    return this.#dependencies.keyHolder.changeTargets({ publication: id, gun, roles, changes, base: base.files })
  }

  #wait(images: readonly PendingImage[], error: unknown): 'later' {
    this.#images.wait(images, error)
    return 'later'
  }

  /** Nothing was sent, so nothing but a version of the key holder's own count is lost. */
  #notSigned(publication: Publication, images: readonly PendingImage[], error: unknown): Outcome {
    if (codeOf(error) === 'PUBLICATION_REPLAYED') {
      return this.#giveUp(publication.id, publication, images, 'PUBLICATION_REPLAYED')
    }
    if (isFault('keysAway', error)) return this.#heldUp(publication, images, error)
    // The intent stands until the key holder can be asked again; then a new one is formed.
    if (isOutage(error)) return this.#wait(images, error)
    if (images.length > 1 && isFault('changeRefusal', error)) {
      this.#images.move(images, [{ type: 'conflict' }])
      return 'split'
    }
    return this.#fail(publication, images, failureOf(error))
  }

  /**
   * Its keys are out of reach, and nothing was signed: the images wait as before their intent, for as long as for a key holder that is away. A
   * crash before leaves the intent, as at 5.
   */
  #heldUp(publication: Publication, images: readonly PendingImage[], error: unknown): Outcome {
    const waiting = images.filter((image) => isPatient(this.#dependencies, image))
    const failing = images.filter((image) => !waiting.includes(image))
    const forgetFilesOf = publication.id
    if (failing.length > 0) this.#images.move(failing, [{ type: 'failed', error: failureOf(error) }], { forgetFilesOf })
    if (waiting.length === 0) {
      this.#finished(publication, 'failed', codeOf(error))
      return 'ended'
    }
    const moved = this.#images.move(waiting, [{ type: 'held-up' }], { forgetFilesOf })
    return this.#wait(moved, error)
  }

  async #deliver(publication: Publication, images: readonly PendingImage[], o: { isSent: boolean }): Promise<Outcome> {
    let { isSent } = o
    for (let attempt = 1; ; attempt++) {
      let refusal: unknown
      if (!isSent) {
        try {
          // 8. Publish all roles in one update. A crash before leaves the server with the base, and the same bytes are sent again; a
          //    crash after it leaves ours there, heard of or not, and reading back finds it.
          await this.#publish(publication)
          this.#passed('published')
        } catch (error) {
          if (isFault('publishRefusal', error)) return this.#fail(publication, images, failureOf(error))
          refusal = error
        }
      }
      // 9. Read back and verify, whatever the answer was: a lost answer may have been a yes, and a "conflict" our own echo. A crash
      //     before or after leaves `publishing`; the next start reads back again.
      const sight = await this.#look(publication)
      this.#passed('read-back')
      if (sight.seen === 'ours') return this.#prove(publication, images, sight.roles)
      const isConflict = isFault('conflict', refusal) || codeOf(refusal) === 'PUBLICATION_CONFLICT'
      if (sight.seen === 'moved' || (isConflict && sight.seen === 'base')) {
        return this.#giveUp(publication.id, publication, images, codeOf(refusal) ?? 'PUBLICATION_CONFLICT')
      }
      // The old server shows what can never go along, and the new one shows nothing: to wait would hold the repository for ever.
      if (sight.seen === 'base' && publication.root?.moveTo !== undefined && isLasting(refusal)) {
        return this.#fail(publication, images, failureOf(refusal))
      }
      if (attempt >= this.#dependencies.settings.attempts) return this.#undecided(publication, images, sight)
      if (sight.seen === 'nothing') this.#images.wait(images, sight.error)
      await backOff(this.#dependencies, attempt)
      // The base stands unchanged, so the same bytes may be sent again.
      isSent = sight.seen !== 'base'
    }
  }

  /** The attempts are used up. Unknown is never told as failed: it waits until somebody can be asked. */
  #undecided(publication: Publication, images: readonly PendingImage[], sight: Sight): Outcome {
    if (sight.seen === 'nothing') return this.#wait(images, sight.error)
    if (sight.seen !== 'broken') return 'later'
    return this.#fail(publication, images, {
      code: 'PUBLICATION_NOT_PROVEN',
      detail: `Published, but what the trust server serves now cannot be verified: ${sight.error.code}. ${sight.error.detail}`,
    })
  }

  #prove(publication: Publication, images: readonly PendingImage[], roles: readonly RoleVersion[]): Outcome {
    // 10. Save the proof, and forget the bytes. A crash before leaves `publishing`: the next start reads back again and comes here.
    //     A crash after it leaves the end; only the line of the log is missing.
    const to = publication.root?.moveTo
    // Before the end is told: whoever comes after it meets the new server.
    if (to !== undefined) this.#moves.settle(publication.gun, to)
    this.#images.move(images, [{ type: 'proven', roles }], { forgetFilesOf: publication.id })
    this.#passed('proof-saved')
    this.#finished(publication, 'published')
    return 'ended'
  }

  /** The state of the repository as far as this publication is concerned. */
  async #look(publication: Publication): Promise<Sight> {
    try {
      const trusted = await this.#load(publication)
      if (trusted === undefined) return { seen: 'base' }
      const sight = this.#compare(publication, trusted)
      if (sight.seen === 'ours') await this.#dependencies.keyHolder.observeRepository(publication.gun, trusted.files)
      return sight
    } catch (error) {
      // Metadata that does not verify is an answer; a server or key holder out of reach is none.
      const isAnswer =
        error instanceof TufError ||
        codeOf(error) === 'ROOT_PIN_MISMATCH' ||
        codeOf(error) === 'MOVE_DESTINATION_OCCUPIED' ||
        isFault('observationRefusal', error)
      if (isAnswer) return { seen: 'broken', error: failureOf(error) }
      if (error instanceof CodedError) return { seen: 'nothing', error }
      throw error
    }
  }

  /** Undefined: a move has not reached the new server. */
  async #load(publication: Publication): Promise<TrustedRepository | undefined> {
    const to = publication.root?.moveTo
    if (to !== undefined) return this.#moves.look(publication, to)
    return (await loadRepository(this.#dependencies, publication.gun, expiryFor(publication.kind))).trusted
  }

  async #publish(publication: Publication): Promise<void> {
    const to = publication.root?.moveTo
    if (to !== undefined) await this.#moves.publish(publication, to)
    else await this.#dependencies.publisher.publish(publication.gun, filesOf(publication))
  }

  #compare(publication: Publication, trusted: TrustedRepository): Sight {
    const { files, roles, base } = publication
    const isOurs = files.every((file) => {
      const [present] = roleVersions(trusted, [file.role])
      if (present?.sha256 === file.sha256) return true
      // Somebody published after us: ours is below it in the history if the change still stands.
      return (present?.version ?? 0) > file.version && holdsChanges(trusted, file, publication)
    })
    // What is proven is ours, and never the version of whoever published after us.
    if (isOurs) return { seen: 'ours', roles: files.map(({ role, version, sha256 }) => ({ role, version, sha256 })) }
    return isSameBase(base, roleVersions(trusted, roles)) ? { seen: 'base' } : { seen: 'moved' }
  }

  #giveUp(id: string, publication: Publication | undefined, images: readonly PendingImage[], code: string): Outcome {
    const attempt = 1 + Math.max(0, ...images.map(({ record }) => ('conflicts' in record ? record.conflicts : 0)))
    this.#images.move(images, [{ type: 'conflict' }], { forgetFilesOf: id })
    if (publication !== undefined) {
      this.#progress.publicationConflict({ gun: publication.gun, attempt, code })
      this.#finished(publication, 'conflict', code)
    }
    return 'again'
  }

  #fail(publication: Publication, images: readonly PendingImage[], error: Failure): Outcome {
    this.#images.move(images, [{ type: 'failed', error }], { forgetFilesOf: publication.id })
    this.#finished(publication, 'failed', error.code)
    return 'ended'
  }

  #finished(publication: Publication, outcome: 'published' | 'failed' | 'conflict', code?: string): void {
    const { id, gun, kind, changes, createdAt } = publication
    this.#progress.publicationFinished({
      publication: id,
      gun,
      kind,
      changes: changes.length,
      outcome,
      durationMs: this.#dependencies.clock.now().getTime() - createdAt.getTime(),
      ...(code === undefined ? {} : { code }),
    })
  }
}

function holdsChanges(trusted: TrustedRepository, { role }: SignedRole, publication: Publication): boolean {
  const { changes, keys, renewal, repair, root } = publication
  if (root !== undefined) return holdsRoot(trusted, decodeBase64(root.file))
  if (renewal !== undefined) return isRenewed(trusted, [role], renewal.until)
  if (repair !== undefined) return isRepaired(trusted, [role])
  if (keys !== undefined) return isRotated(trusted, keys.changes)
  const wanted = changes.map(({ change }) => change)
  return !changesTargets(trusted, role, wanted)
}

function isSameBase(base: readonly RoleVersion[], present: readonly RoleVersion[]): boolean {
  const key = (roles: readonly RoleVersion[]): string =>
    roles
      .map(({ role, version, sha256 }) => `${role} ${version} ${sha256}`)
      .sort()
      .join('\n')
  return key(base) === key(present)
}

function filesOf({ files }: Publication): ReadonlyMap<SignedRole['role'], Uint8Array> {
  return new Map(files.map(({ role, bytes }) => [role, bytes]))
}

/** Of a move: what was found wrong before anything was sent. */
function isLasting(error: unknown): boolean {
  return error instanceof TufError || codeOf(error) === 'MOVE_NOT_POSSIBLE'
}

function isAnswerLost(error: unknown): boolean {
  return codeOf(error) === 'KEY_HOLDER_UNREACHABLE'
}
