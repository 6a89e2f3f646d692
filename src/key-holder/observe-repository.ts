// Learning what is published without signing anything: read-back states, and the first pin of a repository of somebody else.
import { randomBytes } from 'node:crypto'
import {
  parseGun,
  parseRoleName,
  parseTufKeyId,
  RELEASES,
  ROOT,
  TARGETS,
  verifyFiles,
  type Gun,
  type PublicKey,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { adoptionMessage } from '../key-holder-protocol/adoption-proof.ts'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { acceptPublished, pinOf, recordsOf, rememberBase, seenFiles, verifyBase, verifyState } from './base.ts'
import { ourKeys } from './change-plan.ts'
import { commit, commitForLater, commitWithKeys, type Answer, type Call, type Holder } from './holder.ts'
import { checkKeyRate, countKeys, exportOf, recordOfKey } from './key-creation.ts'
import { keyRefOf } from './key-table.ts'
import { limitsFor } from './limits.ts'
import type { RootCustody } from './repositories.ts'
import { describeRepository } from './repository-status.ts'

/** See the operation's description in the protocol. @throws KeyHolderError */
export function observeRepository(
  holder: Holder,
  { request, attachments, socket }: Call<'observe-repository'>,
): Promise<Answer<'observe-repository'>> {
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getPinned(gun)
  // Nothing is signed here, so what has expired teaches as much as anything else.
  const base = verifyBase(holder, gun, pinnedRoot, attachments, socket, { acceptsExpired: true })
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
  const role = signerRole(gun, request.signer)
  const tufKeyIds = request.certificateKeyIds.map(parseTufKeyId)
  const pin = { kind: 'certificates', tufKeyIds } as const
  const options = { gun, pin, now: holder.now(), acceptsExpired: true }
  const repository = verifyState(() => verifyFiles(attachments, options), gun)
  const root = pinOf(repository)
  const existing = holder.repositories.find(gun)
  if (existing !== undefined && (existing.requestDigest !== undefined || existing.pinnedRoot?.sha256 !== root.sha256)) {
    throw new KeyHolderError('GUN_ALREADY_MANAGED', 'The key holder has this repository already, with its own pin.', {
      gun,
      pinned: existing.pinnedRoot?.sha256 ?? 'none',
    })
  }
  if (role === undefined) requireListedKey(holder, repository)
  const createdAt = holder.now().toISOString()
  const known = role && holder.keys.ofRole(gun, role)
  if (role !== undefined && known === undefined) checkKeyRate(holder, gun, 1)
  const { keyType } = request
  const { custody } = limitsFor(holder.limits, gun)
  const made =
    role && known === undefined ? await holder.custody.make({ gun, role, keyType, createdAt, custody }) : undefined
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
    const keys = made === undefined ? [] : [made]
    commitWithKeys(holder, [pinned, ...keys.map((key) => recordOfKey(key, socket, evidence))], keys, () => {
      if (existing === undefined) {
        holder.repositories.insert({
          gun,
          rootCustody: custodyAt(holder, repository),
          requestDigest: null,
          signer: request.signer ?? null,
          createdAt,
        })
        acceptPublished(holder, repository)
      }
      holder.repositories.pin(gun, root)
      for (const file of seenFiles(repository)) holder.versions.raiseSeen(gun, file.role, file)
      if (made !== undefined) countKeys(holder, 1)
    })
  }
  const key = made?.publicKey ?? known?.publicKey
  const repositoryState = describeRepository(holder, gun)
  if (role === undefined || key === undefined) return { response: { repository: repositoryState } }
  const { key: publicKey, pem } = exportOf(key)
  const proof = await proveAdopted(holder, gun, role, key)
  return { response: { repository: repositoryState, key: publicKey, pem, proof } }
}

/** Signs words that are made here, no version of a file: whoever asks chooses nothing of them but the repository. */
async function proveAdopted(
  holder: Holder,
  gun: Gun,
  role: RoleName,
  key: PublicKey,
): Promise<{ challenge: string; method: string; signature: string }> {
  const challenge = randomBytes(32).toString('base64')
  const message = adoptionMessage(gun, key.canonicalKeyId, challenge)
  const { method, signature } = await holder.custody.sign(keyRefOf({ gun, publicKey: key }), message, {
    gun,
    role,
    version: 0,
  })
  return { challenge, method, signature: Buffer.from(signature).toString('base64') }
}

/** @throws KeyHolderError CHANGE_MALFORMED */
function signerRole(gun: Gun, signer: string | undefined): RoleName | undefined {
  if (signer === undefined) return undefined
  const role = parseRoleName(`${TARGETS}/${signer}`)
  if (role !== RELEASES) return role
  throw new KeyHolderError('CHANGE_MALFORMED', 'No signer can be called releases.', { gun, signer })
}

/** @throws KeyHolderError KEY_LISTED_NOWHERE */
function requireListedKey(holder: Holder, repository: TrustedRepository): void {
  const { gun, targets } = repository
  const roles = [TARGETS, ...targets.metadata.delegations.roles.map(({ name }) => name)]
  if (roles.some((role) => ourKeys(holder, repository, role).length > 0)) return
  throw new KeyHolderError('KEY_LISTED_NOWHERE', 'None of the keys that are here is listed by this repository.', {
    gun,
    keysHere: holder.keys.ofGun(gun).length,
  })
}

/** Whose the repository is: ours, where the key of root or of base targets was imported. */
function custodyAt(holder: Holder, repository: TrustedRepository): RootCustody {
  if (holder.keys.ofRole(repository.gun, ROOT) !== undefined) return 'online'
  return ourKeys(holder, repository, TARGETS).length > 0 ? 'offline' : 'foreign'
}
