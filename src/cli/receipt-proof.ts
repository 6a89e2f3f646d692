// Verifies a receipt offline: from the log's public key to the checkpoint, from there to the record, and what the record says. Pure.
// Nothing that a receipt says of itself is believed: each member is either the proof or compared with what the proof leads to.
import * as z from 'zod'
import { isDamage } from '../key-holder/audit-faults.ts'
import { verifyCheckpoint, type Checkpoint } from '../key-holder/checkpoint.ts'
import { leafHash, rootOfInclusion } from '../key-holder/merkle.ts'
import { HASH_BASE64, MAX_PROOF_HASHES, MAX_RECORD_BASE64 } from '../key-holder-protocol/shapes.ts'
import { RECEIPT_FORMAT } from '../domain/receipt.ts'
import { CliError, type CliErrorCode } from './errors.ts'

/** Bytes of the largest receipt: one record, its proof and a checkpoint, with room for white space. */
export const MAX_RECEIPT_BYTES = 128 * 1024

/** One text for one sequence of bytes: what base64 leaves over is zero, and padding is written. */
const base64 = (max: number) =>
  z
    .string()
    .max(max)
    .refine((text) => text !== '' && Buffer.from(text, 'base64').toString('base64') === text)
    .transform((text) => Buffer.from(text, 'base64'))

const hash = base64(HASH_BASE64).refine((bytes) => bytes.byteLength === 32)
const hex64 = z.string().regex(/^[0-9a-f]{64}$/)

const receiptShape = z.strictObject({
  format: z.literal(RECEIPT_FORMAT),
  image: z.strictObject({
    gun: z.string().min(1).max(255),
    tag: z.string().min(1).max(128),
    change: z.enum(['put', 'drop']),
    sha256: hex64.optional(),
    length: z.int().min(1).optional(),
  }),
  record: z.strictObject({ index: z.int().min(0), bytes: base64(MAX_RECORD_BASE64), leafHash: hash }),
  inclusionProof: z.array(hash).max(MAX_PROOF_HASHES),
  checkpoint: z.string().max(4096),
  logKey: z.string().max(256),
})
type ParsedReceipt = z.output<typeof receiptShape>

/** A record of `change-targets`, as far as a receipt speaks of it; more may stand there. */
const recordShape = z.looseObject({
  kind: z.literal('targets-change'),
  at: z.string(),
  gun: z.string(),
  publication: z.string(),
  roles: z.array(z.looseObject({ role: z.string(), version: z.int(), payloadSha256: hex64 })),
  changes: z.array(
    z.looseObject({
      kind: z.enum(['put', 'drop']),
      tag: z.string(),
      sha256: hex64.optional(),
      length: z.int().optional(),
      evidence: z.looseObject({
        request: z.string(),
        principal: z.string(),
        decision: z.string().optional(),
        origin: z.string().optional(),
      }),
    }),
  ),
})

/** What a receipt proves. Everything but `log` was read from the record. */
export interface ProvenReceipt {
  readonly gun: string
  readonly tag: string
  readonly change: 'put' | 'drop'
  /** Of a put; 64 hex digits. */
  readonly sha256?: string
  readonly length?: number
  readonly at: string
  readonly request: string
  readonly principal: string
  readonly decision?: string
  readonly origin?: string
  readonly publication: string
  /** What was signed: SHA-256 of the canonical bytes of `signed` of each role. */
  readonly roles: readonly { readonly role: string; readonly version: number; readonly payloadSha256: string }[]
  readonly log: { readonly origin: string; readonly index: number; readonly size: number }
}

/**
 * @throws CliError RECEIPT_MALFORMED, RECEIPT_OTHER_LOG, RECEIPT_CHECKPOINT_INVALID, RECEIPT_RECORD_ALTERED, RECEIPT_PROOF_INVALID,
 * RECEIPT_IMAGE_ALTERED
 */
export function proveReceipt(document: unknown, logKey: string): ProvenReceipt {
  const parsed = receiptShape.safeParse(document)
  if (!parsed.success) throw malformed(parsed.error.issues[0]?.path.join('.') ?? '')
  const receipt = parsed.data
  const checkpoint = readCheckpoint(receipt, logKey)
  requireInclusion(receipt, checkpoint)
  return readRecord(receipt, checkpoint)
}

