// The certificates that carry Notary's root keys.
import type { KeyObject } from 'node:crypto'
import { TufError } from './errors.ts'
import type { Gun } from './gun.ts'
import type { PublicKey } from './key.ts'

export interface NewRootCertificate {
  readonly commonName: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly serialNumber: Uint8Array
  readonly privateKey: KeyObject
}

/** @returns PEM, Go's bytes */
export function createRootCertificate(_o: NewRootCertificate): string {
  throw new TufError('CERTIFICATE_MALFORMED', 'not yet')
}

/** The certificate key of a PEM bundle, leaf first. @throws TufError CERTIFICATE_* KEY_* */
export function certificateKey(_pem: string): PublicKey {
  throw new TufError('CERTIFICATE_MALFORMED', 'not yet')
}

/** notary trustpinning/certs.go: whether a root key is a certificate that may stand for this GUN now. @throws TufError CERTIFICATE_*, KEY_* */
export function verifyRootCertificate(_key: PublicKey, _gun: Gun, _now: Date): void {
  throw new TufError('CERTIFICATE_MALFORMED', 'not yet')
}

/** What Notary's clients check of a certificate in a delegation; a failure there fails the whole repository. @throws TufError CERTIFICATE_*, KEY_* */
export function verifyDelegationCertificate(_key: PublicKey): void {
  throw new TufError('CERTIFICATE_MALFORMED', 'not yet')
}

/** Whether the leaf of a root key chains up to one of the CA certificates. @throws TufError CERTIFICATE_CHAIN, CERTIFICATE_* */
export function verifyCertificateChain(_key: PublicKey, _caCertificatesPem: string, _now: Date): void {
  throw new TufError('CERTIFICATE_CHAIN', 'not yet')
}
