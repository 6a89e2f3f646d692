// A Notary server in memory: stores update sets atomically, refuses versions that are not higher, makes snapshot and timestamp,
// renews them on reading, and serves by hash and version. It checks each update as a client would, so a test cannot publish what no
// client would accept; what a hostile server would do is asked of it by name (forge, serve, restore, freeze).
// notary-server-over-http.ts gives it a socket.
import {
  attachSignatures,
  base64OfHexDigest,
  canonicalText,
  CodedError,
  encodeCanonical,
  formatExpires,
  isExpired,
  isJsonObject,
  type Gun,
  type JsonObject,
  type JsonValue,
  METADATA_LIMITS,
  parseJson,
  parseRoot,
  parseTargets,
  parseSnapshot,
  parseTimestamp,
  type PublicKey,
  ROOT,
  type RoleName,
  sha256Hex,
  SNAPSHOT,
  TIMESTAMP,
  TufError,
  type UnsignedMetadata,
  verifyFiles,
} from '@countersign/tuf'
import type { Clock, TrustDestination } from '../../../src/domain/ports.ts'
import type { FeedChange, FeedQuery, FeedScope, FeedSource } from '../../../src/domain/trust-feed.ts'
import { newSigningKey, signFile, type SigningKey } from './signing-key.ts'

/** With the codes of the Notary client. */
export class FakeTrustServerError extends CodedError<
  'NOTARY_CONFLICT' | 'NOTARY_UPDATE_INVALID' | 'NOTARY_UNAVAILABLE'
> {}

/** What a forger does to the current file of one role. What stands above it describes the forged file, and is signed anew. */
export interface Forgery {
  /** Changes what the file says. */
  readonly edit?: (signed: Map<string, JsonValue>) => unknown
  /** Who signs afterwards. Snapshot and timestamp: the server, with its own keys; others: the signatures stay, good or bad. */
  readonly signers?: readonly SigningKey[]
  /** Changes the finished file. */
  readonly mangle?: (bytes: Uint8Array) => Uint8Array
  /** Changes how snapshot or timestamp describe the file. */
  readonly editListed?: (meta: Map<string, JsonValue>) => unknown
}

/** A moment to go back to; opaque. */
export type ServerState = ReadonlyMap<Gun, Published>

interface Published {
  /** Every file ever stored, by all the names it is served under. */
  readonly files: Map<string, Uint8Array>
  /** Current file of each role. */
  readonly current: Map<RoleName, Uint8Array>
  /** Highest version ever stored of each role. */
  readonly versions: Map<RoleName, number>
  firstRoot?: Uint8Array
}

const DAY_MS = 86_400_000

