// A passphrase in n shares, of which any k give it back and fewer say nothing (Shamir). The library neither notices a share that is wrong nor
// that there are too few, so all of that is checked here.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { combine, split } from 'shamir-secret-sharing'
import { CliError } from '../errors.ts'
import { reserveNewFile, type ReservedFile } from '../files.ts'
import { damaged, encodeShare, readShare, type Share } from './share-file.ts'

/** How many shares, and how many of them are needed. */
export interface Quota {
  readonly threshold: number
  readonly count: number
}

/** Bytes of SHA-256 that are split along with the passphrase, so that a wrong result shows. Nobody has them without k shares. */
const PROOF_BYTES = 8
/** What is split is as long as a multiple of this: a share does not show how long a passphrase is that somebody chose. */
const PADDED_BYTES = 64

/**
 * @param passphrase text, which has no zero byte
 * @param opens what they help to open, in words
 */
export async function splitPassphrase(
  passphrase: Uint8Array,
  { count, threshold }: Quota,
  opens: string,
): Promise<Share[]> {
  const length = Math.ceil((passphrase.byteLength + PROOF_BYTES) / PADDED_BYTES) * PADDED_BYTES
  // Filled in place and split as it is: it is zeroed, and there is no other copy. Between passphrase and proof are zero bytes.
  const secret = new Uint8Array(length)
  try {
    secret.set(passphrase)
    secret.set(proofOf(passphrase), length - PROOF_BYTES)
    const parts = await split(secret, count, threshold)
    const set = randomBytes(8).toString('hex')
    return parts.map((part, at) => ({ opens, set, index: at + 1, count, threshold, data: Buffer.from(part) }))
  } finally {
    secret.fill(0)
  }
}

/** The passphrase; the caller zeroes it. @throws CliError SHARE_DAMAGED */
async function combineShares(shares: readonly Share[], name: string): Promise<Buffer> {
  let secret: Uint8Array
  const parts = shares.map(({ data }) => Uint8Array.from(data))
  try {
    secret = await combine(parts)
  } catch (cause) {
    throw damaged(name, 'together they are no set', cause)
  } finally {
    for (const part of parts) part.fill(0)
  }
  const end = Math.max(0, secret.byteLength - PROOF_BYTES)
  const passphrase = Buffer.from(secret.subarray(0, secret.findLastIndex((byte, at) => at < end && byte !== 0) + 1))
  const proof = Buffer.from(secret.subarray(end))
  secret.fill(0)
  if (proof.byteLength === PROOF_BYTES && timingSafeEqual(proof, proofOf(passphrase))) return passphrase
  passphrase.fill(0)
  throw damaged(name, 'together they do not give what was split: one of them was changed')
}

/**
 * The passphrase that these shares give; the caller zeroes it.
 * @param opens how the words begin that say what they open
 * @throws CliError SHARES_MISSING, SHARE_OF_ANOTHER_SET, SHARE_UNSUITABLE, SHARE_DAMAGED, SHARE_TWICE; ConfigError SECRET_FILE_*
 */
export async function passphraseOfShares(files: readonly string[], opens: string): Promise<Buffer> {
  const read = files.map((file) => ({ file, share: readShare(file) }))
  const [first] = read
  if (first === undefined) throw missing(0)
  const seen = new Map<number, string>()
  for (const { file, share } of read) {
    if (!share.opens.startsWith(opens)) {
      throw new CliError('SHARE_UNSUITABLE', `${file} is a share for something else: ${share.opens}.`, {
        next: `Needed are shares for: ${opens}.`,
        facts: { file, opens: share.opens },
      })
    }
    const { set, count, threshold } = first.share
    if (share.set !== set || share.count !== count || share.threshold !== threshold) {
      throw new CliError('SHARE_OF_ANOTHER_SET', `${file} and ${first.file} are shares of two sets.`, {
        next: 'Shares that were made together have the same `set`.',
        facts: { file, set: share.set, expected: set },
      })
    }
    const other = seen.get(share.index)
    if (other !== undefined) {
      throw new CliError('SHARE_TWICE', `${other} and ${file} are the same share, number ${share.index}.`, {
        next: 'Each share counts once. Take another one.',
        facts: { file, share: share.index },
      })
    }
    seen.set(share.index, file)
  }
  const { threshold } = first.share
  if (read.length < threshold) throw missing(read.length, threshold)
  return combineShares(
    read.map(({ share }) => share),
    files.join(', '),
  )
}

function missing(given: number, needed?: number): CliError {
  const message = `${needed ?? 'Some'} shares are needed, and ${given} ${given === 1 ? 'was' : 'were'} given.`
  return new CliError('SHARES_MISSING', message, {
    next: 'Give each with --share FILE.',
    facts: { given, ...(needed !== undefined && { needed }) },
  })
}

/** New files for the shares, NAME.share-1 and so on, mode 0600: all of them, or none. @throws CliError FILE_EXISTS, FILE_UNWRITABLE */
export async function reserveShareFiles(name: string, { count }: Quota): Promise<ShareFiles> {
  const paths = Array.from({ length: count }, (_, at) => `${name}.share-${at + 1}`)
  const files: ReservedFile[] = []
  const discard = async (): Promise<void> => {
    for (const file of files) await file.discard()
  }
  try {
    for (const path of paths) files.push(await reserveNewFile(path, 0o600))
  } catch (error) {
    await discard()
    throw error
  }
  return {
    paths,
    discard,
    write: async (shares) => {
      for (const [at, share] of shares.entries()) await files[at]?.write(encodeShare(share))
    },
  }
}

export interface ShareFiles {
  readonly paths: readonly string[]
  write(shares: readonly Share[]): Promise<void>
  discard(): Promise<void>
}

/**
 * That any k of these files give the passphrase back, as far as k neighbours show it: each file is in one of these groups.
 * @throws CliError SHARE_DAMAGED
 */
export async function proveShareFiles(
  paths: readonly string[],
  { threshold }: Quota,
  passphrase: Uint8Array,
  opens: string,
): Promise<void> {
  for (const at of paths.keys()) {
    const group = Array.from({ length: threshold }, (_, next) => paths[(at + next) % paths.length] ?? '')
    const found = await passphraseOfShares(group, opens)
    const isSame = found.equals(passphrase)
    found.fill(0)
    if (!isSame) throw damaged(group.join(', '), 'they do not give back what was split')
  }
}

function proofOf(passphrase: Uint8Array): Buffer {
  return createHash('sha256').update('countersign share v1\0').update(passphrase).digest().subarray(0, PROOF_BYTES)
}
