// A bundle of pins: the root certificates of repositories as a key holder has pinned them, in a C2SP signed note under a key that signs nothing
// else. Written by the key holder, read by the command line. Pure.
import { createHash, type KeyObject } from 'node:crypto'
import { certificateKeyOf, CodedError } from '@countersign/tuf'
import * as z from 'zod'
import { readVerifierKey, signNote, splitNote, verifyNoteBody, type VerifierKey } from './signed-note.ts'

/** The first line of what is signed: no checkpoint, and no metadata, begins with it. */
const FIRST_LINE = 'countersign pin bundle v1\n'

const hex64 = z.string().regex(/^[0-9a-f]{64}$/)
const time = z.iso.datetime({ precision: 3 })

export const pinnedRepository = z.strictObject({
  gun: z.string().min(1).max(255),
  root: z.strictObject({ version: z.int().positive(), sha256: hex64, threshold: z.int().positive() }),
  /** Those of the root role. `keyId` is the ID that root metadata lists them under (no canonical ID). */
  certificates: z
    .array(z.strictObject({ keyId: hex64, pem: z.string().min(1).max(65_536) }))
    .min(1)
    .max(64),
})

const bundleSchema = z.strictObject({
  /** Rises with every bundle of one key. */
  serial: z.int().positive(),
  madeAt: time,
  /** After this it is not imported any more. */
  expiresAt: time.optional(),
  /** In verifier form. */
  publicKey: z.string().max(512),
  repositories: z.array(pinnedRepository).min(1),
})

export type PinnedRepository = z.output<typeof pinnedRepository>
export type PinBundle = z.output<typeof bundleSchema>

/** Why something is no bundle of a key. */
export type BundleFault = 'malformed' | 'other-key' | 'signature'

/** What is signed. One line for each member and repository, so that people can compare two of them. */
export function bundleBody({ repositories, ...rest }: PinBundle): string {
  const members = Object.entries(rest).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`)
  const lines = repositories.map((one) => `    ${JSON.stringify(one)}`)
  return `${FIRST_LINE}{\n${members.join('\n')}\n  "repositories": [\n${lines.join(',\n')}\n  ]\n}\n`
}

/** @param body by `bundleBody` */
export function signBundle(body: string, name: string, privateKey: KeyObject): string {
  return signNote(body, name, privateKey)
}

/** SHA-256 of the key's SubjectPublicKeyInfo, in hex: short enough to be read out. */
export function keyFingerprint(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

/** A bundle whose signature fits the key that it names. Whose key that is has to be known from elsewhere. */
export interface SignedBundle extends PinBundle {
  /** Of `publicKey`. */
  readonly fingerprint: string
  /** SHA-256 of what is signed, 64 hex digits. */
  readonly sha256: string
}

/**
 * A bundle that its own key signed.
 * @param isTrusted whether this is a key whose bundles are believed, by verifier form and fingerprint
 */
export function readBundle(
  text: string,
  isTrusted: (verifierKey: string, fingerprint: string) => boolean,
): SignedBundle | BundleFault {
  const split = splitNote(text)
  if (split?.isCanonical !== true || !split.body.startsWith(FIRST_LINE)) return 'malformed'
  const bundle = parseBody(split.body)
  const key = bundle === undefined ? undefined : readVerifierKey(bundle.publicKey)
  if (bundle === undefined || key === undefined) return 'malformed'
  const fingerprint = keyFingerprint(key.publicKey)
  // First whose it is: about a bundle of a stranger there is nothing else to say.
  if (!isTrusted(bundle.publicKey, fingerprint) || !isNamed(split, key)) return 'other-key'
  if (!verifyNoteBody(split, key)) return 'signature'
  if (!bundle.repositories.every(hasCertificates)) return 'malformed'
  return { ...bundle, fingerprint, sha256: createHash('sha256').update(split.body).digest('hex') }
}

/** Whether each of them is a certificate, and the one that its ID names. */
export function hasCertificates({ certificates }: PinnedRepository): boolean {
  return certificates.every(isCertificate)
}

export function isCertificate({ keyId, pem }: PinnedRepository['certificates'][number]): boolean {
  try {
    return certificateKeyOf(pem).tufKeyId === keyId
  } catch (error) {
    if (error instanceof CodedError) return false
    throw error
  }
}

function isNamed(
  { signer, keyId }: { readonly signer: string; readonly keyId: Buffer },
  { name, id }: VerifierKey,
): boolean {
  return signer === name && keyId.equals(id)
}

function parseBody(body: string): PinBundle | undefined {
  try {
    const { data } = bundleSchema.safeParse(JSON.parse(body.slice(FIRST_LINE.length)))
    // One text for one bundle: what was parsed is what was written, and no repository stands in it twice.
    const isOnce =
      data !== undefined && new Set(data.repositories.map(({ gun }) => gun)).size === data.repositories.length
    return isOnce && bundleBody(data) === body ? data : undefined
  } catch {
    return undefined
  }
}
