// A key holder in memory, with the promises of the real one: it verifies the base from its own pin, computes versions itself,
// never signs one version twice, answers the same publication with the same bytes, and keeps a record before it signs.
import {
  editTargets,
  type Gun,
  newRoot,
  newTargets,
  parseRoleName,
  parseRoot,
  type PublicKey,
  publicKeyPem,
  RELEASES,
  ROOT,
  type RoleName,
  sha256Hex,
  signingRole,
  TARGETS,
  targetsOf,
  type TrustedRepository,
  TufError,
  verifyFiles,
  verifySignature,
  certificateKey,
  attachSignatures,
  type UnsignedMetadata,
} from '@countersign/tuf'
import type {
  Clock,
  HighestVersion,
  InitializationFiles,
  KeyHolder,
  KeyHolderStatus,
  RepositoryCustody,
  SignedRole,
} from '../../../src/domain/ports.ts'
import type { ProvenRecord } from '../../../src/domain/receipt.ts'
import { KeyHolderError } from '../../../src/key-holder-protocol/errors.ts'
import { newRootKey, newSigningKey, signFile, type SigningKey } from './signing-key.ts'

interface Managed {
  readonly signer: string | null
  readonly input: string
  readonly keys: Map<RoleName, SigningKey>
  readonly rootKind: 'online' | 'offline'
  readonly rootKeyIds: readonly string[]
  unsignedRoot?: UnsignedMetadata
  certificate?: PublicKey
  files?: ReadonlyMap<string, Uint8Array>
  pinned?: Uint8Array
  readonly seen: Map<RoleName, HighestVersion>
  readonly signed: Map<RoleName, HighestVersion>
}

/** The user that this key holder says it runs as. */
export const FAKE_UID = 61_001

const YEAR_MS = 365 * 86_400_000

