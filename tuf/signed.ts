// The envelope of every metadata file: `signed` as received, its canonical bytes, and the signatures over them.
// What `signed` means is read by root.ts, targets.ts, snapshot.ts and timestamp.ts; trust is decided elsewhere.
import { Buffer } from 'node:buffer'
import { canonicalText } from './canonical.ts'
import { sha256Hex } from './digest.ts'
import { decodeBase64, encodeBase64, encodeUtf8 } from './encoding.ts'
import { TufError } from './errors.ts'
import { parseJson, type JsonLimits, type JsonObject, type JsonValue } from './json.ts'
import { parseTufKeyId, type PublicKey } from './key.ts'
import { asArrayOrNothing, asObject, asString, refuseCaseVariants } from './members.ts'
import { escapedForEnvelope, normalFormText, verifyNormalForm } from './normal-form.ts'
import type { RoleName, TufKeyId } from './role.ts'
import type { SignatureEntry } from './signature.ts'
import { verifySignatureOnce } from './verified-signatures.ts'

/** A file that came in: well-formed, but not trusted. Hashes are over `bytes`, signatures over `message`. */
export interface Received<T> {
  readonly bytes: Uint8Array
  /** 64 hex digits, of `bytes`. */
  readonly sha256: string
  /** The received value, unknown members included. */
  readonly signed: JsonObject
  /** Canonical bytes of `signed`. */
  readonly message: Uint8Array
  readonly signatures: readonly SignatureEntry[]
  readonly metadata: T
}

/** Metadata of ours that wants signatures over `message`. */
export interface UnsignedMetadata {
  readonly role: RoleName
  readonly version: number
  readonly signed: JsonObject
  /** Canonical bytes of `signed`. */
  readonly message: Uint8Array
}

/**
 * Largest file and depth that is read at all: room for a quarter of a million tags. The verifier asks for less where it knows
 * more. Notary's clients take up to 100 MiB.
 */
export const METADATA_LIMITS: JsonLimits = { maxBytes: 32 * 1024 * 1024, maxDepth: 32 }

/** Go has no limit; the rest of this many signatures would only cost time. */
const MAX_SIGNATURES = 128

const ENVELOPE_MEMBERS = new Set(['signed', 'signatures'])
const SIGNATURE_MEMBERS = new Set(['keyid', 'method', 'sig'])

/**
 * Reads a file's envelope and, with `parse`, what is signed. Unknown members are kept in `signed` and otherwise ignored, as
 * Notary's clients do.
 * @throws TufError JSON_*, CANONICAL_*, METADATA_*, ENCODING_BASE64, KEY_MALFORMED
 */
export function parseSigned<T>(bytes: Uint8Array, parse: (signed: JsonObject) => T): Received<T> {
  const envelope = asObject(parseJson(bytes, METADATA_LIMITS), 'file')
  refuseCaseVariants(envelope, ENVELOPE_MEMBERS)
  const signed = asObject(envelope.get('signed'), 'signed')
  const entries = asArrayOrNothing(envelope.get('signatures'), 'signatures')
  if (entries.length > MAX_SIGNATURES) {
    throw new TufError('METADATA_TOO_MANY_SIGNATURES', 'A file has too many signatures', { count: entries.length })
  }
  const message = encodeUtf8(canonicalText(signed))
  const metadata = parse(signed)
  return { bytes, sha256: sha256Hex(bytes), signed, message, signatures: entries.map(parseSignature), metadata }
}

function parseSignature(value: JsonValue): SignatureEntry {
  const entry = asObject(value, 'signature')
  refuseCaseVariants(entry, SIGNATURE_MEMBERS)
  return {
    keyId: parseTufKeyId(asString(entry.get('keyid'), 'keyid')),
    method: asString(entry.get('method'), 'method').toLowerCase(),
    signature: decodeBase64(asString(entry.get('sig'), 'sig')),
  }
}

/**
 * Whether enough of the role's keys signed the message. `keys` are the keys that the role lists, by the IDs it lists.
 * notary v0.7.0 tuf/signed/verify.go VerifySignatures. Stricter in one point: one key under two IDs (two certificates) counts
 * once, as TUF 1.0.34, 5.3.4 wants distinct keys.
 * @throws TufError SIGNATURE_NONE, METADATA_THRESHOLD, KEY_ID_MISMATCH, SIGNATURE_BELOW_THRESHOLD
 */
export function verifySignatures(
  file: { readonly message: Uint8Array; readonly signatures: readonly SignatureEntry[] },
  keys: ReadonlyMap<TufKeyId, PublicKey>,
  threshold: number,
): void {
  if (file.signatures.length === 0) throw new TufError('SIGNATURE_NONE', 'The metadata has no signatures')
  if (threshold < 1) throw new TufError('METADATA_THRESHOLD', 'A threshold is below one', { threshold })
  const signers = new Set<TufKeyId>()
  for (const { keyId, method, signature } of file.signatures) {
    const key = keys.get(keyId)
    if (key === undefined) continue
    if (key.tufKeyId !== keyId) {
      throw new TufError('KEY_ID_MISMATCH', 'A key is listed under an ID that is not its own', { keyId })
    }
    if (signers.has(key.canonicalKeyId)) continue
    if (verifySignatureOnce(key, method, file.message, signature)) signers.add(key.canonicalKeyId)
  }
  if (signers.size < threshold) {
    throw new TufError('SIGNATURE_BELOW_THRESHOLD', 'Too few of the role’s keys signed the metadata', {
      threshold,
      valid: signers.size,
    })
  }
}

/**
 * The file in Notary's normal form: what a trust server hashes is exactly these bytes (reference: the re-encoding trap).
 * notary v0.7.0 tuf/data/types.go Signed; members of a signature in Go's order.
 * @throws TufError CANONICAL_*
 */
export function attachSignatures(
  { message }: Pick<UnsignedMetadata, 'message'>,
  signatures: readonly SignatureEntry[],
): Uint8Array {
  return envelope(message, signatures)
}

/**
 * Whether a received file is byte for byte what Notary's own encoder would make of it.
 * @throws TufError NORMAL_FORM_*
 */
export function verifyNormalFormFile(file: Received<unknown>): void {
  verifyNormalForm(file.signed)
  const expected = envelope(file.message, file.signatures)
  if (Buffer.compare(expected, file.bytes) !== 0) {
    throw new TufError('NORMAL_FORM_BYTES', 'A file is not written byte for byte as Notary writes it')
  }
}

/** The envelope as Notary's encoder writes it, around the canonical bytes of `signed`. @throws TufError CANONICAL_* */
function envelope(message: Uint8Array, signatures: readonly SignatureEntry[]): Uint8Array {
  const entries = signatures.map(({ keyId, method, signature }) =>
    normalFormText(
      new Map([
        ['keyid', keyId],
        ['method', method],
        ['sig', encodeBase64(signature)],
      ]),
    ),
  )
  return joined(
    encodeUtf8('{"signed":'),
    escapedForEnvelope(message),
    encodeUtf8(`,"signatures":[${entries.join(',')}]}`),
  )
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.byteLength
  }
  return whole
}
