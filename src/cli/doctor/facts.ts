// What is known of a machine: gathered by gather.ts, judged by findings.ts.

/** A server that was asked, and what came of it. */
export type Reach =
  | {
      readonly address: string
      readonly isReached: true
      readonly status: number
      /** The server's clock minus this machine's, in milliseconds; undefined: it does not say. */
      readonly clockOffset?: number
    }
  | { readonly address: string; readonly isReached: false; readonly code: string; readonly reason: string }

/** Nobody was asked, since nobody knows an address, or what is configured cannot be used. */
export interface Unasked {
  readonly code: string
  readonly reason: string
}

export interface TokenFacts {
  /** `kept`: in a file or the environment. `workload`: a pipeline's own. `certificate`: none is needed. `unusable`: with `code`. */
  readonly kind: 'kept' | 'workload' | 'certificate' | 'unusable'
  readonly code?: string
  readonly reason?: string
  /** Of a kept one: whether the server takes it; undefined: it could not be asked. */
  readonly isAccepted?: boolean
}

export interface PinFacts {
  /** The repository that was asked for. */
  readonly gun?: string
  /** Of that repository, or how many repositories have pins. */
  readonly pinned: number
  /** The bundle's, where it has one. */
  readonly expiresAt?: string
  /** What is remembered of the repository began with a pin, or with the first root that came. */
  readonly memory?: 'pinned' | 'first-use'
  readonly fault?: Unasked
}

export interface MachineFacts {
  readonly now: Date
  /** `20.19.0`. */
  readonly node: string
  /** `28.2.2`; absent: there is no docker, or it does not say. */
  readonly docker?: string
  /** DOCKER_CONTENT_TRUST and DOCKER_CONTENT_TRUST_SERVER, where they are set. */
  readonly contentTrust?: string
  readonly contentTrustServer?: string
  /** Names of variables with passphrases of signing keys. */
  readonly secretVariables: readonly string[]
  /** Paths of private key files of docker and notary. */
  readonly keyFiles: readonly string[]
  readonly server: Reach | Unasked
  readonly token: TokenFacts
  readonly trustServer: Reach | Unasked
  /** Absent: no image was named. */
  readonly registry?: Reach | Unasked
  readonly pins: PinFacts
}
