// What a verified repository says of one tag, in our words. Pure.
import { type FileMeta, findTarget, hexOfBase64Digest, type TrustedRepository } from '@countersign/tuf'

/** 64 hex digits of the digest that docker takes for this tag; undefined where it takes none. */
export function signedDigest(repository: TrustedRepository, tag: string): string | undefined {
  const found = findTarget(repository, tag)
  return found === undefined ? undefined : sha256Of(found.meta)
}

/** Undefined where the entry has no usable sha256: docker skips such an entry ("no valid hash, expecting sha256"). */
export function sha256Of(meta: FileMeta): string | undefined {
  const listed = meta.hashes.get('sha256')
  if (listed === undefined) return undefined
  try {
    return hexOfBase64Digest(listed)
  } catch {
    return undefined
  }
}
