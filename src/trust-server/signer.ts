// What the trust server asks of the process that holds the snapshot and timestamp keys. It refuses with KeyHolderError.
import type { Gun, PublicKey, RoleName } from '@countersign/tuf'

export type ServerRole = 'snapshot' | 'timestamp'

/** Who asked; recorded beside every signature. */
export interface Evidence {
  readonly request: string
  readonly principal: string
}

/** One signed file. */
export interface SignedFile {
  readonly version: number
  /** 64 hex digits. */
  readonly sha256: string
  readonly expiresAt: Date
  readonly bytes: Uint8Array
}

/** The newest snapshot and the timestamp over it. */
export interface SignedPair {
  /** Without bytes where a client signed it: it is then among the files that were sent. */
  readonly snapshot: Omit<SignedFile, 'bytes'> & { readonly bytes?: Uint8Array }
  readonly timestamp: SignedFile
}

export interface KnownRepository {
  readonly state: 'unknown' | 'published' | 'deleted'
  readonly roles: readonly {
    readonly role: RoleName
    readonly version: number
    readonly sha256: string
    readonly isListed: boolean
  }[]
  readonly current?: SignedPair
}

export interface ServerSigner {
  /** The key that the accepted root lists, else one that waits for its root; with `rotate` always one that waits. */
  serverKey(o: {
    readonly gun: Gun
    readonly role: ServerRole
    readonly rotate: boolean
    readonly evidence: Evidence
  }): Promise<PublicKey>
  /** Verifies the files once more, and signs. The same files again get the newest pair again, while they are the latest. */
  serveUpdate(o: {
    readonly gun: Gun
    readonly files: ReadonlyMap<RoleName, Uint8Array>
    readonly evidence: Evidence
  }): Promise<SignedPair>
  /** Signs again with a later expiry; the newest pair again where that was done a moment ago. */
  serveRefresh(gun: Gun, role: ServerRole): Promise<SignedPair>
  serveState(gun: Gun): Promise<KnownRepository>
  serveDelete(gun: Gun, evidence: Evidence): Promise<void>
  /** Why it cannot sign now; undefined where it can. */
  fault(): Promise<string | undefined>
}
