// What the domain needs from the outside, in the words of the domain. Implementations live in the adapters; none is imported here.
import type { ErrorFacts, Gun, JsonValue, PublicKey, RoleName } from '@countersign/tuf'
import type { ForeignVersion } from './foreign-version.ts'
import type { ImageReference } from './image-reference.ts'
import type { Lifetimes } from './lifetimes.ts'
import type { OidcErrorCode } from './oidc-errors.ts'
import type { DeclaredChange, Evidence, SignedRole } from './publication.ts'
import type { ProvenRecord } from './receipt.ts'
import type { PushOutcome } from './push-event.ts'
import type { KeyType } from './repository.ts'
import type { RequestKind, RequestStatus } from './signing-request.ts'

export type { DeclaredChange, Evidence, SignedRole } from './publication.ts'
export type { KeyType } from './repository.ts'
export type * from './store-ports.ts'
export type * from './webhook-ports.ts'
export type * from './workload-ports.ts'

/** Reads a repository's published metadata from its trust server. Bytes are received, not trusted. */
export interface TrustSource {
  /**
   * The bytes of one metadata file (`timestamp.json`, `targets/releases.<hex>.json`, `3.root.json`), or undefined where the
   * server says that it does not exist.
   * @throws NotaryError
   */
  read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined>
}

/** Publishes metadata to a repository's trust server and manages the keys that the server holds. */
export interface TrustPublisher {
  /** One atomic update of all roles given. Resolves only on exactly HTTP 200. @throws NotaryError */
  publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): Promise<void>
  /** The public key that the server holds (or creates) for `snapshot` or `timestamp`. @throws NotaryError */
  serverKey(gun: Gun, role: RoleName): Promise<PublicKey>
  /** Asks the server for a new key of that role; nothing changes until a root lists it. @throws NotaryError */
  rotateServerKey(gun: Gun, role: RoleName): Promise<PublicKey>
}

/** A trust server to which a repository may move. */
export interface TrustDestination extends TrustSource, TrustPublisher {
  /**
   * The versions of root that it serves; undefined where it is none of ours, and takes no roots from before a first publication.
   * @throws NotaryError
   */
  rootVersions(gun: Gun): Promise<readonly number[] | undefined>
  /** Brings the roots that a repository had before its first publication there, oldest first. Again is the same. @throws NotaryError */
  bringOlderRoots(gun: Gun, roots: readonly Uint8Array[]): Promise<void>
}

/** The trust servers of the configuration. */
export interface TrustServerDirectory {
  /** The names of those that may have this repository, in the order of the configuration. */
  namesFor(gun: Gun): readonly string[]
  /** Undefined where no such server may have the repository. */
  at(gun: Gun, name: string): TrustDestination | undefined
}

/** What a registry serves under a tag or digest, hashed by us. */
export interface ResolvedImage {
  /** 64 hex digits of the SHA-256 over the raw manifest or index bytes. */
  readonly sha256: string
  /** Length of these bytes. */
  readonly length: number
  readonly mediaType: string
  /** Platforms of an index, for the record; empty for a single manifest. */
  readonly platforms: readonly string[]
}

/** The registry's own word, the fact `registryCode` of IMAGE_NOT_FOUND: this manifest is not there. OCI distribution-spec v1.1, Error codes. */
export const MANIFEST_UNKNOWN = 'MANIFEST_UNKNOWN'

export interface ImageResolver {
  /**
   * Fetches the manifest by tag (or by digest where the reference has no tag) and hashes it. IMAGE_NOT_FOUND is any 404; only with
   * MANIFEST_UNKNOWN the registry has said so itself. @throws RegistryError
   */
  resolve(image: ImageReference): Promise<ResolvedImage>
  /**
   * The digest that the registry names for a tag, without the manifest: a hint, 64 hex digits. Undefined where it has no such tag, or names
   * none. @throws RegistryError
   */
  probe(image: ImageReference): Promise<string | undefined>
}

export interface HighestVersion {
  readonly version: number
  readonly sha256: string
}