export class FakeKeyHolder implements KeyHolder {
  readonly records: { kind: string; facts: Readonly<Record<string, string | number | boolean>> }[] = []
  /** Tags that the limits refuse. */
  readonly lockedTags = new Set<string>()
  readonly #clock: Clock
  readonly #repositories = new Map<Gun, Managed>()
  readonly #publications = new Map<string, { input: string; roles: readonly SignedRole[] }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  status(): Promise<KeyHolderStatus> {
    return Promise.resolve({
      sealed: false,
      uid: FAKE_UID,
      pid: 1,
      version: '0.0.0',
      startedAt: '2026-01-01T00:00:00.000Z',
      repositories: 0,
      limitsDigest: 'd'.repeat(64),
      log: { origin: 'fake', size: 0, rootHash: '', publicKey: '', checkpoint: '' },
    })
  }

  repositoryStatus(gun: Gun): Promise<RepositoryCustody> {
    return settle(() => this.#custody(gun))
  }

  exportPublicKey(gun: Gun, role: RoleName): Promise<{ key: PublicKey; pem: string }> {
    return settle(() => {
      const key = this.#managed(gun).keys.get(role)?.publicKey
      if (key === undefined) throw new KeyHolderError('KEY_NOT_FOUND', 'No such key.')
      return { key, pem: publicKeyPem(key) }
    })
  }

  createDelegationKey(): Promise<{ key: PublicKey; pem: string }> {
    throw new Error('Nobody creates delegation keys here.')
  }

  initializeRepository(o: Parameters<KeyHolder['initializeRepository']>[0]): Promise<InitializationFiles> {
    return settle(() => {
      const input = JSON.stringify([o.root, o.snapshotKey.tufKeyId, o.timestampKey.tufKeyId, o.signer, o.keyType])
      const existing = this.#repositories.get(o.gun)
      if (existing !== undefined && existing.input !== input) {
        throw new KeyHolderError('GUN_ALREADY_MANAGED', 'Managed with other settings.')
      }
      return answer(existing ?? this.#begin(o, input))
    })
  }

  completeInitialization(o: Parameters<KeyHolder['completeInitialization']>[0]): Promise<InitializationFiles> {
    return settle(() => {
      const managed = this.#managed(o.gun)
      const { unsignedRoot, certificate } = managed
      const [entry] = o.signatures
      if (unsignedRoot === undefined || certificate === undefined || entry === undefined)
        throw new Error('Not offline.')
      if (managed.files === undefined) {
        const signature = Buffer.from(entry.signature, 'base64')
        if (!verifySignature(certificate, entry.method, unsignedRoot.message, signature)) {
          throw new KeyHolderError('ROOT_SIGNATURE_INVALID', 'Not signed by the root key.')
        }
        const root = attachSignatures(unsignedRoot, [{ keyId: certificate.tufKeyId, method: entry.method, signature }])
        this.#complete(managed, root)
      }
      return answer(managed)
    })
  }

  changeTargets(o: Parameters<KeyHolder['changeTargets']>[0]): Promise<readonly SignedRole[]> {
    return settle(() => {
      const managed = this.#managed(o.gun)
      const base = this.#verify(o.gun, managed, o.base)
      const input = JSON.stringify([o.gun, o.roles, o.changes, base.timestamp.sha256])
      const known = this.#publications.get(o.publication)
      if (known !== undefined) {
        if (known.input !== input) throw new KeyHolderError('PUBLICATION_REPLAYED', 'Another input under the same id.')
        return known.roles
      }
      for (const { change } of o.changes) {
        if (this.lockedTags.has(change.name))
          throw new KeyHolderError('LIMIT_TAG_LOCKED', 'Locked.', { tag: change.name })
      }
      const roles = o.roles.flatMap((role) => this.#sign(managed, base, role, o.changes) ?? [])
      if (roles.length === 0) throw new KeyHolderError('CHANGE_EMPTY', 'Nothing would change.')
      this.#publications.set(o.publication, { input, roles })
      return roles
    })
  }

  replaceKeys(): Promise<readonly SignedRole[]> {
    throw new KeyHolderError(
      'KEY_NOT_STAGED',
      'Nobody stages keys here; the tests of rotation use the real key holder.',
    )
  }

  repairRoles(): Promise<readonly SignedRole[]> {
    throw new KeyHolderError('CHANGE_EMPTY', 'Nothing expires here; the tests of repair use the real key holder.')
  }

  renewRoles(): Promise<readonly SignedRole[]> {
    throw new KeyHolderError('CHANGE_EMPTY', 'Nothing expires here; the tests of renewal use the real key holder.')
  }

  changeRoot(): Promise<readonly SignedRole[]> {
    throw new KeyHolderError('ROOT_CHANGE_REFUSED', 'No root changes here; its tests use the real key holder.')
  }

  observeRepository(gun: Gun, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    return settle(() => {
      const managed = this.#managed(gun)
      const trusted = this.#verify(gun, managed, files, { acceptsExpired: true })
      managed.pinned = trusted.root.bytes
      for (const role of [TARGETS, ...trusted.delegations.keys()]) {
        const received = targetsOf(trusted, role)
        if (received === undefined) continue
        managed.seen.set(role, { version: received.metadata.version, sha256: received.sha256 })
      }
    })
  }

  proveInclusion(): Promise<ProvenRecord> {
    throw new KeyHolderError('RECORD_NOT_FOUND', 'There is no log here; the tests of receipts use the real key holder.')
  }

  appendRecord(kind: string, facts: Readonly<Record<string, string | number | boolean>>): Promise<number> {
    return settle(() => this.records.push({ kind, facts }) - 1)
  }

  /** For tests that publish as a rival who holds the same keys. */
  key(gun: Gun, role: RoleName): SigningKey {
    const key = this.#managed(gun).keys.get(role)
    if (key === undefined) throw new Error(`No key of ${role}.`)
    return key
  }

  /** For tests in which the pin is somebody else's. */
  forgetKey(gun: Gun, role: RoleName): void {
    this.#managed(gun).keys.delete(role)
  }

  rootBytes(gun: Gun): Uint8Array | undefined {
    return this.#managed(gun).pinned
  }

  setPin(gun: Gun, root: Uint8Array): void {
    this.#managed(gun).pinned = root
  }

  /** The highest version ever signed; 0 for none. */
  highestSigned(gun: Gun, role: RoleName): number {
    return this.#managed(gun).signed.get(role)?.version ?? 0
  }

  #begin(o: Parameters<KeyHolder['initializeRepository']>[0], input: string): Managed {
    const targetsKey = newSigningKey()
    const online = o.root.kind === 'online' ? newRootKey(o.gun) : undefined
    const certificate =
      online?.publicKey ?? (o.root.kind === 'offline' ? certificateKey(o.root.certificatePem) : undefined)
    if (certificate === undefined) throw new Error('A root has a certificate.')
    const root = newRoot({
      version: 1,
      expiresAt: this.#in(10),
      rootKeys: [certificate],
      targetsKeys: [targetsKey.publicKey],
      snapshotKeys: [o.snapshotKey],
      timestampKeys: [o.timestampKey],
    })
    const managed: Managed = {
      signer: o.signer,
      input,
      keys: new Map([[TARGETS, targetsKey]]),
      rootKind: o.root.kind,
      rootKeyIds: [certificate.tufKeyId],
      unsignedRoot: root,
      certificate,
      seen: new Map(),
      signed: new Map(),
    }
    if (o.signer !== null) managed.keys.set(parseRoleName(`targets/${o.signer}`), newSigningKey())
    this.#repositories.set(o.gun, managed)
    if (online !== undefined) this.#complete(managed, signFile(root, [online]))
    return managed
  }

  #complete(managed: Managed, root: Uint8Array): void {
    const { signer, keys } = managed
    const signerRole = signer === null ? undefined : parseRoleName(`targets/${signer}`)
    const signerKey = signerRole === undefined ? undefined : keys.get(signerRole)
    const delegated = signerRole === undefined || signerKey === undefined ? [] : [signerRole, RELEASES]
    const delegationKeys = signerKey === undefined ? [] : [signerKey.publicKey]
    const targets = newTargets({
      role: TARGETS,
      version: 1,
      expiresAt: this.#in(3),
      delegations: delegated.map((name) => ({ name, keys: delegationKeys, paths: [''], threshold: 1 })),
    })
    const targetsKey = keys.get(TARGETS)
    if (targetsKey === undefined) throw new Error('There is a targets key.')
    const bytes = signFile(targets, [targetsKey])
    managed.pinned = root
    managed.signed.set(TARGETS, { version: 1, sha256: sha256Hex(bytes) })
    managed.files = new Map([
      [ROOT, root],
      [TARGETS, bytes],
    ])
  }

  #sign(
    managed: Managed,
    base: TrustedRepository,
    role: RoleName,
    changes: Parameters<KeyHolder['changeTargets']>[0]['changes'],
  ): SignedRole | undefined {
    const ids = new Set(signingRole(base, role)?.keys.map(({ tufKeyId }) => tufKeyId))
    const keys = [...managed.keys.values()].filter(({ publicKey }) => ids.has(publicKey.tufKeyId))
    if (keys.length === 0) throw new KeyHolderError('ROLE_NOT_SIGNABLE', 'No key.', { role })
    const published = targetsOf(base, role)?.metadata.version ?? 0
    const version = Math.max(published, managed.signed.get(role)?.version ?? 0) + 1
    const wanted = changes.map(({ change }) => change)
    const unsigned = editTargets(base, role, wanted, { version, expiresAt: this.#in(3) })
    if (unsigned === undefined) return undefined
    const bytes = signFile(unsigned, keys)
    const sha256 = sha256Hex(bytes)
    managed.signed.set(role, { version, sha256 })
    return { role, version, sha256, bytes }
  }

  #verify(
    gun: Gun,
    managed: Managed,
    files: ReadonlyMap<string, Uint8Array>,
    o: { readonly acceptsExpired?: boolean } = {},
  ): TrustedRepository {
    if (managed.pinned === undefined) throw new KeyHolderError('GUN_NOT_INITIALIZED', 'No root.')
    const pin = { kind: 'root' as const, bytes: managed.pinned }
    try {
      return verifyFiles(files, { gun, pin, now: this.#clock.now(), highest: managed.seen, ...o })
    } catch (error) {
      if (!(error instanceof TufError)) throw error
      const code = error.code === 'VERSION_ROLLED_BACK' ? 'BASE_OLDER_THAN_KNOWN' : 'BASE_NOT_VERIFIED'
      throw new KeyHolderError(code, error.message, { reason: error.code }, { cause: error })
    }
  }

  #custody(gun: Gun): RepositoryCustody {
    const managed = this.#managed(gun)
    const { keys, pinned, rootKind, rootKeyIds, seen, signed } = managed
    const roles = new Set([...seen.keys(), ...signed.keys()])
    return {
      gun,
      state: pinned === undefined ? 'awaiting-root-signature' : 'ready',
      rootCustody: rootKind,
      ...(pinned === undefined
        ? {}
        : {
            pinnedRoot: {
              version: parseRoot(pinned).metadata.version,
              sha256: sha256Hex(pinned),
              certificateKeyIds: rootKeyIds,
            },
          }),
      keys: [...keys].map(([role, { publicKey }]) => ({
        role,
        keyType: publicKey.keyType,
        tufKeyId: publicKey.tufKeyId,
        canonicalKeyId: publicKey.canonicalKeyId,
        custody: 'memory',
        createdAt: this.#clock.now().toISOString(),
        state: 'active' as const,
      })),
      roles: [...roles].map((role) => {
        const [highestSeen, highestSigned] = [seen.get(role), signed.get(role)]
        return {
          role,
          ...(highestSeen === undefined ? {} : { highestSeen }),
          ...(highestSigned === undefined ? {} : { highestSigned }),
        }
      }),
    }
  }

  #managed(gun: Gun): Managed {
    const managed = this.#repositories.get(gun)
    if (managed === undefined) throw new KeyHolderError('GUN_NOT_MANAGED', 'Not managed.', { gun })
    return managed
  }

  #in(years: number): Date {
    return new Date(this.#clock.now().getTime() + years * YEAR_MS)
  }
}

function answer({ files, unsignedRoot, rootKeyIds }: Managed): InitializationFiles {
  if (files !== undefined) return { state: 'ready', rootKeyIds, files }
  const message = unsignedRoot?.message ?? new Uint8Array()
  return { state: 'awaiting-root-signature', rootKeyIds, files: new Map([['root.signed', message]]) }
}

/** A synchronous result as a promise, thrown errors included. */
function settle<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => {
    resolve(work())
  })
}
