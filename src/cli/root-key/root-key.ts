// An opened root key, wherever it is kept. Types alone.
import type { Gun, PublicKey } from '@countersign/tuf'
import type { RootOpening } from './options.ts'

/** The certificate that clients pin, and what the key can do. */
export interface RootKey {
  readonly certificatePem: string
  readonly key: PublicKey
  /** A signature over exactly these bytes, which verifies with the certificate. */
  sign(message: Uint8Array): Promise<{ readonly method: string; readonly signature: Uint8Array }>
}

/** Which root key, and how it opens. */
export interface NamedRoot {
  /** As `root create` wrote it: an encrypted key, or the place of one in a token. Its certificate is in FILE.crt. */
  readonly file: string
  readonly opening: RootOpening
  /** The repository that it is to sign for now. */
  readonly gun: Gun
  /** Certificates one of which may be the key's, where there is no FILE.crt. */
  readonly listed?: readonly PublicKey[]
}
