// The only place that uses a role's private key: payloads that are recorded, with the log published, become files.
import { attachSignatures, sha256Hex, type RoleName, type SignatureEntry, type TufKeyId } from '@countersign/tuf'
import type { KeyRef } from './custodian.ts'
import { internal, type Holder } from './holder.ts'
import type { Payload } from './payloads.ts'

export interface SignedFile {
  readonly role: RoleName
  readonly version: number
  /** 64 hex digits of `bytes`. */
  readonly sha256: string
  readonly bytes: Uint8Array
}

/**
 * Files of recorded payloads: stored ones as they are, so that a lost answer gets the same bytes again; others are signed and
 * stored. A crash before the files are stored leaves recorded payloads that the same request signs again; no signature has left.
 * @param o.recorded a size of the log that has the record of these payloads, by default all that is committed; `ahead` where the record was
 * written ahead of the log's files just now
 * @param o.verify a last look at each file before it is stored and given out
 * @param o.alongside what becomes durable together with the files; not called where they were stored before
 * @throws KeyHolderError KEY_NOT_FOUND, KEY_FILE_DAMAGED, CUSTODY_*, AUDIT_LOG_UNWRITABLE, STATE_UNWRITABLE
 */
export async function signPayloads(
  holder: Holder,
  payloads: readonly Payload[],
  o: {
    readonly recorded?: number | 'ahead'
    readonly verify?: (file: SignedFile) => void
    readonly alongside?: (files: readonly SignedFile[]) => void
  } = {},
): Promise<SignedFile[]> {
  // The record is in the log's files, flushed or written ahead of them, or nothing is signed: here, and after a failure or crash behind the commit.
  if (o.recorded !== 'ahead') await holder.log.publishUpTo(o.recorded ?? holder.log.tree.size)
  const files: SignedFile[] = []
  for (const payload of payloads) files.push(await fileOf(holder, payload))
  for (const file of files) o.verify?.(file)
  holder.step('signed')
  const missing = payloads.filter(({ file }) => file === undefined)
  if (missing.length > 0) {
    holder.database.write(() => {
      for (const payload of missing) {
        const file = files.find(({ role, version }) => role === payload.role && version === payload.version)
        if (file === undefined) throw internal('A signed file was lost.')
        holder.payloads.complete(payload, file.bytes, file.sha256)
        holder.versions.raiseSigned(payload.gun, payload.role, file)
        for (const [canonicalKeyId] of payload.signingKeys) {
          holder.keys.markUsed(payload.gun, canonicalKeyId, holder.now())
        }
      }
      o.alongside?.(files)
    })
  }
  holder.step('stored')
  return files
}

/**
 * Before the record: where a token with a key is known to be away, nothing is recorded that could not be signed, and no version is burnt
 * however long it is asked for. One that goes away from now on is found out by the signature.
 * @throws KeyHolderError CUSTODY_*, KEY_NOT_FOUND
 */
export async function requireTokens(holder: Holder, payloads: readonly Payload[]): Promise<void> {
  for (const { gun, signingKeys } of payloads) {
    for (const [canonicalKeyId] of signingKeys) {
      await holder.custody.requireThere(`key:${gun}#${canonicalKeyId}` as KeyRef)
    }
  }
}

async function fileOf(holder: Holder, payload: Payload): Promise<SignedFile> {
  const { role, version, gun, message } = payload
  if (payload.file !== undefined) return { role, version, sha256: sha256Hex(payload.file), bytes: payload.file }
  if (sha256Hex(message) !== payload.messageSha256) throw internal('A recorded payload is damaged.')
  const signatures: SignatureEntry[] = []
  for (const [canonicalKeyId, tufKeyId] of payload.signingKeys) {
    const keyRef = `key:${gun}#${canonicalKeyId}` as KeyRef
    const made = await holder.custody.sign(keyRef, message, { gun, role, version })
    signatures.push({ keyId: tufKeyId as TufKeyId, ...made })
  }
  const bytes = attachSignatures({ message }, signatures)
  return { role, version, sha256: sha256Hex(bytes), bytes }
}
