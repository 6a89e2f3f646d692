// The order of steps in which metadata becomes current: stage, have it signed, commit. One piece of work at a time per repository.
import {
  hexOfBase64Digest,
  parseRoleName,
  parseSnapshot,
  ROOT,
  SNAPSHOT,
  TIMESTAMP,
  UpdateRefusal,
  type Gun,
  type PublicKey,
  type RoleName,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Log } from '../log.ts'
import { ProtocolError } from './answers.ts'
import { GunQueue } from './gun-queue.ts'
import type { MetadataStore, NewFile, StagedUpdate } from './metadata-store.ts'
import { isNextOf } from './older-roots.ts'
import { refusalOfKeyHolder, refusalOfUpdate } from './refusals.ts'
import type { Evidence, ServerRole, ServerSigner, SignedPair } from './signer.ts'

export interface PublicationsOptions {
  readonly store: MetadataStore
  readonly signer: ServerSigner
  readonly log: Log
  /** For tests: a look at each step. */
  readonly step?: (step: PublicationStep) => void
}

export type PublicationStep = 'staged' | 'signed' | 'committed'

/** Codes after which the key holder has certainly not taken a new update; after any other the same files are offered again. */
const REFUSED =
  /^(UPDATE_|SERVED_|LIMIT_|OPERATION_|REPOSITORY_FROZEN|KEY_HOLDER_SEALED|KEY_HOLDER_BUSY|FRAME_TOO_LARGE)/
/** Of a staged update it may have been taken before: only a verdict on the files themselves ends it. */
const REFUSED_FOR_GOOD = /^(UPDATE_|SERVED_)/

/** Of older roots without a publication, in all repositories: a root is a few kilobytes. */
const MAX_WAITING_ROOT_BYTES = 64 * 1024 * 1024

/** A snapshot that ends within this time of now, in milliseconds, is signed again. */
interface SnapshotWindow {
  readonly now: Date
  readonly windowMs: number
}

export class Publications {
  readonly #options: PublicationsOptions
  readonly #queue = new GunQueue()
  /** Repositories whose state was compared with the key holder's since this process started. */
  readonly #compared = new Set<Gun>()

  constructor(options: PublicationsOptions) {
    this.#options = options
  }

