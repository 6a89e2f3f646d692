// The end of an initialisation: the root gets its signature and is pinned, the first targets files are signed.
import {
  attachSignatures,
  decodeBase64,
  isJsonObject,
  METADATA_LIMITS,
  parseGun,
  parseJson,
  parseRoot,
  ROOT,
  sha256Hex,
  verifySignature,
  type Gun,
  type PublicKey,
  type SignatureEntry,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { commit, internal, type Answer, type Call, type Holder } from './holder.ts'
import type { Payload } from './payloads.ts'
import { refuseFrozen, type PinnedRoot } from './repositories.ts'
import { signPayloads } from './signing.ts'

/** Payloads of a first publication carry this name; publications of callers have another prefix. */
export const FIRST_PUBLICATION = 'first'

/** Takes the offline signature. See the operation's description in the protocol. @throws KeyHolderError */
export async function completeInitialization(
  holder: Holder,
  { request, socket }: Call<'complete-initialization'>,
): Promise<Answer<'complete-initialization'>> {
  // 1. Verify before anything is kept. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const repository = holder.repositories.get(gun)
  if (repository.rootCustody !== 'offline') {
    throw new KeyHolderError('GUN_ALREADY_MANAGED', 'This repository expects no root signature.', { gun })
  }
  refuseFrozen(repository)
  const payload = holder.payloads.get(gun, ROOT, 1)
  const { file, rootKeyIds } = withSignatures(payload, request.signatures)
  holder.step('checked')
  if (repository.state === 'awaiting-root-signature') {
    // 2. The pin and its record. A crash after it leaves a ready repository; the same request gets the files.
    const record = { kind: 'root-pinned', by: socket, gun, version: 1, sha256: sha256Hex(file), rootKeyIds } as const
    commit(holder, [{ ...record, evidence: request.evidence }], () => {
      pinFirstRoot(holder, payload, file, rootKeyIds)
    })
  }
  // 3. Sign the rest. A crash before or after leaves payloads or files, and the same request goes on with them.
  return signFirstFiles(holder, gun)
}

/** Signs the first root with the key that is here, and pins it. A crash leaves the root unsigned or the pin, both resumable. */
export async function pinOnlineRoot(holder: Holder, gun: Gun): Promise<void> {
  const [root] = await signPayloads(holder, [holder.payloads.get(gun, ROOT, 1)])
  if (root === undefined) throw internal('The first root was not signed.')
  const bytes = Buffer.from(root.bytes)
  const certificateKeyIds = rootKeysOf(bytes).map(({ tufKeyId }) => tufKeyId)
  const { sha256 } = root
  const record = {
    kind: 'root-pinned',
    by: 'key-holder',
    gun,
    version: 1,
    sha256,
    rootKeyIds: certificateKeyIds,
  } as const
  commit(holder, [record], () => {
    holder.repositories.pin(gun, { version: 1, sha256, bytes, certificateKeyIds })
  })
}

/** All first files, signed if need be; the same bytes whenever asked again. */
export async function signFirstFiles(
  holder: Holder,
  gun: Gun,
): Promise<{
  readonly response: { readonly state: 'ready'; readonly rootKeyIds: string[]; readonly files: string[] }
  readonly attachments: ReadonlyMap<string, Uint8Array>
}> {
  const files = await signPayloads(holder, holder.payloads.ofPublication(gun, FIRST_PUBLICATION))
  const root = files.find(({ role }) => role === ROOT)
  if (root === undefined) throw internal('The first root is missing.')
  const rootKeyIds = rootKeysOf(root.bytes).map(({ tufKeyId }) => tufKeyId)
  return {
    response: { state: 'ready', rootKeyIds, files: files.map(({ role }) => role) },
    attachments: new Map(files.map(({ role, bytes }) => [role, bytes])),
  }
}

function pinFirstRoot(holder: Holder, payload: Payload, file: Buffer, certificateKeyIds: readonly string[]): void {
  const { gun, role } = payload
  const pin: PinnedRoot = { version: 1, sha256: sha256Hex(file), bytes: file, certificateKeyIds }
  holder.repositories.pin(gun, pin)
  holder.payloads.complete(payload, file, pin.sha256)
  holder.versions.raiseSigned(gun, role, pin)
}

/** @throws KeyHolderError ROOT_SIGNATURE_INVALID where a root key's signature is missing, or any signature is not one */
function withSignatures(
  payload: Payload,
  offered: OperationRequest<'complete-initialization'>['signatures'],
): { readonly file: Buffer; readonly rootKeyIds: readonly string[] } {
  const { gun, message } = payload
  const signed = parseJson(message, METADATA_LIMITS)
  if (!isJsonObject(signed)) throw internal('The first root is not metadata.')
  const unsigned = { role: ROOT, version: 1, signed, message }
  const keys = rootKeysOf(attachSignatures(unsigned, []))
  const signatures = new Map<string, SignatureEntry>()
  for (const { keyId, method, signature: text } of offered) {
    const key = keys.find(({ tufKeyId }) => tufKeyId === keyId)
    const signature = signatureBytes(text)
    if (key === undefined || signature === undefined || !verifySignature(key, method, message, signature)) {
      throw new KeyHolderError('ROOT_SIGNATURE_INVALID', 'This is not a signature of the root key over these bytes.', {
        gun,
        keyId,
      })
    }
    signatures.set(keyId, { keyId: key.tufKeyId, method, signature })
  }
  const file = Buffer.from(attachSignatures(unsigned, [...signatures.values()]))
  return { file, rootKeyIds: keys.map(({ tufKeyId }) => tufKeyId) }
}

function signatureBytes(text: string): Uint8Array | undefined {
  try {
    return decodeBase64(text)
  } catch {
    return undefined
  }
}

function rootKeysOf(file: Uint8Array): PublicKey[] {
  const { keys, roles } = parseRoot(file).metadata
  const keyIds = roles.get(ROOT)?.keyIds ?? []
  return keyIds.map((keyId) => keys.get(keyId)).filter((key) => key !== undefined)
}
