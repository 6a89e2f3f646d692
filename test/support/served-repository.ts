// A repository on an embedded trust server: its owner's keys are test keys, snapshot and timestamp are signed by a key holder. It
// keeps what is published by every name that clients ask for, and plays clients with a cache.
import {
  METADATA_LIMITS,
  parseJson,
  parsePublicKey,
  parseRoot,
  parseSnapshot,
  parseTimestamp,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  verifyFiles,
  type KnownVersion,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import type { Attachments, OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { EVIDENCE, type TestKeyHolder } from './key-holder.ts'
import { RepositoryBuilder, sha256Of } from './repository-builder.ts'
import { testKey, type TestKey } from './test-keys.ts'

export const SERVED_GUN = 'registry.example.com/team/served'

export type Pair = OperationResponse<'serve-update'>

export class ServedRepository {
  readonly holder: TestKeyHolder
  builder: RepositoryBuilder
  /** By the names of a trust server. */
  readonly published = new Map<string, Uint8Array>()
  /** Every snapshot and timestamp that was published, in this order, each once. */
  readonly history: Uint8Array[] = []

  constructor(holder: TestKeyHolder, gun = SERVED_GUN) {
    this.holder = holder
    this.builder = newBuilder(gun)
  }

  get gun(): string {
    return this.builder.gun
  }

  /** With keys of the server in its root, published once with both delegations. */
  static async create(holder: TestKeyHolder, gun?: string): Promise<ServedRepository> {
    const repository = new ServedRepository(holder, gun)
    await repository.takeKeys()
    await repository.update(ROOT, TARGETS, 'targets/releases', 'targets/alice')
    return repository
  }

  /** Another owner, or the same one with nothing left but the keys: everything begins with version 1. */
  startAgain(): void {
    this.builder = newBuilder(this.gun)
    this.published.clear()
  }

  /** The root will list the server's keys for these roles. */
  async takeKeys(roles: readonly RoleName[] = [SNAPSHOT, TIMESTAMP], rotate = false): Promise<void> {
    for (const role of roles) this.builder.role(role).keys = [await this.serverKey(role, rotate)]
  }

  async serverKey(role: RoleName, rotate = false): Promise<TestKey> {
    const { response } = await this.holder.trustServer.call('server-key', {
      gun: this.gun,
      role: role === SNAPSHOT ? 'snapshot' : 'timestamp',
      rotate,
      evidence: EVIDENCE,
    })
    const publicKey = parsePublicKey(parseJson(Buffer.from(JSON.stringify(response.key)), METADATA_LIMITS))
    return { publicKey, privateKey: testKey('nobody').privateKey }
  }

  /** The owner's files of these roles, as they would be sent. */
  files(...roles: string[]): Map<string, Uint8Array> {
    const built = this.builder.files()
    return new Map(roles.map((role) => [role, built.get(`${role}.json`) ?? Buffer.alloc(0)]))
  }

  async update(...roles: string[]): Promise<Pair> {
    return this.send(this.files(...roles))
  }

  /** With a snapshot of the client, which lists what the builder has. */
  async send(files: Attachments): Promise<Pair> {
    const { response, attachments } = await this.holder.trustServer.call(
      'serve-update',
      { gun: this.gun, files: [...files.keys()], evidence: EVIDENCE },
      files,
    )
    for (const [role, bytes] of files) this.#publish(role, bytes)
    const uploaded = files.get(SNAPSHOT)
    if (uploaded !== undefined) this.take(new Map([[SNAPSHOT, uploaded]]))
    this.take(attachments)
    return response
  }

  async refresh(role: 'snapshot' | 'timestamp'): Promise<OperationResponse<'serve-refresh'>> {
    const { response, attachments } = await this.holder.trustServer.call('serve-refresh', { gun: this.gun, role })
    this.take(attachments)
    return response
  }

  async delete(): Promise<void> {
    await this.holder.trustServer.call('serve-delete', { gun: this.gun, evidence: EVIDENCE })
  }

  take(pair: Attachments): void {
    for (const [role, bytes] of pair) {
      this.#publish(role, bytes)
      if (!this.history.some((one) => Buffer.compare(one, bytes) === 0)) this.history.push(bytes)
    }
  }

  /** A client that comes now, with what an earlier one remembered. */
  verify(highest?: ReadonlyMap<RoleName, KnownVersion>, pin?: Uint8Array): TrustedRepository {
    const bytes = pin ?? this.published.get('root.json') ?? Buffer.alloc(0)
    return verifyFiles(this.published, {
      gun: this.builder.gun,
      now: this.holder.now,
      pin: { kind: 'root', bytes },
      ...(highest !== undefined && { highest }),
    })
  }

  /** Versions of what is served now: snapshot, timestamp. */
  versions(): [number, number] {
    return [
      parseSnapshot(this.published.get('snapshot.json') ?? Buffer.alloc(0)).metadata.version,
      parseTimestamp(this.published.get('timestamp.json') ?? Buffer.alloc(0)).metadata.version,
    ]
  }

  /** The roles that the newest snapshot lists. */
  listed(): string[] {
    return [...parseSnapshot(this.published.get('snapshot.json') ?? Buffer.alloc(0)).metadata.meta.keys()].sort()
  }

  #publish(role: string, bytes: Uint8Array): void {
    this.published.set(`${role}.json`, bytes).set(`${role}.${sha256Of(bytes)}.json`, bytes)
    if (role === ROOT) this.published.set(`${parseRoot(bytes).metadata.version}.root.json`, bytes)
  }
}

function newBuilder(gun: string): RepositoryBuilder {
  return new RepositoryBuilder(gun).delegate('targets/releases').delegate('targets/alice')
}

/** What a client remembers of a repository. */
export function remembered({
  root,
  timestamp,
  snapshot,
  targets,
  delegations,
}: TrustedRepository): Map<RoleName, KnownVersion> {
  const files = [
    [ROOT, root],
    [TIMESTAMP, timestamp],
    [SNAPSHOT, snapshot],
    [TARGETS, targets],
    ...delegations,
  ] as const
  return new Map(files.map(([role, { metadata, sha256 }]) => [role, { version: metadata.version, sha256 }]))
}