export interface RepositoryCustody {
  readonly gun: Gun
  readonly state: 'awaiting-root-signature' | 'ready' | 'frozen'
  readonly frozenBecause?: string
  readonly rootCustody: 'online' | 'offline' | 'foreign'
  readonly pinnedRoot?: {
    readonly version: number
    readonly sha256: string
    readonly certificateKeyIds: readonly string[]
  }
  readonly keys: readonly {
    readonly role: RoleName
    readonly keyType: string
    readonly tufKeyId: string
    readonly canonicalKeyId: string
    readonly custody: string
    readonly createdAt: string
    /** Since when it signs; absent: not yet. */
    readonly activeSince?: string
    /** When a file was last signed with it. */
    readonly lastUsedAt?: string
    readonly state: 'active' | 'staged' | 'replaced' | 'retired'
    /** Canonical ID of the key that it was made to replace. */
    readonly replaces?: string
  }[]
  readonly roles: readonly {
    readonly role: RoleName
    readonly highestSeen?: HighestVersion
    readonly highestSigned?: HighestVersion
  }[]
  /** Roles whose version an operator disowned; the next one has the content of our last. */
  readonly disowned?: readonly RoleName[]
  /**
   * Versions that a key of here signed elsewhere, and that wait for an operator's decision (`none`), or were dropped and nothing of ours has
   * followed yet. Of many the newest.
   */
  readonly foreign?: {
    readonly versions: readonly {
      readonly role: RoleName
      readonly version: number
      readonly decision: 'none' | 'dropped'
    }[]
    /** How many there are besides. */
    readonly leftOut: number
  }
  /** How long what is signed here lives. Absent where the limits file allows nothing. */
  readonly lifetimes?: Lifetimes
}