  /** Resolves when the update is current. @throws ProtocolError */
  async update(gun: Gun, files: ReadonlyMap<RoleName, NewFile>, evidence: Evidence): Promise<void> {
    await this.#queue.run(gun, async () => {
      await this.#settle(gun)
      await this.#compare(gun, files)
      if (files.size === 0) {
        await this.#renewNow(gun)
        return
      }
      const update: StagedUpdate = { gun, evidence, files: [...files.values()] }
      // 1. Keep the files. A crash before leaves nothing; after it, the next start offers them to the key holder and ends as here.
      this.#options.store.stage(update)
      this.#options.step?.('staged')
      await this.#publishStaged(update, REFUSED)
    })
  }

  /**
   * Keeps the roots that a repository had before it came here, for its first publication to follow. Of one that is published, those that are
   * missing are added where they lead to the oldest one that is served. Brought once more, they are the same.
   * @param roots each follows the one before
   * @throws ProtocolError INVALID_GUN, UNAVAILABLE, TOOMANYREQUESTS, VERSION where it was published here with other ones
   */
  async bringOlderRoots(gun: Gun, roots: readonly NewFile[]): Promise<void> {
    await this.#queue.run(gun, async () => {
      await this.#settle(gun)
      const { store, signer } = this.#options
      // Whether it may be served at all is the key holder's knowledge: nothing is kept of others.
      let known: Awaited<ReturnType<ServerSigner['serveState']>>
      try {
        known = await signer.serveState(gun)
      } catch (error) {
        throw refusalOfUpdate(error)
      }
      if (known.state === 'unknown' && !store.wasPublished(gun)) {
        this.#requireRoomForRoots(gun)
        store.keepOlderRoots(gun, roots)
        return
      }
      const oldest = known.state === 'published' && store.isPublished(gun) ? store.oldestRoot(gun) : undefined
      const missing = roots.filter(({ version }) => oldest !== undefined && version < oldest.version)
      const newest = missing.at(-1)
      const isChain =
        oldest !== undefined &&
        roots.slice(missing.length).every(({ sha256 }) => store.has(gun, ROOT, sha256)) &&
        (newest === undefined || isNextOf(gun, newest.bytes, oldest.bytes))
      if (!isChain) throw new ProtocolError('VERSION', { detail: {}, facts: { gun, reason: 'PUBLISHED_BEFORE' } })
      store.addOlderRoots(gun, missing)
    })
  }

  /** Whoever may push to names that a pattern registers could leave roots under all of them. @throws ProtocolError TOOMANYREQUESTS */
  #requireRoomForRoots(gun: Gun): void {
    const waiting = this.#options.store.waitingRootBytes(gun)
    if (waiting < MAX_WAITING_ROOT_BYTES) return
    throw new ProtocolError('TOOMANYREQUESTS', {
      facts: { gun, waiting, reason: 'too many older roots wait for a publication' },
    })
  }

  /** @throws ProtocolError */
  async delete(gun: Gun, evidence: Evidence): Promise<void> {
    await this.#queue.run(gun, async () => {
      // 1. The tombstone. A crash after it leaves a repository that is still served; the request again, or the next update, ends it.
      try {
        await this.#options.signer.serveDelete(gun, evidence)
      } catch (error) {
        throw refusalOfKeyHolder(error)
      }
      // 2. All of the files at once.
      this.#options.store.delete(gun)
    })
  }

  /** @throws ProtocolError */
  async serverKey(gun: Gun, role: ServerRole, rotate: boolean, evidence: Evidence): Promise<PublicKey> {
    try {
      return await this.#options.signer.serverKey({ gun, role, rotate, evidence })
    } catch (error) {
      throw refusalOfKeyHolder(error)
    }
  }

  /** Signs timestamp, and where it ends soon the snapshot, once more. @throws ProtocolError */
  async renew(gun: Gun, snapshot: SnapshotWindow): Promise<void> {
    await this.#queue.run(gun, async () => {
      await this.#settle(gun)
      await this.#renewNow(gun, snapshot)
    })
  }

  /** Ends what a crash left. @throws ProtocolError UNAVAILABLE where that cannot be done yet */
  async settle(gun: Gun): Promise<void> {
    await this.#queue.run(gun, () => this.#settle(gun))
  }

  /** Resolves when no work is under way. */
  async idle(): Promise<void> {
    await this.#queue.idle()
  }

  /** Whoever brought them, they are served only where the first root follows them. */
  #dropForeignOlderRoots(gun: Gun, first: NewFile | undefined): void {
    const { store } = this.#options
    if (first === undefined || store.wasPublished(gun)) return
    const newest = store.newestOlderRoot(gun)
    if (newest !== undefined && !isNextOf(gun, newest, first.bytes)) store.keepOlderRoots(gun, [])
  }

  async #settle(gun: Gun): Promise<void> {
    const update = this.#options.store.staged(gun)
    if (update === undefined) return
    try {
      await this.#publishStaged(update, REFUSED_FOR_GOOD)
      this.#options.log.info({ gun }, 'published an update that a crash or an outage had left')
    } catch (error) {
      if (this.#options.store.staged(gun) !== undefined) throw error
      this.#options.log.warn({ gun, error }, 'dropped an update that was left and is refused')
    }
  }

  async #publishStaged(update: StagedUpdate, refused: RegExp): Promise<void> {
    const { store, signer } = this.#options
    const { gun, evidence } = update
    const files = new Map(update.files.map(({ role, bytes }) => [role, bytes]))
    let pair: SignedPair
    try {
      // 2. Snapshot and timestamp. A crash after it leaves an update that the key holder knows: offered again, it gets the same bytes.
      pair = await signer.serveUpdate({ gun, files, evidence })
    } catch (error) {
      if (isRefusal(error, refused)) store.dropStaged(gun)
      throw refusalOfUpdate(error)
    }
    this.#options.step?.('signed')
    this.#refuseRepeated(update)
    // Only now: an update that is refused takes nothing away.
    this.#dropForeignOlderRoots(
      gun,
      update.files.find(({ role }) => role === ROOT),
    )
    // 3. All of it becomes current in one transaction. A crash after it has lost an answer, and nothing else.
    this.#commit(gun, pair, files.get(SNAPSHOT))
    this.#options.step?.('committed')
  }

  /** The latest update, sent once more, gets the same signatures from the key holder; here it is published already. */
  #refuseRepeated({ gun, files }: StagedUpdate): void {
    const { store } = this.#options
    const known = files.filter(({ role, version }) => store.byVersion(gun, role, version) !== undefined)
    if (known.length === 0) return
    store.dropStaged(gun)
    const isSame = known.every(({ role, version, sha256 }) => store.byVersion(gun, role, version)?.sha256 === sha256)
    if (!isSame) throw new ProtocolError('UPDATING', { facts: { gun, reason: 'STATES_DIFFER' } })
    throw new ProtocolError('VERSION', { detail: {}, facts: { gun, reason: 'REPEATED' } })
  }

  #commit(gun: Gun, pair: SignedPair, clientSnapshot: Uint8Array | undefined): void {
    const { store } = this.#options
    const { snapshot, timestamp } = pair
    const bytes = snapshot.bytes ?? clientSnapshot ?? store.bySha256(gun, SNAPSHOT, snapshot.sha256)?.bytes
    if (bytes === undefined) throw new Error('the snapshot that a client signed is not here')
    const signed: NewFile[] = [{ ...timestamp, role: TIMESTAMP }]
    if (snapshot.bytes !== undefined) signed.unshift({ ...snapshot, bytes: snapshot.bytes, role: SNAPSHOT })
    store.publish({
      gun,
      signed,
      listed: new Map([...listedIn(bytes), [SNAPSHOT, snapshot.sha256]]),
      timestampExpiresAt: timestamp.expiresAt,
      snapshotExpiresAt: snapshot.expiresAt,
    })
  }

  async #renewNow(gun: Gun, snapshot?: SnapshotWindow): Promise<void> {
    const { store, signer } = this.#options
    const expiry = store.expiry(gun)
    if (expiry === undefined) throw refusalOfUpdate(new UpdateRefusal('UPDATE_NO_ROOT', 'There is no root.'))
    const isSnapshotDue = snapshot !== undefined && isDue(expiry, snapshot)
    let pair: SignedPair
    try {
      pair = await this.#refresh(signer, gun, isSnapshotDue)
    } catch (error) {
      throw refusalOfKeyHolder(error)
    }
    if (store.current(gun, TIMESTAMP)?.sha256 !== pair.timestamp.sha256) this.#commit(gun, pair, undefined)
  }

  /** A snapshot that a client signed cannot be signed again here. */
  async #refresh(signer: ServerSigner, gun: Gun, withSnapshot: boolean): Promise<SignedPair> {
    if (!withSnapshot) return signer.serveRefresh(gun, 'timestamp')
    try {
      return await signer.serveRefresh(gun, 'snapshot')
    } catch (error) {
      if (!isRefusal(error, /^SERVER_KEY_MISSING$/)) throw error
      return signer.serveRefresh(gun, 'timestamp')
    }
  }

  /**
   * Whether the key holder knows of files that are not here: the database came out of a backup, or a disk lost it. Then only an update
   * that replaces every one of them goes on. What the key holder signed last is made good where a crash kept it from the database.
   */
  async #compare(gun: Gun, files: ReadonlyMap<RoleName, NewFile>): Promise<void> {
    if (this.#compared.has(gun)) return
    const { store, signer, log } = this.#options
    let known: Awaited<ReturnType<ServerSigner['serveState']>>
    try {
      known = await signer.serveState(gun)
    } catch (error) {
      throw refusalOfUpdate(error)
    }
    if (known.state === 'deleted') store.delete(gun)
    if (known.state === 'published') {
      const missing = known.roles.filter(({ role, sha256, isListed }) => isListed && !store.has(gun, role, sha256))
      const lost = missing.filter(({ role }) => !files.has(role))
      if (lost.length > 0) {
        log.error(
          { gun, lost: lost.map(({ role }) => role) },
          'files are missing here that the key holder has accepted',
        )
        throw behind(gun)
      }
      const { current } = known
      if (
        missing.length === 0 &&
        current !== undefined &&
        store.current(gun, TIMESTAMP)?.sha256 !== current.timestamp.sha256
      ) {
        this.#commit(gun, current, undefined)
      }
    }
    if (known.state === 'unknown' && store.isPublished(gun)) {
      log.error({ gun }, 'the key holder does not know a repository that is served here')
      throw behind(gun)
    }
    this.#compared.add(gun)
  }
}

/** Half of the snapshot's life is over, and less than the window is left: as `expiring` finds them. */
function isDue(
  { snapshot, snapshotSince }: { readonly snapshot: Date; readonly snapshotSince: Date },
  { now, windowMs }: SnapshotWindow,
): boolean {
  const left = snapshot.getTime() - now.getTime()
  return left < windowMs && left <= now.getTime() - snapshotSince.getTime()
}

function behind(gun: Gun): ProtocolError {
  return new ProtocolError('UNAVAILABLE', { facts: { gun, reason: 'STATES_DIFFER' } })
}

function isRefusal(error: unknown, codes: RegExp): boolean {
  return error instanceof UpdateRefusal || (error instanceof KeyHolderError && codes.test(error.code))
}

/** What a snapshot names. The key holder made or verified it. */
function listedIn(snapshot: Uint8Array): ReadonlyMap<RoleName, string> {
  const { meta } = parseSnapshot(snapshot).metadata
  return new Map(
    [...meta].map(([role, { hashes }]) => [parseRoleName(role), hexOfBase64Digest(hashes.get('sha256') ?? '')]),
  )
}
