// The key of one approver: made here, kept in an encrypted file, used here for approvals alone. What it signs is written by this process,
// from what it has shown.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { printApproverKey, signApproval } from '../approval-statement.ts'
import { readSecretBytes } from '../config/secret-file.ts'
import { CliError } from './errors.ts'
import { reserveNewFile } from './files.ts'
import { readPassphrase } from './root-key/key-file.ts'
import type { SigningRequestResource } from './resources.ts'

/** After the request would have expired, publication may still take its time: outages, a queue. */
const GRACE_MS = 86_400_000

/** Writes FILE (PKCS#8, encrypted, 0600) and returns the public key. @throws CliError FILE_EXISTS, FILE_UNWRITABLE, PASSPHRASE_TOO_SHORT */
export async function createApproverKey(file: string, passphraseFile: string): Promise<string> {
  const passphrase = Buffer.from(readPassphrase(passphraseFile))
  const target = await reserveNewFile(file, 0o600)
  const { privateKey } = generateKeyPairSync('ed25519')
  await target.write(privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString())
  return publicHalf(privateKey, file)
}

/** @throws CliError APPROVER_KEY_UNSUITABLE, PASSPHRASE_TOO_SHORT; ConfigError SECRET_FILE_* */
export function openApproverKey(file: string, passphraseFile: string): KeyObject {
  const bytes = readSecretBytes(file)
  const passphrase = Buffer.from(readPassphrase(passphraseFile))
  let key: KeyObject
  try {
    key = createPrivateKey({ key: bytes, format: 'pem', passphrase })
  } catch (cause) {
    throw new CliError('APPROVER_KEY_UNSUITABLE', `The key in ${file} cannot be opened with this passphrase.`, {
      facts: { file },
      next: 'Check both files. A key is made with: countersign approver create.',
      cause,
    })
  }
  publicHalf(key, file)
  return key
}

/** One signature for each image that waits, over the change as the request shows it. */
export function signRequest(key: KeyObject, request: SigningRequestResource) {
  const asked = request.images.flatMap(({ decision }) => decision?.approvals ?? [])
  const latest = Math.max(...asked.map(({ expiresAt }) => new Date(expiresAt).getTime()))
  const expiresAt = new Date(latest + GRACE_MS).toISOString()
  const images = request.images.map(({ gun, tag = '', digest, length, decision }, position) => ({
    position,
    signature: signApproval(key, {
      request: request.id,
      gun,
      tag,
      ...(request.kind === 'sign' && { put: { sha256: bare(digest ?? ''), length: length ?? 0 } }),
      ...(decision?.standing !== undefined && { standing: bare(decision.standing) }),
      expiresAt,
    }),
  }))
  return { expiresAt, images }
}

function bare(digest: string): string {
  return digest.replace(/^sha256:/, '')
}

function publicHalf(key: KeyObject, file: string): string {
  const text = printApproverKey(key)
  if (text !== undefined) return text
  throw new CliError('APPROVER_KEY_UNSUITABLE', `The key in ${file} is not an Ed25519 key.`, {
    facts: { file },
    next: 'Make one with: countersign approver create.',
  })
}
