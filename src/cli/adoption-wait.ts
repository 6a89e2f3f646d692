// The end of an adoption as a signer: the owner has listed the key, as the daemon reads it from what is published, and the key holder has
// signed with exactly that key.
import {
  decodeBase64,
  METADATA_LIMITS,
  parseJson,
  parsePublicKey,
  RELEASES,
  verifySignature,
  type Gun,
  type PublicKey,
} from '@countersign/tuf'
import { adoptionMessage } from '../key-holder-protocol/adoption-proof.ts'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'
import { CliError } from './errors.ts'
import { keyReportSchema } from './resources.ts'
import type { Session } from './session.ts'
import { isTransient } from './transient.ts'

/** Milliseconds between two looks: each makes the daemon read the repository from its trust server. An owner may take days. */
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 15_000

export interface Listing {
  /** The roles of the signer that the published targets list the key for. */
  readonly roles: readonly string[]
  readonly missing: readonly string[]
  /** Why nothing newer is known. */
  readonly trouble?: string
}

/**
 * Looks until every role of the signer lists the key, the time is over or Ctrl-C was pressed.
 * @throws ApiProblem, CliError: what does not pass by itself
 */
export async function waitForListing(
  session: Session,
  key: { readonly gun: Gun; readonly signer: string; readonly canonicalKeyId: string },
  timeoutMs: number,
): Promise<Listing> {
  const { terminal, output } = session
  const deadline = terminal.now().getTime() + timeoutMs
  let pauseMs = FIRST_PAUSE_MS
  let told = ''
  for (;;) {
    const listing = await look(session, key)
    const words = inWords(listing)
    if (words !== told) output.progress(`${key.gun}: ${words}`)
    told = words
    const leftMs = deadline - terminal.now().getTime()
    if (listing.missing.length === 0 || leftMs <= 0 || session.isInterrupted()) return listing
    await terminal.pause(Math.min(leftMs, pauseMs), terminal.interrupted)
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
  }
}

async function look(
  session: Session,
  { gun, signer, canonicalKeyId }: { readonly gun: Gun; readonly signer: string; readonly canonicalKeyId: string },
): Promise<Listing> {
  const wanted = [`targets/${signer}`, RELEASES]
  try {
    const api = await session.api()
    const path = `v1/repositories/${encodeURIComponent(gun)}`
    const { custody, trouble } = await api.call({ method: 'GET', path, answer: keyReportSchema })
    const signs = custody.keys.find((key) => key.canonicalKeyId === canonicalKeyId)?.signs ?? []
    return {
      roles: wanted.filter((role) => signs.includes(role)),
      missing: wanted.filter((role) => !signs.includes(role)),
      ...(trouble !== undefined && { trouble: trouble.code }),
    }
  } catch (error) {
    if (!isTransient(error)) throw error
    return { roles: [], missing: wanted, trouble: error.code }
  }
}

export function inWords({ missing, trouble }: Listing): string {
  if (missing.length === 0) return 'the published targets list the key.'
  const known = `the key is not listed yet for ${missing.join(' and ')}`
  return trouble === undefined ? `${known}.` : `${known}, as far as is known (${trouble}).`
}

/** The key that an adoption was answered with. */
export function adoptedKey({ key }: OperationResponse<'pin-repository'>): PublicKey | undefined {
  return key && parsePublicKey(parseJson(Buffer.from(JSON.stringify(key)), METADATA_LIMITS))
}

/** By the key that the owner has listed, not by what the key holder says of it. @throws CliError KEYS_NOT_PROVEN */
export function requireProof(gun: Gun, listed: PublicKey, { proof }: OperationResponse<'pin-repository'>): void {
  const { canonicalKeyId } = listed
  if (proof !== undefined) {
    const message = adoptionMessage(gun, canonicalKeyId, proof.challenge)
    if (verifySignature(listed, proof.method, message, decodeBase64(proof.signature))) return
  }
  throw new CliError('KEYS_NOT_PROVEN', 'The key holder did not prove that it can sign with the key.', {
    facts: { gun, canonicalKeyId },
    next: `See which key it has: countersign key list ${gun}`,
  })
}
