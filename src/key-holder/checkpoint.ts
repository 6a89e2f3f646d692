// Checkpoints of the audit log: C2SP tlog-checkpoint bodies in C2SP signed notes, signed with Ed25519. Pure.
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { damaged } from './audit-faults.ts'

export interface Checkpoint {
  /** First line of the note and name of its key. */
  readonly origin: string
  /** Number of entries. */
  readonly size: number
  readonly rootHash: Uint8Array
}

/** C2SP signed-note: the algorithm byte of Ed25519. */
const ED25519 = 0x01
/** SubjectPublicKeyInfo of Ed25519 up to the 32 key bytes (RFC 8410, 4). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

const NOTE = /^([^\n]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n\n— ([^\n ]+) ([A-Za-z0-9+/]+=*)\n$/
const VERIFIER_KEY = /^([^\n +]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/
/** signed-note: names of keys are non-empty and hold neither white space nor a plus sign. */
const ORIGIN = /^[^\s+]{1,200}$/

export function isOrigin(text: string): boolean {
  return ORIGIN.test(text)
}

/** The key as verifiers take it: `name+hex key id+base64`. */
export function encodeVerifierKey(origin: string, publicKey: KeyObject): string {
  const key = typedKey(publicKey)
  return `${origin}+${keyId(origin, key).toString('hex')}+${key.toString('base64')}`
}

export function signCheckpoint(checkpoint: Checkpoint, privateKey: KeyObject): string {
  const { origin, size, rootHash } = checkpoint
  const body = `${origin}\n${size}\n${Buffer.from(rootHash).toString('base64')}\n`
  const id = keyId(origin, typedKey(createPublicKey(privateKey)))
  const signature = Buffer.concat([id, sign(null, Buffer.from(body), privateKey)])
  return `${body}\n— ${origin} ${signature.toString('base64')}\n`
}

/** Whether this is a public key in the form that `encodeVerifierKey` gives. */
export function isVerifierKey(text: string): boolean {
  return parseVerifierKey(text) !== undefined
}

/**
 * Reads a checkpoint and verifies its signature by the key in verifier form.
 * @throws KeyHolderError AUDIT_LOG_DAMAGED `key-malformed`, `checkpoint-malformed`, `wrong-key`, `checkpoint-signature`
 */
export function verifyCheckpoint(note: string, verifierKey: string): Checkpoint {
  const verifier = parseVerifierKey(verifierKey)
  if (verifier === undefined) throw damaged('key-malformed', 'the key of the log is not one', {})
  const [, origin, size, root, signer, signatureText] = NOTE.exec(note) ?? []
  if (origin === undefined || root === undefined || signer === undefined || signatureText === undefined) {
    throw damaged('checkpoint-malformed', 'the checkpoint has not the form of one', PLACE)
  }
  const signature = Buffer.from(signatureText, 'base64')
  // One text for one signature: the bits that base64 leaves over say nothing, and stay zero.
  if (signature.toString('base64') !== signatureText) {
    throw damaged('checkpoint-malformed', 'the signature of the checkpoint is not base64', PLACE)
  }
  const isSameKey = signer === verifier.name && signature.subarray(0, 4).equals(verifier.id)
  if (!isSameKey) {
    const id = signature.subarray(0, 4).toString('hex')
    throw damaged('wrong-key', `the checkpoint is signed with another key (${signer}+${id})`, { ...PLACE, signer, id })
  }
  const body = note.slice(0, note.indexOf('\n\n') + 1)
  if (origin !== verifier.name || !verify(null, Buffer.from(body), verifier.publicKey, signature.subarray(4))) {
    throw damaged('checkpoint-signature', 'the signature of the checkpoint does not verify', PLACE)
  }
  return { origin, size: Number(size), rootHash: Buffer.from(root, 'base64') }
}

const PLACE = { path: 'checkpoint' } as const

function parseVerifierKey(
  text: string,
): { readonly name: string; readonly id: Buffer; readonly publicKey: KeyObject } | undefined {
  const [, name, idHex, keyText] = VERIFIER_KEY.exec(text) ?? []
  if (name === undefined || idHex === undefined || keyText === undefined) return undefined
  const key = Buffer.from(keyText, 'base64')
  const id = keyId(name, key)
  if (key[0] !== ED25519 || id.toString('hex') !== idHex) return undefined
  const spki = Buffer.concat([ED25519_SPKI_PREFIX, key.subarray(1)])
  return { name, id, publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
}

function typedKey(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return Buffer.concat([Uint8Array.of(ED25519), spki.subarray(ED25519_SPKI_PREFIX.length)])
}

/** C2SP signed-note: the first four bytes of SHA-256 over name, line feed, algorithm byte and key. */
function keyId(name: string, key: Buffer): Buffer {
  return createHash('sha256').update(`${name}\n`).update(key).digest().subarray(0, 4)
}
