// Private key files of Docker and Notary.
import type { KeyObject } from 'node:crypto'
import { TufError } from './errors.ts'

export interface PrivateKeyFile {
  readonly privateKey: KeyObject
  readonly role?: string
  readonly gun?: string
  readonly path?: string
}

export function parsePrivateKeyFile(_pem: Uint8Array, _passphrase?: Uint8Array): PrivateKeyFile[] {
  throw new TufError('KEY_FILE_UNSUPPORTED', 'not yet')
}

export function encodePrivateKeyFile(
  _file: { readonly privateKey: KeyObject; readonly role: string; readonly gun?: string },
  _passphrase: Uint8Array,
  _salt: Uint8Array,
  _iv: Uint8Array,
): string {
  throw new TufError('KEY_FILE_UNSUPPORTED', 'not yet')
}
