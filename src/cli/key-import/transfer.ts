// One private key on its way into the key holder: encrypted to its one-time key, and believed to be there only for its own signature.
import type { KeyObject } from 'node:crypto'
import { decodeBase64, publicKeyOf, verifySignature, type Gun, type RoleName } from '@countersign/tuf'
import type { KeyHolderConnection } from '../../holder/connection.ts'
import { keyImportMessage } from '../../key-holder-protocol/key-import-proof.ts'
import { sealForKeyHolder } from '../../key-holder-protocol/key-transport.ts'
import type { Attachments, OperationResponse } from '../../key-holder-protocol/operations.ts'
import { CliError } from '../errors.ts'
import { evidenceOf } from '../operator-socket.ts'

export interface Transfer {
  readonly gun: Gun
  readonly role: RoleName
  readonly privateKey: KeyObject
  readonly severalRoles: boolean
  /** The published state, where the key holder has a pin to verify it by; else nothing. */
  readonly files: Attachments
}

/** @throws KeyHolderError; CliError KEY_IMPORT_NOT_PROVEN */
export async function transferKey(
  operator: KeyHolderConnection,
  { gun, role, privateKey, severalRoles, files }: Transfer,
): Promise<OperationResponse<'import-key'>> {
  const publicKey = publicKeyOf(privateKey)
  const { canonicalKeyId } = publicKey
  const { session, transportKey, challenge } = (await operator.call('begin-key-import', {})).response
  const der = privateKey.export({ type: 'pkcs8', format: 'der' })
  const sealedKey = await sealForKeyHolder(der, transportKey, session).finally(() => der.fill(0))
  const request = { gun, role, canonicalKeyId, session, sealedKey, severalRoles, files: [...files.keys()] }
  const { response } = await operator.call('import-key', { ...request, evidence: evidenceOf('key-import') }, files)
  const { method, signature } = response.proof
  const message = keyImportMessage(gun, canonicalKeyId, challenge)
  // By the public half of the file, not by what the key holder says of it.
  if (verifySignature(publicKey, method, message, decodeBase64(signature))) return response
  throw new CliError('KEY_IMPORT_NOT_PROVEN', 'The key holder did not prove that it can sign with the key.', {
    facts: { gun, canonicalKeyId },
    next: 'Keep the file, and look at the log of the key holder.',
  })
}
