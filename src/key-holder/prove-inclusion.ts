// Proves that the audit log has the record of one change of one tag. Reads only: the one way in which the daemon sees anything of the log.
import { parseGun, type Gun } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Answer, Call, Holder } from './holder.ts'

/** See the operation's description in the protocol. @throws KeyHolderError RECORD_NOT_FOUND, AUDIT_LOG_DAMAGED */
export function proveInclusion(
  holder: Holder,
  { request }: Call<'prove-inclusion'>,
): Promise<Answer<'prove-inclusion'>> {
  const gun = parseGun(request.gun)
  const { publication, tag } = request
  // A record alone is an intent. What was never signed is proven to nobody.
  const isSigned = holder.payloads.isSigned(gun, `change:${publication}`)
  const found = isSigned ? recordOf(holder, gun, publication, tag) : undefined
  const proof = found && holder.log.prove(found.position, found.entry)
  if (found === undefined || proof === undefined) {
    throw new KeyHolderError('RECORD_NOT_FOUND', 'The log has no record of a signed change of this tag by this name.', {
      gun,
      publication,
      tag,
    })
  }
  return Promise.resolve({
    response: {
      index: found.position,
      record: found.entry.toString('base64'),
      leafHash: base64(proof.leafHash),
      proof: proof.hashes.map(base64),
      checkpoint: proof.note,
      publicKey: holder.log.verifierKey,
    },
  })
}

/** Of a change that took several records: the one that names the tag. */
function recordOf(
  holder: Holder,
  gun: Gun,
  publication: string,
  tag: string,
): { readonly position: number; readonly entry: Buffer } | undefined {
  return holder.log.tree.ofPublication(publication, `"tag":"${tag}"`).find(({ entry }) => {
    const record = JSON.parse(entry.toString('utf8')) as Partial<Record<'kind' | 'gun' | 'changes', unknown>>
    const { changes } = record
    return record.kind === 'targets-change' && record.gun === gun && Array.isArray(changes) && changes.some(isOf(tag))
  })
}

function isOf(tag: string): (change: unknown) => boolean {
  return (change) => typeof change === 'object' && change !== null && 'tag' in change && change.tag === tag
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