export interface InitializationFiles {
  readonly state: 'awaiting-root-signature' | 'ready'
  readonly rootKeyIds: readonly string[]
  /** ready: role -> file to publish. awaiting-root-signature: the one entry `root.signed`, the bytes to be signed elsewhere. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** A PKCS#11 token of the key holder. */
export interface TokenStatus {
  readonly uri: string
  readonly label: string
  /** `ready`, or what is wrong. */
  readonly state: string
  /** Keys in it that are to be destroyed. */
  readonly toDestroy: number
}

export interface KeyHolderStatus {
  readonly sealed: boolean
  readonly uid: number
  readonly pid: number
  readonly version: string
  readonly startedAt: string
  readonly repositories: number
  readonly limitsDigest: string
  /** PKCS#11 tokens: `ready`, or what is wrong. Absent: there are none. */
  readonly tokens?: readonly TokenStatus[] | undefined
  readonly log: {
    readonly origin: string
    readonly size: number
    readonly rootHash: string
    readonly publicKey: string
    readonly checkpoint: string
  }
}

/** The daemon's side of the key holder's service socket. Every method throws KeyHolderError with the holder's own code. */
export interface KeyHolder {
  status(): Promise<KeyHolderStatus>
  repositoryStatus(gun: Gun): Promise<RepositoryCustody>
  /** The key that signs now, or the one with this canonical ID. */
  exportPublicKey(gun: Gun, role: RoleName, canonicalKeyId?: string): Promise<{ key: PublicKey; pem: string }>
  createDelegationKey(o: {
    gun: Gun
    role: RoleName
    keyType: KeyType
    evidence: Evidence
  }): Promise<{ key: PublicKey; pem: string }>
  initializeRepository(o: {
    gun: Gun
    root: { kind: 'online' } | { kind: 'offline'; certificatePem: string }
    snapshotKey: PublicKey
    timestampKey: PublicKey
    signer: string | null
    keyType: KeyType
    evidence: Evidence
  }): Promise<InitializationFiles>
  completeInitialization(o: {
    gun: Gun
    signatures: readonly { keyId: string; method: string; signature: string }[]
    evidence: Evidence
  }): Promise<InitializationFiles>
  changeTargets(o: {
    publication: string
    gun: Gun
    roles: readonly RoleName[]
    changes: readonly DeclaredChange[]
    base: ReadonlyMap<string, Uint8Array>
  }): Promise<readonly SignedRole[]>
  /** Puts the staged keys in the place of their predecessors; the key holder knows which. */
  replaceKeys(o: {
    publication: string
    gun: Gun
    evidence: Evidence
    base: ReadonlyMap<string, Uint8Array>
  }): Promise<readonly SignedRole[]>
  /** Signs the roles again as they are, with a later expiry. */
  renewRoles(o: {
    publication: string
    gun: Gun
    roles: readonly RoleName[]
    evidence: Evidence
    base: ReadonlyMap<string, Uint8Array>
  }): Promise<readonly SignedRole[]>
  /** Signs roles that have expired again as they are. */
  repairRoles: KeyHolder['renewRoles']
  /** Records a root that its keys signed elsewhere, and signs the targets that have to come with it; the root comes back first. */
  changeRoot(o: {
    publication: string
    gun: Gun
    nextRoot: Uint8Array
    evidence: Evidence
    base: ReadonlyMap<string, Uint8Array>
  }): Promise<readonly SignedRole[]>
  observeRepository(gun: Gun, files: ReadonlyMap<string, Uint8Array>): Promise<void>
  /** The record in which a publication put or dropped this tag. */
  proveInclusion(o: { gun: Gun; publication: string; tag: string }): Promise<ProvenRecord>
  appendRecord(kind: string, facts: Readonly<Record<string, string | number | boolean>>): Promise<number>
}

export interface Clock {
  now(): Date
}

/** Lets time pass; early wake-ups are harmless. */
export interface Pause {
  /** Resolves after that time, or at once when the signal fires. Keeps no process alive by itself. */
  wait(milliseconds: number, signal?: AbortSignal): Promise<void>
}

/** Unpredictable bytes for token secrets and for the jitter of retries. */
export interface RandomSource {
  bytes(count: number): Uint8Array
}

/** Makes identifiers: lower-case, sortable by time, at most 64 characters. */
export interface IdentifierSource {
  next(prefix: string): string
}

/**
 * Hears what happened, for metrics, logs and waiting clients. Called after the fact is durable.
 * A listener decides nothing; what it throws is dropped.
 */
export interface Observer {
  requestChanged(event: {
    readonly request: string
    readonly position: number
    readonly kind: RequestKind
    readonly gun: Gun
    /** Undefined: just stored. */
    readonly from: RequestStatus | undefined
    readonly to: RequestStatus
    readonly code?: string
  }): void
  /** `durationMs`: from the saved intent to the end. */
  publicationFinished(event: {
    readonly publication: string
    readonly gun: Gun
    readonly kind: RequestKind
    readonly changes: number
    readonly outcome: 'published' | 'failed' | 'conflict'
    readonly durationMs: number
    readonly code?: string
  }): void
  /**
   * Given up and begun again: somebody else published first, the server was updating, or a crash left an intent
   * (PUBLICATION_INTERRUPTED). `attempt` counts from 1.
   */
  publicationConflict(event: { readonly gun: Gun; readonly attempt: number; readonly code: string }): void
  /** Work on a repository stopped on an error that no request can carry; it is tried again later. */
  repositoryTroubled(event: { readonly gun: Gun; readonly error: unknown }): void
  /** Somebody else published in a repository. */
  foreignVersion(event: ForeignVersion): void
  /** A workload got a token of ours. */
  tokenExchanged(event: { readonly token: string; readonly identity: string; readonly issuer: string }): void
  /** A registry told of pushes. `ignored`: of nothing that is switched on; `malformed`: what could not be read. */
  pushesHeard(event: {
    readonly source: string
    readonly accepted: number
    readonly ignored: number
    readonly malformed: number
  }): void
  /** A tag that was pushed was looked at. `code`: why that failed. */
  pushSettled(event: {
    readonly source: string
    readonly gun: Gun
    readonly tag: string
    readonly outcome: PushOutcome
    readonly request?: string
    readonly code?: string
  }): void
  exchangeRefused(event: { readonly code: OidcErrorCode; readonly facts: ErrorFacts }): void
}

export type Facts = Readonly<Record<string, JsonValue>>
