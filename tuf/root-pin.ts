// What makes a first root trusted, and which certificates of a root may be counted for it.
import type { Gun } from './gun.ts'
import { TufError } from './errors.ts'
import type { FileCache } from './file-cache.ts'
import { certificatePem, type PublicKey } from './key.ts'
import { verifyCertificateChain, verifyRootCertificate } from './root-certificate.ts'
import type { RootMetadata } from './root.ts'
import { ROOT, type TufKeyId } from './role.ts'
import type { Received } from './signed.ts'
import { roleKeys, verifyThreshold, type RoleKeys } from './threshold.ts'
import { parseCertificates } from './x509.ts'

/** Where trust begins. */
export type RootPin =
  /** The IDs of certificate keys as root metadata lists them (not canonical IDs). */
  | { readonly kind: 'certificates'; readonly tufKeyIds: readonly TufKeyId[] }
  | { readonly kind: 'ca'; readonly certificatesPem: string }
  /** Trust on first use: any root that is valid for the GUN. */
  | { readonly kind: 'tofu' }
  /** A root file that was trusted earlier. */
  | { readonly kind: 'root'; readonly bytes: Uint8Array }

/** What every root of one verification is held against. */
export interface RootRules {
  readonly gun: Gun
  readonly pin: RootPin
  readonly now: Date
  readonly cache?: FileCache
}

/**
 * That a root is valid in itself: enough of its own root keys signed it that are certificates for the GUN, valid now, and pinned.
 * Its expiry is another matter: a root on the way to a later one may have expired.
 * notary v0.7.0 trustpinning/certs.go ValidateRoot, trustpinning/trustpin.go NewTrustPinChecker.
 * @throws TufError ROOT_NOT_PINNED, CERTIFICATE_*, KEY_*, SIGNATURE_*
 */
export function verifyOwnSignatures(root: Received<RootMetadata>, { gun, pin, now }: RootRules): void {
  const usable = keysPassing(root, (key) => {
    verifyRootCertificate(key, gun, now)
  })
  if (usable.failure !== undefined && usable.role.keys.size < usable.role.threshold) throw usable.failure
  const pinned = [...usable.role.keys].filter(([, key]) => isPinned(key, pin, now))
  if (pinned.length === 0) {
    throw new TufError('ROOT_NOT_PINNED', 'None of the certificates of the root is pinned', { gun, pin: pin.kind })
  }
  verifyThreshold(root, { ...usable.role, keys: new Map(pinned) })
}

/**
 * That the root keys of a trusted root signed the next one. The certificates of the trusted root are not checked for expiry here.
 * @throws TufError CERTIFICATE_*, KEY_*, SIGNATURE_*
 */
export function verifySuccession(trusted: Received<RootMetadata>, next: Received<RootMetadata>, gun: Gun): void {
  const { role } = keysPassing(trusted, (key) => {
    verifyRootCertificate(key, gun, lastMoment(key))
  })
  verifyThreshold(next, role)
}

/**
 * That enough of its own root keys signed a root, whatever the dates of their certificates: for whoever looks at it without a pin.
 * @throws TufError CERTIFICATE_*, KEY_*, SIGNATURE_*
 */
export function verifySelfSigned(root: Received<RootMetadata>, gun: Gun): void {
  verifySuccession(root, root, gun)
}

/**
 * The moment after which too few of a root's own certificates are valid: clients refuse the root from then on, whatever its own
 * expiry says (notary v0.7.0 trustpinning/certs.go validRootLeafCerts). @throws TufError CERTIFICATE_*, KEY_*
 */
export function certificatesEnd({ roles, keys }: RootMetadata): Date {
  const listed = roles.get(ROOT)
  if (listed === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role: ROOT })
  const role = roleKeys(listed, keys)
  const ends = [...role.keys.values()].map((key) => lastMoment(key).getTime()).sort((one, other) => other - one)
  return new Date(ends[role.threshold - 1] ?? 0)
}

function isPinned(key: PublicKey, pin: RootPin, now: Date): boolean {
  switch (pin.kind) {
    case 'certificates':
      return pin.tufKeyIds.includes(key.tufKeyId)
    case 'ca':
      return isCodeFree(() => {
        verifyCertificateChain(key, pin.certificatesPem, now)
      })
    case 'tofu':
    case 'root':
      return true
  }
}

/** Root keys that fail are left out, as long as the threshold can be met by the rest. */
function keysPassing(
  { metadata }: Received<RootMetadata>,
  verify: (key: PublicKey) => void,
): { role: RoleKeys; failure: TufError | undefined } {
  const listed = metadata.roles.get(ROOT)
  if (listed === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role: ROOT })
  const role = roleKeys(listed, metadata.keys)
  const keys = new Map<TufKeyId, PublicKey>()
  let failure: TufError | undefined
  for (const [keyId, key] of role.keys) {
    try {
      verify(key)
      keys.set(keyId, key)
    } catch (error) {
      if (!(error instanceof TufError)) throw error
      failure ??= error
    }
  }
  return { role: { ...role, keys }, failure }
}

/** A moment at which the certificate was valid, whatever the clock says now. @throws TufError CERTIFICATE_*, KEY_MALFORMED */
function lastMoment(key: PublicKey): Date {
  const [leaf] = parseCertificates(certificatePem(key))
  return leaf?.notAfter ?? new Date(0)
}

function isCodeFree(verify: () => void): boolean {
  try {
    verify()
    return true
  } catch (error) {
    if (error instanceof TufError) return false
    throw error
  }
}
