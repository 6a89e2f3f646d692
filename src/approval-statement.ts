// What an approver's key signs: one change of one tag for one request, in words that a person can read. The approver's machine writes it,
// the daemon and the key holder write it again from what they know, and hold the signature against that. Pure.
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'

/** One change as somebody approves it. */
export interface ApprovedChange {
  /** ID of the request: the key holder signs nothing twice for one request and tag, so an approval is good for one publication. */
  readonly request: string
  readonly gun: string
  readonly tag: string
  /** Absent: the tag loses its signature. 64 hex digits, and bytes of the manifest. */
  readonly put?: { readonly sha256: string; readonly length: number }
  /** What the tag stands for before, 64 hex digits; absent: it is not signed. */
  readonly standing?: string
  /** RFC 3339 in UTC, with milliseconds: after it the approval is worth nothing. */
  readonly expiresAt: string
}

/** Raw bytes of an Ed25519 public key (RFC 8032), and of a signature. */
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const PREFIX = 'ed25519:'

/** `ed25519:` and 32 bytes in base64. */
export const APPROVER_KEY = /^ed25519:[A-Za-z0-9+/]{43}=$/
/** 64 bytes in base64. */
export const APPROVER_SIGNATURE = /^[A-Za-z0-9+/]{86}==$/

/** Lines that begin with what they are; no value holds a line break, by the grammar of each. */
export function approvalStatement({ request, gun, tag, put, standing, expiresAt }: ApprovedChange): Buffer {
  const lines = [
    'countersign approval v1',
    `request ${request}`,
    `repository ${gun}`,
    `tag ${tag}`,
    `from ${standing === undefined ? 'nothing' : `sha256:${standing}`}`,
    `to ${put === undefined ? 'nothing' : `sha256:${put.sha256} of ${put.length} bytes`}`,
    `until ${expiresAt}`,
  ]
  if (lines.some((line) => /[\r\n]/.test(line))) throw new Error('A line of an approval is one line.')
  return Buffer.from(`${lines.join('\n')}\n`, 'utf8')
}

/** Base64. */
export function signApproval(privateKey: KeyObject, change: ApprovedChange): string {
  return sign(null, approvalStatement(change), privateKey).toString('base64')
}

/** False for anything that is not a signature by this key over exactly this change. */
export function verifyApproval(publicKey: string, change: ApprovedChange, signature: string): boolean {
  const key = approverKey(publicKey)
  const bytes = Buffer.from(signature, 'base64')
  return (
    key !== undefined && bytes.byteLength === SIGNATURE_BYTES && verify(null, approvalStatement(change), key, bytes)
  )
}

/** `ed25519:...` of an Ed25519 key; undefined for a key of another kind. */
export function printApproverKey(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== 'ed25519') return undefined
  const { x = '' } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' })
  return PREFIX + Buffer.from(x, 'base64url').toString('base64')
}

function approverKey(text: string): KeyObject | undefined {
  const bytes = APPROVER_KEY.test(text) ? Buffer.from(text.slice(PREFIX.length), 'base64') : undefined
  if (bytes?.byteLength !== KEY_BYTES) return undefined
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }, format: 'jwk' })
}
