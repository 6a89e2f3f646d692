// A complete signed repository in memory, as a trust server would hold it. What stands in `roles` is data: tests change it, damage
// it (swizzler.ts), and build again; hashes and signatures above the damage stay right.
import { createHash } from 'node:crypto'
import {
  attachSignatures,
  encodeCanonical,
  encodePublicKey,
  formatExpires,
  parentRole,
  parseGun,
  parseRoleName,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  verifyFiles,
  type Gun,
  type JsonObject,
  type JsonValue,
  type RoleName,
  type SignatureEntry,
  type TrustedRepository,
  type VerifierOptions,
} from '@countersign/tuf'
import { signWith, testCertificateKey, testKey, type TestKey } from './test-keys.ts'

/** One role: what it says, who may sign it, and what a test does to it. */
export interface RoleSource {
  version: number
  expiresAt: Date
  /** The keys that root or the parent lists. */
  keys: TestKey[]
  threshold: number
  /** Delegations only. */
  paths: string[]
  /** Targets roles only: entries as they stand in the file. */
  targets: Map<string, JsonValue>
  /** False: delegated, but in no snapshot. */
  published: boolean
  /** Who really signs; the keys by default, and for root those of the previous root too. */
  signers?: TestKey[]
  /** Changes `signed` before it is signed. */
  edit?: (signed: Map<string, JsonValue>) => void
  /** Changes the signatures. */
  editSignatures?: (signatures: SignatureEntry[]) => SignatureEntry[]
  /** Changes the finished file. */
  mangle?: (bytes: Uint8Array) => Uint8Array
  /** Changes the description of this file where snapshot or timestamp list it. */
  editListed?: (meta: Map<string, JsonValue>) => void
}

export interface DelegationOptions {
  readonly keys?: TestKey[]
  readonly threshold?: number
  readonly paths?: string[]
  readonly published?: boolean
}

/** The moment at which tests verify; certificates and expiries lie around it. */
export const NOW = new Date('2026-06-01T00:00:00Z')

const DAY_MS = 24 * 60 * 60 * 1000
const YEAR_MS = 365 * DAY_MS

export class RepositoryBuilder {
  readonly gun: Gun
  readonly roles = new Map<RoleName, RoleSource>()
  /** Finished roots before the current one. */
  readonly pastRoots: Uint8Array[] = []
  private pastRootKeys: TestKey[] = []

  constructor(gun = 'registry.example.com/team/app') {
    this.gun = parseGun(gun)
    this.roles.set(ROOT, source(10 * YEAR_MS, [this.rootKey('root')]))
    this.roles.set(TARGETS, source(3 * YEAR_MS, [testKey('targets')]))
    this.roles.set(SNAPSHOT, source(3 * YEAR_MS, [testKey('snapshot')]))
    this.roles.set(TIMESTAMP, source(14 * DAY_MS, [testKey('timestamp')]))
  }

  /** As `docker trust signer add` leaves it: releases and a signer, with the same key; both empty, and published. */
  static withSigner(signer = 'countersign', gun?: string): RepositoryBuilder {
    const builder = new RepositoryBuilder(gun)
    builder.delegate(`targets/${signer}`, { keys: [testKey(signer)] })
    builder.delegate('targets/releases', { keys: [testKey(signer)] })
    return builder
  }

  rootKey(name: string): TestKey {
    return testCertificateKey(name, { commonName: this.gun })
  }

  role(name: string): RoleSource {
    const found = this.roles.get(parseRoleName(name))
    if (found === undefined) throw new Error(`no role ${name} in this repository`)
    return found
  }

  delegate(name: string, options: DelegationOptions = {}): this {
    const { keys = [testKey(name)], threshold = 1, paths = [''], published = true } = options
    this.roles.set(parseRoleName(name), { ...source(3 * YEAR_MS, keys), threshold, paths, published })
    return this
  }

  /** An entry as docker writes it. */
  put(role: string, name: string, image: Image | string): this {
    const { sha256, length } = typeof image === 'string' ? imageOf(image) : image
    const hashes = new Map([['sha256', Buffer.from(sha256, 'hex').toString('base64')]])
    this.role(role).targets.set(
      name,
      new Map<string, JsonValue>([
        ['hashes', hashes],
        ['length', length],
      ]),
    )
    return this
  }

  /** Ends the current root and starts the next one; `change` alters keys or thresholds in between. */
  nextRoot(change: (root: RoleSource) => void = () => undefined): this {
    this.pastRoots.push(this.buildRoot())
    const root = this.role(ROOT)
    this.pastRootKeys = root.keys
    this.roles.set(ROOT, {
      ...source(10 * YEAR_MS, [...root.keys]),
      threshold: root.threshold,
      version: root.version + 1,
    })
    change(this.role(ROOT))
    return this
  }

  /** Raises the versions of these roles, and of snapshot and timestamp. */
  nextVersions(...roles: string[]): this {
    for (const role of new Set([...roles, SNAPSHOT, TIMESTAMP])) this.role(role).version++
    return this
  }

