// The key holder's trust-server socket in memory: the same rules (tuf/accept-update.ts), keys that exist only here, and faults on demand.
import {
  acceptUpdate,
  attachSignatures,
  deletedState,
  EMPTY_STATE,
  parseSnapshot,
  parseTimestamp,
  sha256Hex,
  signMessage,
  SNAPSHOT,
  snapshotOf,
  TIMESTAMP,
  timestampOf,
  UpdateRefusal,
  type Gun,
  type PublicKey,
  type RoleName,
  type ServedState,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { createHash } from 'node:crypto'
import { KeyHolderError, type KeyHolderErrorCode } from '../../../src/key-holder-protocol/errors.ts'
import type {
  KnownRepository,
  ServerRole,
  ServerSigner,
  SignedFile,
  SignedPair,
} from '../../../src/trust-server/signer.ts'
import { newSigningKey, type SigningKey } from './signing-key.ts'

interface Repository {
  state: ServedState
  isDeleted: boolean
  keys: Record<ServerRole, SigningKey[]>
  /** Digest of the latest update. */
  update?: string
  snapshot?: SignedFile
  isSnapshotOurs: boolean
  timestamp?: SignedFile
  /** Highest versions ever signed. */
  versions: Record<ServerRole, number>
}

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const LIFE_MS: Record<ServerRole, number> = { snapshot: 3 * 365 * DAY_MS, timestamp: 14 * DAY_MS }

export class FakeServerSigner implements ServerSigner {
  /** Throws this code in place of any answer. */
  fails: KeyHolderErrorCode | undefined
  /** The next update is taken, and its answer lost. */
  losesNextAnswer = false
  /** Lets others run before an answer. */
  pause: () => Promise<void> = () => Promise.resolve()
  isAllowed: (gun: Gun) => boolean = () => true
  readonly calls: string[] = []
  readonly repositories = new Map<Gun, Repository>()
  readonly #now: () => Date

  constructor(now: () => Date) {
    this.#now = now
  }

  async serverKey({ gun, role, rotate }: Parameters<ServerSigner['serverKey']>[0]): Promise<PublicKey> {
    await this.#enter(`key ${gun} ${role}`, gun)
    const keys = this.#repository(gun).keys[role]
    const listed = this.#listed(gun, role)
    const found = keys.find(({ publicKey }) => listed.has(publicKey.tufKeyId) !== rotate)
    const waiting = keys.find(({ publicKey }) => !listed.has(publicKey.tufKeyId))
    const key = found ?? waiting ?? newSigningKey()
    if (!keys.includes(key)) keys.push(key)
    return key.publicKey
  }

  async serveUpdate({ gun, files }: Parameters<ServerSigner['serveUpdate']>[0]): Promise<SignedPair> {
    await this.#enter(`update ${gun} ${[...files.keys()].join(' ')}`, gun)
    const repository = this.#repository(gun)
    const digest = digestOf(files)
    if (repository.update !== digest) {
      const { next, clientSnapshot } = acceptUpdate(repository.state, files, {
        gun,
        now: this.#now(),
        serverKeys: { snapshot: this.#ids(gun, SNAPSHOT), timestamp: this.#ids(gun, TIMESTAMP) },
      })
      repository.state = next
      repository.isDeleted = false
      repository.update = digest
      repository.isSnapshotOurs = clientSnapshot === undefined
      if (clientSnapshot !== undefined) {
        const { bytes, sha256, metadata } = clientSnapshot
        repository.snapshot = { bytes, sha256, version: metadata.version, expiresAt: metadata.expiresAt }
        repository.versions.snapshot = metadata.version
      } else this.#signSnapshot(gun)
      this.#signTimestamp(gun)
    }
    if (this.losesNextAnswer) {
      this.losesNextAnswer = false
      throw new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'The answer is lost.')
    }
    return this.#pair(gun)
  }

  async serveRefresh(gun: Gun, role: ServerRole): Promise<SignedPair> {
    await this.#enter(`refresh ${gun} ${role}`, gun)
    const repository = this.#published(gun)
    if (role === 'snapshot' && !repository.isSnapshotOurs) {
      throw new KeyHolderError('SERVER_KEY_MISSING', 'A client holds the key.', { role })
    }
    const now = this.#now().getTime()
    const expiresAt = repository[role]?.expiresAt.getTime() ?? 0
    if (now < expiresAt && now - (expiresAt - LIFE_MS[role]) < HOUR_MS) return this.#pair(gun)
    if (role === 'snapshot') this.#signSnapshot(gun)
    this.#signTimestamp(gun)
    return this.#pair(gun)
  }

  async serveState(gun: Gun): Promise<KnownRepository> {
    await this.#enter(`state ${gun}`, gun)
    const repository = this.repositories.get(gun)
    if (repository?.timestamp === undefined) return { state: 'unknown', roles: [] }
    const roles = [...repository.state.roles]
      .filter(([role]) => role !== SNAPSHOT)
      .map(([role, { version, sha256, isListed }]) => ({
        role,
        version,
        sha256,
        isListed,
      }))
    if (repository.isDeleted) return { state: 'deleted', roles }
    return { state: 'published', roles, current: this.#pair(gun) }
  }

  async serveDelete(gun: Gun): Promise<void> {
    await this.#enter(`delete ${gun}`, gun)
    const repository = this.repositories.get(gun)
    if (repository === undefined) return
    repository.isDeleted = true
    repository.state = deletedState(repository.state)
    delete repository.update
  }

  fault(): Promise<string | undefined> {
    return Promise.resolve(this.fails)
  }

  /** A key of the server that is not the one that a root lists. */
  loseKeys(gun: Gun): void {
    this.#repository(gun).keys = { snapshot: [], timestamp: [] }
  }

  async #enter(call: string, gun: Gun): Promise<void> {
    this.calls.push(call)
    await this.pause()
    if (this.fails !== undefined) throw new KeyHolderError(this.fails, 'The key holder fails.')
    if (!this.isAllowed(gun)) throw new KeyHolderError('SERVED_REPOSITORY_NOT_ALLOWED', 'Not allowed.', { gun })
  }

  #repository(gun: Gun): Repository {
    const known = this.repositories.get(gun) ?? {
      state: EMPTY_STATE,
      isDeleted: false,
      keys: { snapshot: [], timestamp: [] },
      isSnapshotOurs: true,
      versions: { snapshot: 0, timestamp: 0 },
    }
    this.repositories.set(gun, known)
    return known
  }

  #published(gun: Gun): Repository {
    const repository = this.repositories.get(gun)
    if (repository?.timestamp !== undefined && !repository.isDeleted) return repository
    throw new KeyHolderError('SERVED_REPOSITORY_UNKNOWN', 'Not published.', { gun })
  }

  #ids(gun: Gun, role: RoleName) {
    return new Set(
      this.#repository(gun).keys[role === SNAPSHOT ? 'snapshot' : 'timestamp'].map((k) => k.publicKey.tufKeyId),
    )
  }

  #listed(gun: Gun, role: ServerRole): ReadonlySet<string> {
    const root = this.#repository(gun).state.root
    if (root === undefined) return new Set()
    const { roles } = (
      JSON.parse(Buffer.from(root).toString('utf8')) as { signed: { roles: Record<string, { keyids: string[] }> } }
    ).signed
    return new Set(roles[role]?.keyids)
  }

  #signSnapshot(gun: Gun): void {
    const repository = this.#repository(gun)
    const version = ++repository.versions.snapshot
    const expiresAt = new Date(this.#now().getTime() + LIFE_MS.snapshot)
    const { bytes, sha256 } = (repository.snapshot = this.#sign(
      gun,
      'snapshot',
      snapshotOf(repository.state, version, expiresAt),
    ))
    // A client that takes the key over goes on above this version.
    const kept = { version, sha256, sha512: sha512Of(bytes), length: bytes.byteLength, signers: [], isListed: false }
    repository.state = { ...repository.state, roles: new Map([...repository.state.roles, [SNAPSHOT, kept]]) }
  }

  #signTimestamp(gun: Gun): void {
    const repository = this.#repository(gun)
    const version = ++repository.versions.timestamp
    const expiresAt = new Date(this.#now().getTime() + LIFE_MS.timestamp)
    const bytes = repository.snapshot?.bytes ?? new Uint8Array()
    const snapshot = {
      sha256: sha256Hex(bytes),
      sha512: sha512Of(bytes),
      length: bytes.byteLength,
    }
    repository.timestamp = this.#sign(gun, 'timestamp', timestampOf(snapshot, version, expiresAt))
  }

  #sign(gun: Gun, role: ServerRole, unsigned: UnsignedMetadata): SignedFile {
    const listed = this.#listed(gun, role)
    const keys = this.#repository(gun).keys[role].filter(({ publicKey }) => listed.has(publicKey.tufKeyId))
    const signatures = keys.map(({ privateKey, publicKey }) => ({
      keyId: publicKey.tufKeyId,
      ...signMessage(privateKey, unsigned.message),
    }))
    const bytes = attachSignatures(unsigned, signatures)
    const { metadata } = role === 'snapshot' ? parseSnapshot(bytes) : parseTimestamp(bytes)
    return { bytes, sha256: sha256Hex(bytes), version: metadata.version, expiresAt: metadata.expiresAt }
  }

  #pair(gun: Gun): SignedPair {
    const { snapshot, timestamp, isSnapshotOurs } = this.#repository(gun)
    if (snapshot === undefined || timestamp === undefined)
      throw new UpdateRefusal('UPDATE_NO_ROOT', 'Nothing was signed.')
    if (isSnapshotOurs) return { snapshot, timestamp }
    const { version, sha256, expiresAt } = snapshot
    return { snapshot: { version, sha256, expiresAt }, timestamp }
  }
}

function sha512Of(bytes: Uint8Array): string {
  return createHash('sha512').update(bytes).digest('hex')
}

function digestOf(files: ReadonlyMap<RoleName, Uint8Array>): string {
  const lines = [...files].map(([role, bytes]) => `${sha256Hex(bytes)} ${role}\n`).sort()
  return sha256Hex(Buffer.from(lines.join('')))
}
