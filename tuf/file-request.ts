// The vocabulary of a verification that is pulled: it asks for one file after the other, and never fetches.
// What a file must contain is decided by those who ask (trusted.ts, root-chain.ts, delegations.ts).
import { hexOfBase64Digest, matchesHashes } from './digest.ts'
import { TufError } from './errors.ts'
import type { FileMeta } from './metadata.ts'
import type { RoleName } from './role.ts'
import { METADATA_LIMITS } from './signed.ts'

/** The file that a verification needs next. */
export interface FileRequest {
  /** As the trust server names it: `timestamp.json`, `snapshot.<hex>.json`, `3.root.json`, `targets/releases.<hex>.json`. */
  readonly fileName: string
  readonly role: RoleName
  /** The most that may be downloaded. A longer file is refused. */
  readonly maxBytes: number
  /** True: that the server has no such file is an answer too. */
  readonly optional: boolean
}

/** A part of a verification: yields requests, is given the bytes (undefined: there is no such file), returns what it found. */
export type Steps<T> = Generator<FileRequest, T, Uint8Array | undefined>

/** Notary asks for at most this much of a timestamp (notary v0.7.0 tuf/data/types.go MaxTimestampSize). Bytes. */
export const TIMESTAMP_MAX_BYTES = 1024 * 1024

/** A root has a few keys: 1 MiB holds hundreds of certificates. Stricter than Notary, whose cap is 100 MiB. */
export const ROOT_MAX_BYTES = 1024 * 1024

/** All files of one verification together: bounds memory when a hostile server lists many large delegations. Bytes. */
export const REPOSITORY_MAX_BYTES = 256 * 1024 * 1024

export function* askFor(request: FileRequest): Steps<Uint8Array | undefined> {
  return yield request
}

/** @throws TufError FILE_MISSING */
export function* requireFile(fileName: string, role: RoleName, maxBytes: number): Steps<Uint8Array> {
  const bytes = yield { fileName, role, maxBytes, optional: false }
  if (bytes === undefined) {
    throw new TufError('FILE_MISSING', 'The trust server does not have a file that is needed', { fileName })
  }
  return bytes
}

/**
 * A file that other metadata describes: asked for by its SHA-256, at most as long as declared.
 * notary v0.7.0 client/tufclient.go downloadSigned, tuf/data/types.go CheckHashes: SHA-256 and, where listed, SHA-512.
 * @throws TufError FILE_MISSING, FILE_HASH_MISMATCH
 */
export function* requireListedFile(role: RoleName, listed: FileMeta): Steps<Uint8Array> {
  const fileName = hashedName(role, listed)
  const bytes = yield* requireFile(fileName, role, Math.min(listed.length, METADATA_LIMITS.maxBytes))
  if (!isListed(bytes, listed)) {
    throw new TufError('FILE_HASH_MISMATCH', 'A file is not the one that other metadata describes', { fileName })
  }
  return bytes
}

/** Whether these are the bytes described; a declared length larger than the file is fine, as for Notary. */
export function isListed(bytes: Uint8Array, listed: FileMeta): boolean {
  return bytes.byteLength <= listed.length && matchesHashes(bytes, listed.hashes)
}

/** `<role>.<hex of sha256>.json`. @throws TufError METADATA_FILE_META, DIGEST_INVALID */
export function hashedName(role: RoleName, { hashes }: FileMeta): string {
  const sha256 = hashes.get('sha256')
  if (sha256 === undefined) {
    throw new TufError('METADATA_FILE_META', 'A metadata file is listed without SHA-256', { role })
  }
  return `${role}.${hexOfBase64Digest(sha256)}.json`
}

/**
 * Runs steps and keeps every file they were given, by name. Refuses files that are longer than asked for, and says in every
 * error which file it came from.
 * @throws TufError FILE_TOO_LONG, REPOSITORY_TOO_LARGE, and what the steps throw
 */
export function* recordFiles<T>(
  steps: Steps<T>,
  files: Map<string, Uint8Array>,
  maxTotalBytes = REPOSITORY_MAX_BYTES,
): Steps<T> {
  let total = 0
  let step = steps.next()
  while (step.done !== true) {
    const request = step.value
    const bytes = yield request
    const { fileName, maxBytes } = request
    try {
      if (bytes !== undefined) {
        total += bytes.byteLength
        if (bytes.byteLength > maxBytes)
          throw new TufError('FILE_TOO_LONG', 'A file is longer than declared', { maxBytes })
        if (total > maxTotalBytes) {
          throw new TufError('REPOSITORY_TOO_LARGE', 'The metadata of the repository is too large', { total })
        }
        files.set(fileName, bytes)
      }
      step = steps.next(bytes)
    } catch (error) {
      if (!(error instanceof TufError)) throw error
      throw new TufError(error.code, error.message, { fileName, ...error.facts }, { cause: error })
    }
  }
  return step.value
}
