// A receipt: one change of one tag, the record of the audit log that speaks of it, and what proves that the log has this record. It
// can be verified without us: see docs/receipts.md. Pure.
import { encodeBase64 } from '@countersign/tuf'
import { DomainError } from './errors.ts'
import { imageOf, type ImageRecord, type ImageSubject, type RequestKind } from './signing-request.ts'

export const RECEIPT_FORMAT = 'countersign-receipt/1'

/** A record of the audit log as the key holder proves it. */
export interface ProvenRecord {
  /** Its place in the log. */
  readonly index: number
  /** The bytes that were logged. */
  readonly bytes: Uint8Array
  readonly leafHash: Uint8Array
  /** RFC 6962, leaf side first. */
  readonly proof: readonly Uint8Array[]
  /** Signed note. */
  readonly checkpoint: string
  /** The log's public key as verifiers take it. */
  readonly logKey: string
}

/** As it travels, in JSON; bytes are base64. */
export interface Receipt {
  readonly format: typeof RECEIPT_FORMAT
  readonly image: {
    readonly gun: string
    readonly tag: string
    readonly change: 'put' | 'drop'
    /** Of a put: what was signed. */
    readonly sha256?: string
    readonly length?: number
  }
  readonly record: { readonly index: number; readonly bytes: string; readonly leafHash: string }
  readonly inclusionProof: readonly string[]
  readonly checkpoint: string
  readonly logKey: string
}

export interface ReceiptSource {
  readonly subject: ImageSubject
  readonly publication: string
}

/**
 * What a receipt of this image is made of.
 * @throws DomainError RECEIPT_NOT_AVAILABLE where it was not published, or nothing was signed for it
 */
export function receiptSource(record: ImageRecord): ReceiptSource {
  const subject = imageOf(record)
  if (subject === undefined) throw notAvailable('the request is about a repository as a whole')
  if (record.status !== 'published') throw notAvailable(`the image is ${record.status}, not published`)
  if (record.unchanged || record.publication === undefined) {
    throw notAvailable('the repository said so already, so nothing was signed for this request; an earlier one has it')
  }
  return { subject, publication: record.publication }
}

export function makeReceipt(kind: RequestKind, subject: ImageSubject, proven: ProvenRecord): Receipt {
  const { gun, tag, sha256, length } = subject
  const isPut = kind === 'sign' && sha256 !== undefined && length !== undefined
  return {
    format: RECEIPT_FORMAT,
    image: { gun, tag, ...(isPut ? { change: 'put', sha256, length } : { change: 'drop' }) },
    record: {
      index: proven.index,
      bytes: encodeBase64(proven.bytes),
      leafHash: encodeBase64(proven.leafHash),
    },
    inclusionProof: proven.proof.map(encodeBase64),
    checkpoint: proven.checkpoint,
    logKey: proven.logKey,
  }
}

function notAvailable(why: string): DomainError {
  return new DomainError('RECEIPT_NOT_AVAILABLE', `There is no receipt: ${why}.`, { why })
}
