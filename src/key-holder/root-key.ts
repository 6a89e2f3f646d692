// The way of an online root key out of the key holder: exported under a passphrase, then removed by whoever proves to have it.
import {
  certificatePem,
  decodeBase64,
  isCertificateKey,
  parseGun,
  parseRoot,
  ROOT,
  verifySignature,
  type Gun,
  type PublicKey,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { rootKeyRemovalMessage } from '../key-holder-protocol/root-key-proof.ts'
import { commit, commitErasing, type Answer, type Call, type Holder } from './holder.ts'
import { keyRefOf, type StoredKey } from './key-table.ts'
import { describeRepository } from './repository-status.ts'

/** The attachment with the encrypted private key file. */
const KEY_FILE = 'root.key'

/** See the operation's description in the protocol. @throws KeyHolderError KEY_NOT_FOUND, KEY_FILE_DAMAGED */
export function exportRootKey(
  holder: Holder,
  { request, socket }: Call<'export-root-key'>,
): Promise<Answer<'export-root-key'>> {
  const gun = parseGun(request.gun)
  const key = onlineRootKey(holder, gun)
  const { canonicalKeyId } = key.publicKey
  const certificate = certificateOf(holder, gun, canonicalKeyId)
  // Recorded before it leaves. A crash after the record leaves one of an export that nobody got.
  const { reason, evidence } = request
  commit(holder, [{ kind: 'root-key-exported', by: socket, gun, canonicalKeyId, reason, evidence }], () => undefined)
  const file = holder.custodian.exportEncrypted(keyRefOf(key), Buffer.from(request.passphrase, 'utf8'))
  return Promise.resolve({
    response: {
      certificatePem: certificatePem(certificate),
      tufKeyId: certificate.tufKeyId,
      canonicalKeyId,
      files: [KEY_FILE],
    },
    attachments: new Map([[KEY_FILE, Buffer.from(file, 'utf8')]]),
  })
}

/** See the operation's description in the protocol. @throws KeyHolderError KEY_NOT_FOUND, ROOT_KEY_NOT_PROVEN */
export function removeRootKey(
  holder: Holder,
  { request, socket }: Call<'remove-root-key'>,
): Promise<Answer<'remove-root-key'>> {
  const gun = parseGun(request.gun)
  const { canonicalKeyId, proof, reason, evidence } = request
  const key = onlineRootKey(holder, gun)
  const message = rootKeyRemovalMessage(gun, canonicalKeyId)
  const isProven =
    key.publicKey.canonicalKeyId === canonicalKeyId &&
    verifySignature(key.publicKey, proof.method, message, decodeBase64(proof.signature))
  if (!isProven) {
    throw new KeyHolderError('ROOT_KEY_NOT_PROVEN', 'Nobody has proved to have this root key; it stays.', {
      gun,
      canonicalKeyId,
    })
  }
  // A crash before the commit leaves the key, after it nothing of it.
  commitErasing(holder, [{ kind: 'root-key-removed', by: socket, gun, canonicalKeyId, reason, evidence }], () => {
    holder.keys.retire(gun, canonicalKeyId)
    holder.repositories.setRootCustody(gun, 'offline')
  })
  return Promise.resolve({ response: describeRepository(holder, gun) })
}

/** As the pinned root lists it, with or without a role. @throws KeyHolderError GUN_NOT_INITIALIZED, KEY_NOT_FOUND */
function certificateOf(holder: Holder, gun: Gun, canonicalKeyId: string): PublicKey {
  const { keys } = parseRoot(holder.repositories.getPinned(gun).pinnedRoot.bytes).metadata
  const found = [...keys.values()].find((key) => isCertificateKey(key) && key.canonicalKeyId === canonicalKeyId)
  if (found !== undefined) return found
  throw new KeyHolderError('KEY_NOT_FOUND', 'The pinned root has no certificate of the root key that is here.', { gun })
}

/** @throws KeyHolderError GUN_NOT_MANAGED, KEY_NOT_FOUND */
function onlineRootKey(holder: Holder, gun: Gun): StoredKey {
  const { rootCustody } = holder.repositories.get(gun)
  const key = holder.keys.ofRole(gun, ROOT)
  if (rootCustody === 'online' && key !== undefined) return key
  throw new KeyHolderError('KEY_NOT_FOUND', 'The root key of this repository is not here.', { gun, role: ROOT })
}