export class FakeTrustServer implements TrustDestination, FeedSource {
  /** Whether it is one of ours, which takes the roots that a repository had before. */
  takesOlderRoots = false
  /** Whether, then, its key holder is that of the daemon. */
  sharesKeyHolder = true
  /** Whether it had a repository of that name, and says so. */
  hadAnother = false
  /** False: every read fails as in an outage. */
  isReadable = true
  readonly published: { gun: Gun; roles: RoleName[] }[] = []
  /** Which of its feeds may be read. */
  feed: readonly FeedScope[] = ['repository', 'server']
  readonly #feed: FeedChange[] = []
  readonly #clock: Clock
  readonly #repositories = new Map<Gun, Published>()
  readonly #history = new Map<Gun, Published[]>()
  readonly #keys = new Map<string, SigningKey>()
  /** Rotated keys that no root lists yet. */
  readonly #pending = new Map<string, SigningKey>()
  /** What is served instead, by GUN and file name. */
  readonly #served = new Map<string, Uint8Array | undefined>()
  readonly #olderRoots = new Map<Gun, readonly Uint8Array[]>()
  #frozen: ServerState | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    if (!this.isReadable) return Promise.reject(new FakeTrustServerError('NOTARY_UNAVAILABLE', 'out of reach'))
    const bytes = this.file(gun, fileName)
    if (bytes !== undefined && bytes.byteLength > maxBytes) return Promise.reject(new Error(`${fileName} is too long.`))
    return Promise.resolve(bytes)
  }

  serverKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    if (role !== SNAPSHOT && role !== TIMESTAMP) throw new Error(`The server holds no key of ${role}.`)
    return Promise.resolve(this.#key(gun, role).publicKey)
  }

  rotateServerKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    const key = newSigningKey()
    this.#pending.set(`${gun} ${role}`, key)
    return Promise.resolve(key.publicKey)
  }

  rootVersions(gun: Gun): Promise<readonly number[] | undefined> {
    if (!this.takesOlderRoots) return Promise.resolve(undefined)
    const names = [...(this.#repositories.get(gun)?.files.keys() ?? [])]
    return Promise.resolve(names.flatMap((name) => /^(\d+)\.root\.json$/.exec(name)?.[1] ?? []).map(Number))
  }

  bringOlderRoots(gun: Gun, roots: readonly Uint8Array[]): Promise<void> {
    if (this.hadAnother) return Promise.reject(new FakeTrustServerError('NOTARY_CONFLICT', 'PUBLISHED_BEFORE'))
    this.#olderRoots.set(gun, roots)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  changes(gun: Gun, { scope, after, records }: FeedQuery): Promise<readonly FeedChange[] | undefined> {
    if (!this.isReadable) return Promise.reject(new FakeTrustServerError('NOTARY_UNAVAILABLE', 'out of reach'))
    if (!this.feed.includes(scope)) return Promise.resolve(undefined)
    const all = this.#feed.filter((change) => scope === 'server' || change.gun === gun)
    if (after === 'newest') return Promise.resolve(all.slice(-1))
    return Promise.resolve(all.filter(({ id }) => id > after).slice(0, records))
  }

  publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): Promise<void> {
    try {
      this.#publish(gun, files)
      return Promise.resolve()
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error('Not an error.'))
    }
  }

  /** The same server holding another snapshot key than the root lists, as where a client holds it. */
  loseKey(gun: Gun, role: RoleName): void {
    this.#keys.set(`${gun} ${role}`, newSigningKey())
  }

  /** Holds the keys of another server, so that what was published there can be published here. */
  takeKeysOf(other: FakeTrustServer): void {
    for (const [name, key] of other.#keys) this.#keys.set(name, key)
  }

  /** Renews snapshot and timestamp, as a Notary server does on reading once they have expired. */
  renew(gun: Gun): void {
    const repository = this.#repositories.get(gun)
    if (repository !== undefined) this.#renew(gun, repository)
  }

  /** Serves the state before the last publication again, as after a restored backup. */
  rollBack(gun: Gun): void {
    const before = this.#history.get(gun)?.pop()
    if (before === undefined) throw new Error('Nothing was published before.')
    this.#repositories.set(gun, before)
  }

  /** What stands under this name now. notary v0.7.0 server/timestamp/timestamp.go: expired ones are renewed on reading. */
  file(gun: Gun, fileName: string): Uint8Array | undefined {
    const name = `${gun} ${fileName}`
    if (this.#served.has(name)) return this.#served.get(name)
    if (this.#frozen !== undefined) return this.#frozen.get(gun)?.files.get(fileName)
    if (fileName === 'timestamp.json' || fileName === 'snapshot.json') this.#renewExpired(gun)
    return this.#repositories.get(gun)?.files.get(fileName)
  }

  /** Serves these bytes under this name, true or not; undefined: 404. */
  serve(gun: Gun, fileName: string, bytes: Uint8Array | undefined): void {
    this.#served.set(`${gun} ${fileName}`, bytes)
  }

  /** Serves what it served at this moment, for ever: publications are taken, and not shown. */
  freeze(): void {
    this.#frozen = this.state()
  }

  /** Ends `serve` and `freeze`. */
  serveTruth(): void {
    this.#served.clear()
    this.#frozen = undefined
  }

  state(): ServerState {
    return new Map([...this.#repositories].map(([gun, repository]) => [gun, copyOf(repository)]))
  }

  /** As after a backup was restored: what came later is forgotten, versions included. */
  restore(state: ServerState): void {
    for (const [gun, repository] of state) this.#repositories.set(gun, copyOf(repository))
  }

  /** notary v0.7.0 server/handlers/default.go DeleteHandler: metadata goes, keys stay, versions begin again. */
  delete(gun: Gun): void {
    this.#repositories.delete(gun)
  }

  /** Changes the current file of a role past every check. Keeps no promise of a Notary server. */
  forge(gun: Gun, role: RoleName, { edit, signers, mangle, editListed }: Forgery): void {
    const repository = this.#repositories.get(gun)
    const current = repository?.current.get(role)
    if (repository === undefined || current === undefined) throw new Error(`Nothing is published as ${role}.`)
    const ours = role === SNAPSHOT || role === TIMESTAMP ? [this.#key(gun, role)] : undefined
    const bytes = edit === undefined && signers === undefined ? current : forged(role, current, edit, signers ?? ours)
    const finished = mangle?.(bytes) ?? bytes
    store(repository, role, numberOf(finished) ?? numberOf(bytes) ?? 0, finished)
    if (role === TIMESTAMP) return
    const listed = editListed === undefined ? undefined : new Map([[role, editListed]])
    if (role !== SNAPSHOT) this.#writeSnapshot(gun, repository, listed)
    this.#writeTimestamp(gun, repository, listed)
  }

  currentFile(gun: Gun, role: RoleName): Uint8Array | undefined {
    return this.#repositories.get(gun)?.current.get(role)
  }

  /** The highest version of the role that was ever stored; 0 for none. */
  version(gun: Gun, role: RoleName): number {
    return this.#repositories.get(gun)?.versions.get(role) ?? 0
  }

  #publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): void {
    const before = this.#repositories.get(gun)
    const after = copyOf(before)
    const older = this.#olderRoots.get(gun) ?? []
    if (before === undefined && older.length > 0) {
      // As ours does: above what was seen elsewhere.
      for (const role of [SNAPSHOT, TIMESTAMP]) after.versions.set(role, 1000)
      for (const bytes of older) store(after, ROOT, versionOf(ROOT, bytes), bytes)
    }
    for (const [role, bytes] of files) {
      // Trap Q32: a timestamp is read and ignored.
      if (role === TIMESTAMP) continue
      const version = versionOf(role, bytes)
      if (version <= (after.versions.get(role) ?? 0)) {
        throw new FakeTrustServerError('NOTARY_CONFLICT', 'VERSION', { role, version })
      }
      store(after, role, version, bytes)
    }
    const root = after.current.get(ROOT)
    if (root === undefined) throw new FakeTrustServerError('NOTARY_UPDATE_INVALID', 'no root')
    after.firstRoot ??= root
    this.#takePending(gun, root)
    this.#renew(gun, after)
    // From the root before: the first one's certificate may have ended since.
    this.#verify(gun, { ...after, firstRoot: before?.current.get(ROOT) ?? after.firstRoot }, [...files.keys()])
    if (before !== undefined) this.#history.set(gun, [...(this.#history.get(gun) ?? []), before])
    this.#repositories.set(gun, after)
    this.published.push({ gun, roles: [...files.keys()] })
    const timestamp = sha256Hex(after.current.get(TIMESTAMP) ?? new Uint8Array())
    this.#feed.push({ id: this.#feed.length + 1, gun, timestamp })
  }

  #takePending(gun: Gun, root: Uint8Array): void {
    const { roles } = parseRoot(root).metadata
    for (const role of [SNAPSHOT, TIMESTAMP]) {
      const key = this.#pending.get(`${gun} ${role}`)
      if (key === undefined || roles.get(role)?.keyIds.includes(key.publicKey.tufKeyId) !== true) continue
      this.#keys.set(`${gun} ${role}`, key)
      this.#pending.delete(`${gun} ${role}`)
    }
  }

  #renewExpired(gun: Gun): void {
    const repository = this.#repositories.get(gun)
    const timestamp = repository?.current.get(TIMESTAMP)
    if (repository === undefined || timestamp === undefined) return
    try {
      const now = this.#clock.now()
      const snapshot = repository.current.get(SNAPSHOT)
      if (snapshot !== undefined && isExpired(parseSnapshot(snapshot).metadata.expiresAt, now)) {
        this.#renew(gun, repository)
      } else if (isExpired(parseTimestamp(timestamp).metadata.expiresAt, now)) this.#writeTimestamp(gun, repository)
    } catch (error) {
      // A forged one is served as it is.
      if (!(error instanceof TufError)) throw error
    }
  }

  #renew(gun: Gun, repository: Published): void {
    this.#writeSnapshot(gun, repository)
    this.#writeTimestamp(gun, repository)
  }

  #writeSnapshot(gun: Gun, repository: Published, listed?: Listed): void {
    const roles = [...repository.current].filter(([role]) => role !== SNAPSHOT && role !== TIMESTAMP)
    const meta = new Map(roles.map(([role, bytes]) => [role, fileMeta(bytes, listed?.get(role))]))
    this.#write(gun, repository, SNAPSHOT, 'Snapshot', meta, 1000)
  }

  #writeTimestamp(gun: Gun, repository: Published, listed?: Listed): void {
    const snapshot = repository.current.get(SNAPSHOT) ?? new Uint8Array()
    const meta = new Map([[SNAPSHOT, fileMeta(snapshot, listed?.get(SNAPSHOT))]])
    this.#write(gun, repository, TIMESTAMP, 'Timestamp', meta, 14)
  }

  #write(gun: Gun, repository: Published, role: RoleName, type: string, meta: JsonObject, days: number): void {
    const version = (repository.versions.get(role) ?? 0) + 1
    const signed = new Map<string, JsonValue>([
      ['_type', type],
      ['expires', formatExpires(new Date(this.#clock.now().getTime() + days * DAY_MS))],
      ['meta', meta],
      ['version', version],
    ])
    const unsigned: UnsignedMetadata = { role, version, signed, message: encodeCanonical(signed) }
    store(repository, role, version, signFile(unsigned, [this.#key(gun, role)]))
  }

  #verify(gun: Gun, { files, firstRoot }: Published, uploaded: readonly RoleName[]): void {
    try {
      const bytes = firstRoot ?? new Uint8Array()
      // As notary-server: what is stored may have expired, what comes may not.
      const expiry = { acceptsExpired: true, acceptsExpiredRoot: true }
      const pin = { kind: 'root', bytes } as const
      const { unusable, expired } = verifyFiles(files, { gun, pin, now: this.#clock.now(), ...expiry })
      const bad = uploaded.find((role) => unusable.has(role) || expired.has(role))
      if (bad !== undefined) throw new FakeTrustServerError('NOTARY_UPDATE_INVALID', 'ErrBadTargets', { role: bad })
    } catch (error) {
      if (!(error instanceof TufError)) throw error
      throw new FakeTrustServerError('NOTARY_UPDATE_INVALID', error.message, { code: error.code }, { cause: error })
    }
  }

  #key(gun: Gun, role: RoleName): SigningKey {
    const name = `${gun} ${role}`
    const key = this.#keys.get(name) ?? newSigningKey()
    this.#keys.set(name, key)
    return key
  }
}

function versionOf(role: RoleName, bytes: Uint8Array): number {
  if (role !== ROOT) return parseTargets(bytes, role).metadata.version
  return (JSON.parse(Buffer.from(bytes).toString('utf8')) as { signed: { version: number } }).signed.version
}

function store({ files, current, versions }: Published, role: RoleName, version: number, bytes: Uint8Array): void {
  current.set(role, bytes)
  versions.set(role, version)
  files.set(`${role}.json`, bytes)
  files.set(`${version}.${role}.json`, bytes)
  files.set(`${role}.${sha256Hex(bytes)}.json`, bytes)
}

type Listed = ReadonlyMap<RoleName, (meta: Map<string, JsonValue>) => unknown>

function fileMeta(bytes: Uint8Array, edit?: (meta: Map<string, JsonValue>) => unknown): JsonObject {
  const meta = new Map<string, JsonValue>([
    ['hashes', new Map([['sha256', base64OfHexDigest(sha256Hex(bytes))]])],
    ['length', bytes.byteLength],
  ])
  edit?.(meta)
  return meta
}

function copyOf(repository: Published | undefined): Published {
  return {
    files: new Map(repository?.files),
    current: new Map(repository?.current),
    versions: new Map(repository?.versions),
    ...(repository?.firstRoot === undefined ? {} : { firstRoot: repository.firstRoot }),
  }
}

/** The file with another content, or with other signatures. */
function forged(
  role: RoleName,
  bytes: Uint8Array,
  edit: Forgery['edit'],
  signers: readonly SigningKey[] | undefined,
): Uint8Array {
  const file = parseJson(bytes, METADATA_LIMITS)
  const before = isJsonObject(file) ? file.get('signed') : undefined
  if (!isJsonObject(file) || !isJsonObject(before)) throw new Error(`${role} cannot be forged any further.`)
  const signed = new Map(before)
  edit?.(signed)
  if (signers === undefined) {
    return Buffer.from(
      `{"signed":${canonicalText(signed)},"signatures":${canonicalText(file.get('signatures') ?? [])}}`,
    )
  }
  const unsigned: UnsignedMetadata = { role, version: 0, signed, message: encodeCanonical(signed) }
  return signers.length === 0 ? attachSignatures(unsigned, []) : signFile(unsigned, signers)
}

/** The version that a file says it has, if it can be read at all. */
function numberOf(bytes: Uint8Array): number | undefined {
  try {
    const file = parseJson(bytes, METADATA_LIMITS)
    const signed = isJsonObject(file) ? file.get('signed') : undefined
    const version = isJsonObject(signed) ? signed.get('version') : undefined
    return typeof version === 'number' ? version : undefined
  } catch {
    return undefined
  }
}
