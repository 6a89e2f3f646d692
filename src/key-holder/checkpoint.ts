// Checkpoints of the audit log: C2SP tlog-checkpoint bodies in C2SP signed notes, signed with Ed25519. Pure.
import type { KeyObject } from 'node:crypto'
import { damaged } from './audit-faults.ts'
import { readVerifierKey, signNote, splitNote, verifyNoteBody } from './signed-note.ts'

export interface Checkpoint {
  /** First line of the note and name of its key. */
  readonly origin: string
  /** Number of entries. */
  readonly size: number
  readonly rootHash: Uint8Array
}

const BODY = /^([^\n]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n$/
/** signed-note: names of keys are non-empty and hold neither white space nor a plus sign. */
const ORIGIN = /^[^\s+]{1,200}$/

export function isOrigin(text: string): boolean {
  return ORIGIN.test(text)
}

export function signCheckpoint(checkpoint: Checkpoint, privateKey: KeyObject): string {
  const { origin, size, rootHash } = checkpoint
  return signNote(`${origin}\n${size}\n${Buffer.from(rootHash).toString('base64')}\n`, origin, privateKey)
}

/**
 * Reads a checkpoint and verifies its signature by the key in verifier form.
 * @throws KeyHolderError AUDIT_LOG_DAMAGED `key-malformed`, `checkpoint-malformed`, `wrong-key`, `checkpoint-signature`
 */
export function verifyCheckpoint(note: string, verifierKey: string): Checkpoint {
  const verifier = readVerifierKey(verifierKey)
  if (verifier === undefined) throw damaged('key-malformed', 'the key of the log is not one', {})
  const split = splitNote(note)
  const [, origin, size, root] = BODY.exec(split?.body ?? '') ?? []
  if (split === undefined || origin === undefined || root === undefined) {
    throw damaged('checkpoint-malformed', 'the checkpoint has not the form of one', PLACE)
  }
  const { signer, keyId, isCanonical } = split
  if (!isCanonical) throw damaged('checkpoint-malformed', 'the signature of the checkpoint is not base64', PLACE)
  if (signer !== verifier.name || !keyId.equals(verifier.id)) {
    const id = keyId.toString('hex')
    throw damaged('wrong-key', `the checkpoint is signed with another key (${signer}+${id})`, { ...PLACE, signer, id })
  }
  if (origin !== verifier.name || !verifyNoteBody(split, verifier)) {
    throw damaged('checkpoint-signature', 'the signature of the checkpoint does not verify', PLACE)
  }
  return { origin, size: Number(size), rootHash: Buffer.from(root, 'base64') }
}

const PLACE = { path: 'checkpoint' } as const
