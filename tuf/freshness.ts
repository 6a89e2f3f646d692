// Old, replayed and implausible metadata: versions against the highest known ones, expiry against the moment given.
import { TufError } from './errors.ts'
import { isExpired } from './expires.ts'
import type { CommonMetadata } from './metadata.ts'
import type { RoleName } from './role.ts'
import type { Received } from './signed.ts'

/** The highest version of a role ever accepted; with its SHA-256 (64 hex digits of the file) where that is known. */
export interface KnownVersion {
  readonly version: number
  readonly sha256?: string
}

/**
 * Versions above this are refused. Trust servers store 31 bits; a thief of a key who publishes the largest version would leave no
 * room for the next one. No honest repository gets here: it would need a version a second for 63 years. The rest up to 2^31-1
 * stays free for the repair. Stricter than Notary.
 */
export const MAX_PLAUSIBLE_VERSION = 2_000_000_000

/**
 * notary v0.7.0 tuf/signed/verify.go VerifyVersion. Stricter: Notary accepts other content under an equal version, and often has
 * no version to compare with (reference: rollback protection, as implemented).
 * @throws TufError VERSION_IMPLAUSIBLE, VERSION_ROLLED_BACK, VERSION_FORKED
 */
export function verifyVersion(role: RoleName, file: Received<CommonMetadata>, known: KnownVersion | undefined): void {
  const { version } = file.metadata
  verifyPlausible(role, version)
  if (known === undefined) return
  if (version < known.version) {
    throw new TufError('VERSION_ROLLED_BACK', 'The metadata is older than a version seen before', {
      role,
      version,
      highest: known.version,
    })
  }
  if (version === known.version && known.sha256 !== undefined && known.sha256 !== file.sha256) {
    throw new TufError('VERSION_FORKED', 'The metadata has the version of another file seen before', {
      role,
      version,
      sha256: file.sha256,
      known: known.sha256,
    })
  }
}

/** @throws TufError VERSION_IMPLAUSIBLE */
export function verifyPlausible(role: RoleName, version: number): void {
  if (version > MAX_PLAUSIBLE_VERSION) {
    throw new TufError('VERSION_IMPLAUSIBLE', 'A version is so high that nobody reached it by publishing', {
      role,
      version,
      limit: MAX_PLAUSIBLE_VERSION,
    })
  }
}

/** notary v0.7.0 tuf/signed/verify.go VerifyExpiry. @throws TufError ROLE_EXPIRED */
export function verifyNotExpired(role: RoleName, { expiresAt }: CommonMetadata, now: Date): void {
  if (isExpired(expiresAt, now)) {
    throw new TufError('ROLE_EXPIRED', 'The metadata has expired', { role, expiresAt: expiresAt.toISOString() })
  }
}
