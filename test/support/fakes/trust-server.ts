// A Notary server in memory: stores update sets atomically, refuses versions that are not higher, makes snapshot and timestamp,
// and serves by hash. It checks each update as a client would, so a test cannot publish what no client would accept.
import {
  base64OfHexDigest,
  CodedError,
  encodeCanonical,
  formatExpires,
  type Gun,
  type JsonObject,
  type JsonValue,
  parseTargets,
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
import type { Clock, TrustPublisher, TrustSource } from '../../../src/domain/ports.ts'
import { newSigningKey, signFile, type SigningKey } from './signing-key.ts'

/** With the codes of the Notary client. */
export class FakeTrustServerError extends CodedError<
  'NOTARY_CONFLICT' | 'NOTARY_UPDATE_INVALID' | 'NOTARY_UNAVAILABLE'
> {}

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

export class FakeTrustServer implements TrustSource, TrustPublisher {
  /** False: every read fails as in an outage. */
  isReadable = true
  readonly published: { gun: Gun; roles: RoleName[] }[] = []
  readonly #clock: Clock
  readonly #repositories = new Map<Gun, Published>()
  readonly #history = new Map<Gun, Published[]>()
  readonly #keys = new Map<string, SigningKey>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    if (!this.isReadable) return Promise.reject(new FakeTrustServerError('NOTARY_UNAVAILABLE', 'out of reach'))
    const bytes = this.#repositories.get(gun)?.files.get(fileName)
    if (bytes !== undefined && bytes.byteLength > maxBytes) return Promise.reject(new Error(`${fileName} is too long.`))
    return Promise.resolve(bytes)
  }

  serverKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    if (role !== SNAPSHOT && role !== TIMESTAMP) throw new Error(`The server holds no key of ${role}.`)
    return Promise.resolve(this.#key(gun, role).publicKey)
  }

  rotateServerKey(): Promise<PublicKey> {
    throw new Error('Nobody should rotate keys here.')
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

  currentFile(gun: Gun, role: RoleName): Uint8Array | undefined {
    return this.#repositories.get(gun)?.current.get(role)
  }

  /** The highest version of the role that was ever stored; 0 for none. */
  version(gun: Gun, role: RoleName): number {
    return this.#repositories.get(gun)?.versions.get(role) ?? 0
  }

  #publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): void {
    const before = this.#repositories.get(gun)
    const after: Published = {
      files: new Map(before?.files),
      current: new Map(before?.current),
      versions: new Map(before?.versions),
      ...(before?.firstRoot === undefined ? {} : { firstRoot: before.firstRoot }),
    }
    for (const [role, bytes] of files) {
      const version = versionOf(role, bytes)
      if (version <= (after.versions.get(role) ?? 0)) {
        throw new FakeTrustServerError('NOTARY_CONFLICT', 'VERSION', { role, version })
      }
      store(after, role, version, bytes)
    }
    const root = after.current.get(ROOT)
    if (root === undefined) throw new FakeTrustServerError('NOTARY_UPDATE_INVALID', 'no root')
    after.firstRoot ??= root
    this.#renew(gun, after)
    this.#verify(gun, after, [...files.keys()])
    if (before !== undefined) this.#history.set(gun, [...(this.#history.get(gun) ?? []), before])
    this.#repositories.set(gun, after)
    this.published.push({ gun, roles: [...files.keys()] })
  }

  #renew(gun: Gun, repository: Published): void {
    const meta = [...repository.current].filter(([role]) => role !== SNAPSHOT && role !== TIMESTAMP)
    this.#write(
      gun,
      repository,
      SNAPSHOT,
      'Snapshot',
      new Map(meta.map(([role, bytes]) => [role, fileMeta(bytes)])),
      1000,
    )
    const snapshot = repository.current.get(SNAPSHOT) ?? new Uint8Array()
    this.#write(gun, repository, TIMESTAMP, 'Timestamp', new Map([[SNAPSHOT, fileMeta(snapshot)]]), 14)
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
      const { unusable } = verifyFiles(files, { gun, pin: { kind: 'root', bytes }, now: this.#clock.now() })
      const bad = uploaded.find((role) => unusable.has(role))
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

function fileMeta(bytes: Uint8Array): JsonObject {
  return new Map<string, JsonValue>([
    ['hashes', new Map([['sha256', base64OfHexDigest(sha256Hex(bytes))]])],
    ['length', bytes.byteLength],
  ])
}
