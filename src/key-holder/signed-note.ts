// C2SP signed notes with one Ed25519 signature, and their keys as verifiers take them. Pure.
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'

/** C2SP signed-note: the algorithm byte of Ed25519. */
const ED25519 = 0x01
/** SubjectPublicKeyInfo of Ed25519 up to the 32 key bytes (RFC 8410, 4). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** The signature line, which is the last one. */
const SIGNATURE_LINE = /^— ([^\n ]+) ([A-Za-z0-9+/]+=*)\n$/
const VERIFIER_KEY = /^([^\n +]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/

export interface VerifierKey {
  readonly name: string
  /** The first four bytes of a hash over name and key. */
  readonly id: Buffer
  readonly publicKey: KeyObject
}

export interface SplitNote {
  /** With its last line feed. */
  readonly body: string
  readonly signer: string
  readonly keyId: Buffer
  readonly signature: Buffer
  /** One text for one signature: the bits that base64 leaves over say nothing, and stay zero. */
  readonly isCanonical: boolean
}

/** The key as verifiers take it: `name+hex key id+base64`. */
export function encodeVerifierKey(name: string, publicKey: KeyObject): string {
  const key = typedKey(publicKey)
  return `${name}+${keyIdOf(name, key).toString('hex')}+${key.toString('base64')}`
}

/** Whether this is a public key in the form that `encodeVerifierKey` gives. */
export function isVerifierKey(text: string): boolean {
  return readVerifierKey(text) !== undefined
}

export function readVerifierKey(text: string): VerifierKey | undefined {
  const [, name, idHex, keyText] = VERIFIER_KEY.exec(text) ?? []
  if (name === undefined || idHex === undefined || keyText === undefined) return undefined
  const key = Buffer.from(keyText, 'base64')
  const id = keyIdOf(name, key)
  if (key[0] !== ED25519 || id.toString('hex') !== idHex) return undefined
  const spki = Buffer.concat([ED25519_SPKI_PREFIX, key.subarray(1)])
  return { name, id, publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
}

/** @param body ends with a line feed */
export function signNote(body: string, name: string, privateKey: KeyObject): string {
  const id = keyIdOf(name, typedKey(createPublicKey(privateKey)))
  const signature = Buffer.concat([id, sign(null, Buffer.from(body), privateKey)])
  return `${body}\n— ${name} ${signature.toString('base64')}\n`
}

/** The parts of a note with one signature; undefined: it is none. Nothing is verified. */
export function splitNote(note: string): SplitNote | undefined {
  const end = note.lastIndexOf('\n\n')
  const [, signer, text] = SIGNATURE_LINE.exec(note.slice(end + 2)) ?? []
  if (end < 0 || signer === undefined || text === undefined) return undefined
  const bytes = Buffer.from(text, 'base64')
  return {
    body: note.slice(0, end + 1),
    signer,
    keyId: bytes.subarray(0, 4),
    signature: bytes.subarray(4),
    isCanonical: bytes.toString('base64') === text,
  }
}

/** Whether the key signed the body; that its name and ID stand in the note is for the caller to compare. */
export function verifyNoteBody({ body, signature }: SplitNote, { publicKey }: VerifierKey): boolean {
  return verify(null, Buffer.from(body), publicKey, signature)
}

function typedKey(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return Buffer.concat([Uint8Array.of(ED25519), spki.subarray(ED25519_SPKI_PREFIX.length)])
}

/** C2SP signed-note: the first four bytes of SHA-256 over name, line feed, algorithm byte and key. */
function keyIdOf(name: string, key: Buffer): Buffer {
  return createHash('sha256').update(`${name}\n`).update(key).digest().subarray(0, 4)
}