  /** Every file by every name under which a client may ask for it, and the plain names of a trust server. */
  files(): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>()
    const root = this.buildRoot()
    for (const [index, bytes] of [...this.pastRoots, root].entries()) {
      const version = this.role(ROOT).version - this.pastRoots.length + index
      files.set(`${version}.root.json`, bytes).set(`root.${sha256Of(bytes)}.json`, bytes)
    }
    files.set('root.json', root)
    const listed = new Map<string, JsonValue>([[ROOT, this.describe(ROOT, root)]])
    for (const [name, { published }] of this.roles) {
      if (!published || name === ROOT || name === SNAPSHOT || name === TIMESTAMP) continue
      const bytes = this.sign(name, this.targetsOf(name))
      addBoth(files, name, bytes)
      listed.set(name, this.describe(name, bytes))
    }
    const snapshot = this.sign(SNAPSHOT, new Map([['meta', listed]]))
    addBoth(files, SNAPSHOT, snapshot)
    const meta = new Map([[SNAPSHOT, this.describe(SNAPSHOT, snapshot)]])
    return files.set('timestamp.json', this.sign(TIMESTAMP, new Map([['meta', meta]])))
  }

  /** The first root there ever was. */
  firstRoot(): Uint8Array {
    return this.pastRoots[0] ?? this.buildRoot()
  }

  /** Verifies from the first root, now. */
  verify(options: Partial<VerifierOptions> = {}, files = this.files()): TrustedRepository {
    const pin = options.pin ?? { kind: 'root', bytes: this.firstRoot() }
    return verifyFiles(files, { gun: this.gun, now: NOW, ...options, pin })
  }

  private buildRoot(): Uint8Array {
    const base = [ROOT, SNAPSHOT, TARGETS, TIMESTAMP]
    const keys = base.flatMap((name) => this.role(name).keys)
    const roles = base.map((name) => [name, encodeRole(this.role(name))] as const)
    const signed = new Map<string, JsonValue>([
      ['consistent_snapshot', false],
      ['keys', encodeKeys(keys)],
      ['roles', new Map(roles)],
    ])
    return this.sign(ROOT, signed, [...this.role(ROOT).keys, ...this.pastRootKeys])
  }

  private targetsOf(role: RoleName): Map<string, JsonValue> {
    const children = [...this.roles].filter(([name]) => parentRole(name) === role)
    const roles = children.map(
      ([name, child]) => new Map([...encodeRole(child), ['name', name], ['paths', child.paths]]),
    )
    const delegations = new Map<string, JsonValue>([
      ['keys', encodeKeys(children.flatMap(([, { keys }]) => keys))],
      ['roles', roles],
    ])
    return new Map<string, JsonValue>([
      ['delegations', delegations],
      ['targets', new Map(this.role(role).targets)],
    ])
  }

  private sign(name: RoleName, content: Map<string, JsonValue>, signers?: TestKey[]): Uint8Array {
    const role = this.role(name)
    const type = ([ROOT, SNAPSHOT, TIMESTAMP] as string[]).includes(name) ? name : 'targets'
    const signed = new Map<string, JsonValue>([
      ['_type', type.charAt(0).toUpperCase() + type.slice(1)],
      ['expires', formatExpires(role.expiresAt)],
      ['version', role.version],
      ...content,
    ])
    role.edit?.(signed)
    const message = encodeCanonical(signed)
    const keys = new Map((role.signers ?? signers ?? role.keys).map((key) => [key.publicKey.tufKeyId, key]))
    const made = [...keys.values()].map((key) => signWith(key, message))
    const signatures = role.editSignatures?.(made) ?? made
    const bytes = attachSignatures({ message }, signatures)
    return role.mangle?.(bytes) ?? bytes
  }

  private describe(name: RoleName, bytes: Uint8Array): JsonObject {
    const digest = (algorithm: string): string => createHash(algorithm).update(bytes).digest('base64')
    const hashes = new Map([
      ['sha256', digest('sha256')],
      ['sha512', digest('sha512')],
    ])
    const meta = new Map<string, JsonValue>([
      ['hashes', hashes],
      ['length', bytes.byteLength],
    ])
    this.role(name).editListed?.(meta)
    return meta
  }
}

export interface Image {
  readonly sha256: string
  readonly length: number
}

/** What the manifest of an image with this content would be listed as; never empty. */
export function imageOf(content: string): Image {
  return { sha256: sha256Of(Buffer.from(content)), length: 1 + Buffer.byteLength(content) }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function source(livesMs: number, keys: TestKey[]): RoleSource {
  const expiresAt = new Date(NOW.getTime() + livesMs)
  return { version: 1, expiresAt, keys, threshold: 1, paths: [], targets: new Map(), published: true }
}

function addBoth(files: Map<string, Uint8Array>, role: RoleName, bytes: Uint8Array): void {
  files.set(`${role}.json`, bytes).set(`${role}.${sha256Of(bytes)}.json`, bytes)
}

function encodeRole({ keys, threshold }: RoleSource): Map<string, JsonValue> {
  const keyIds = [...new Set(keys.map(({ publicKey }) => publicKey.tufKeyId))]
  return new Map<string, JsonValue>([
    ['keyids', keyIds],
    ['threshold', threshold],
  ])
}

function encodeKeys(keys: readonly TestKey[]): JsonObject {
  return new Map(keys.map(({ publicKey }) => [publicKey.tufKeyId, encodePublicKey(publicKey)]))
}