/** The document of a receipt's text. @throws CliError RECEIPT_MALFORMED */
export function parseReceipt(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch {
    throw malformed('')
  }
}

/** @throws CliError RECEIPT_OTHER_IMAGE */
export function requireImage(
  { gun, tag, sha256 }: ProvenReceipt,
  asked: { readonly gun: string; readonly tag: string; readonly digest?: string },
): void {
  if (gun === asked.gun && tag === asked.tag && (asked.digest === undefined || asked.digest === sha256)) return
  const of = `${gun}:${tag}${sha256 === undefined ? '' : `@sha256:${sha256}`}`
  throw refused('RECEIPT_OTHER_IMAGE', `It is a receipt of another image: ${of}.`, { image: of })
}

function readCheckpoint({ checkpoint, logKey: stated }: ParsedReceipt, logKey: string): Checkpoint {
  if (stated !== logKey) throw otherLog()
  try {
    return verifyCheckpoint(checkpoint, logKey)
  } catch (cause) {
    if (!isDamage(cause)) throw cause
    if (cause.facts['fault'] === 'wrong-key') throw otherLog()
    throw refused('RECEIPT_CHECKPOINT_INVALID', 'Its checkpoint is not as the log signed it.', {
      fault: String(cause.facts['fault']),
    })
  }
}

function requireInclusion({ record, inclusionProof }: ParsedReceipt, checkpoint: Checkpoint): void {
  const { index, bytes } = record
  if (!leafHash(bytes).equals(record.leafHash)) {
    throw refused('RECEIPT_RECORD_ALTERED', 'Its record is not the one that the proof is about.', { index })
  }
  const root = rootOfInclusion(record.leafHash, index, checkpoint.size, inclusionProof)
  if (root === undefined || Buffer.compare(root, checkpoint.rootHash) !== 0) {
    throw refused('RECEIPT_PROOF_INVALID', 'Its proof does not lead from the record to the checkpoint.', { index })
  }
}

function readRecord({ image, record: { index, bytes } }: ParsedReceipt, { origin, size }: Checkpoint): ProvenReceipt {
  const parsed = recordShape.safeParse(jsonOf(bytes))
  const { data } = parsed
  const change = data?.changes.find(({ tag }) => tag === image.tag)
  const isSame =
    data?.gun === image.gun &&
    change?.kind === image.change &&
    change.sha256 === image.sha256 &&
    change.length === image.length
  if (data === undefined || change === undefined || !isSame) {
    throw refused('RECEIPT_IMAGE_ALTERED', 'Its record does not say of the image what the receipt says.', { index })
  }
  const { evidence } = change
  return {
    gun: data.gun,
    tag: change.tag,
    change: change.kind,
    ...(change.sha256 !== undefined && { sha256: change.sha256 }),
    ...(change.length !== undefined && { length: change.length }),
    at: data.at,
    request: evidence.request,
    principal: evidence.principal,
    ...(evidence.decision !== undefined && { decision: evidence.decision }),
    ...(evidence.origin !== undefined && { origin: evidence.origin }),
    publication: data.publication,
    roles: data.roles.map(({ role, version, payloadSha256 }) => ({ role, version, payloadSha256 })),
    log: { origin, index, size },
  }
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

function malformed(at: string): CliError {
  return refused('RECEIPT_MALFORMED', 'It has not the form of a receipt.', at === '' ? {} : { at })
}

function otherLog(): CliError {
  return new CliError(
    'RECEIPT_OTHER_LOG',
    'The receipt is not proven: it is of another log than the one with this key.',
    {
      next: 'Get the key from somebody whom you trust with it: countersign audit public-key prints it.',
    },
  )
}

function refused(code: CliErrorCode, sentence: string, facts: Readonly<Record<string, string | number>>): CliError {
  return new CliError(code, `The receipt is not proven. ${sentence}`, {
    facts,
    next: 'Ask for the receipt again (countersign request receipt); docs/receipts.md says what each code means.',
  })
}
