// `verify --pin`: the verdicts of this machine's own verification, in the form of the API's.
import { CodedError } from '@countersign/tuf'
import { requireTag, type ImageReference, type TaggedReference } from '../../domain/image-reference.ts'
import { CliError, EXIT, exitStatusOf } from '../errors.ts'
import type { VerificationResource } from '../resources.ts'
import type { Session } from '../session.ts'
import type { TrustOptions } from './options.ts'
import { resolveSignedTag, type Anchor } from './signed-tag.ts'

/** A verdict of this machine, and where its trust began; absent where nothing was verified. */
export type OwnVerdict = VerificationResource & { readonly anchor?: Anchor; readonly pinned?: boolean }

/** @throws CliError where nothing can be asked: PIN_MISSING, USAGE_INVALID and others of exit status 2; INTERRUPTED */
export async function verifyHere(
  session: Session,
  references: readonly ImageReference[],
  options: TrustOptions,
): Promise<OwnVerdict[]> {
  const verdicts: OwnVerdict[] = []
  // One after the other: what is remembered of a repository is read and written each time.
  for (const reference of references.map(requireTag)) verdicts.push(await verdictOf(session, reference, options))
  return verdicts
}

async function verdictOf(session: Session, reference: TaggedReference, options: TrustOptions): Promise<OwnVerdict> {
  try {
    const { sha256, role, signers, anchor, pinned } = await resolveSignedTag(session, reference, options)
    return {
      reference: reference.text,
      verdict: 'signed',
      digest: sha256,
      role,
      signers: [...signers].sort(),
      anchor,
      pinned,
    }
  } catch (error) {
    if (!(error instanceof CodedError) || exitStatusOf(error) === EXIT.usage || session.isInterrupted()) throw error
    const { code, message } = error as CodedError<string>
    if (!(error instanceof CliError) || error.code !== 'IMAGE_NOT_SIGNED') {
      return { reference: reference.text, verdict: 'unknown', signers: [], error: { code, detail: message } }
    }
    const { signed } = error.facts
    if (typeof signed !== 'string') return { reference: reference.text, verdict: 'not-signed', signers: [] }
    return {
      reference: reference.text,
      verdict: 'digest-differs',
      digest: signed.slice('sha256:'.length),
      signers: [],
    }
  }
}
