// Learning what is published without signing anything: read-back states, and the first pin of a repository of somebody else.
import { parseGun, parseRoleName, parseTufKeyId, RELEASES, verifyFiles } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { pinOf, recordsOf, rememberBase, seenFiles, verifyBase, verifyState } from './base.ts'
import { makeKey } from './file-custodian.ts'
import { commit, commitForLater, type Answer, type Call, type Holder } from './holder.ts'
import { checkKeyRate, countKeys, exportOf, recordOfKey } from './key-creation.ts'
import { limitsFor } from './limits.ts'
import { describeRepository } from './repository-status.ts'

/** See the operation's description in the protocol. @throws KeyHolderError */
export function observeRepository(
  holder: Holder,
  { request, attachments, socket }: Call<'observe-repository'>,
): Promise<Answer<'observe-repository'>> {
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getPinned(gun)
  const base = verifyBase(holder, gun, pinnedRoot, attachments, socket)
  const records = recordsOf(base, gun)
  if (records.length > 0) {
    // A crash before the commit forgets what was seen; the next observation tells it again.
    const isRoutine = base.newRoot === undefined && base.keysMoved.length === 0
    const take = isRoutine ? commitForLater : commit
    take(holder, records, () => {
      rememberBase(holder, gun, base)
    })
  }
  return Promise.resolve({ response: { roles: describeRepository(holder, gun).roles } })
}

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function pinRepository(
  holder: Holder,
  { request, attachments, socket }: Call<'pin-repository'>,
): Promise<Answer<'pin-repository'>> {
  const gun = parseGun(request.gun)
  limitsFor(holder.limits, gun)
  const role = parseRoleName(`targets/${request.signer}`)
  if (role === RELEASES) {
    throw new KeyHolderError('CHANGE_MALFORMED', 'No signer can be called releases.', { gun, signer: request.signer })
  }
  const tufKeyIds = request.certificateKeyIds.map(parseTufKeyId)
  const pin = { kind: 'certificates', tufKeyIds } as const
  const repository = verifyState(() => verifyFiles(attachments, { gun, pin, now: holder.now() }), gun)
  const root = pinOf(repository)
  const existing = holder.repositories.find(gun)
  if (existing !== undefined && (existing.rootCustody !== 'foreign' || existing.pinnedRoot?.sha256 !== root.sha256)) {
    throw new KeyHolderError('GUN_ALREADY_MANAGED', 'The key holder has this repository already, with its own pin.', {
      gun,
      pinned: existing.pinnedRoot?.sha256 ?? 'none',
    })
  }
  const createdAt = holder.now().toISOString()
  const known = holder.keys.ofRole(gun, role)
  if (known === undefined) checkKeyRate(holder, gun, 1)
  const key = known ?? (await makeKey(gun, role, request.keyType, createdAt))
  const made = 'privateKey' in key ? key : undefined
  if (existing === undefined || made !== undefined) {
    const { version, sha256, certificateKeyIds } = root
    const { evidence } = request
    const pinned = {
      kind: 'root-pinned',
      by: socket,
      gun,
      version,
      sha256,
      rootKeyIds: certificateKeyIds,
      evidence,
    } as const
    // A crash before the commit forgets the key and the pin; after it, the same request finds both.
    commit(holder, [pinned, ...(made === undefined ? [] : [recordOfKey(made, socket, evidence)])], () => {
      if (existing === undefined) {
        holder.repositories.insert({
          gun,
          rootCustody: 'foreign',
          requestDigest: null,
          signer: request.signer,
          createdAt,
        })
      }
      holder.repositories.pin(gun, root)
      for (const file of seenFiles(repository)) holder.versions.raiseSeen(gun, file.role, file)
      if (made !== undefined) {
        holder.custodian.keep(made)
        countKeys(holder, 1)
      }
    })
  }
  const { key: publicKey, pem } = exportOf(key.publicKey)
  return { response: { repository: describeRepository(holder, gun), key: publicKey, pem } }
}
