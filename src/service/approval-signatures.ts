// Signatures that come with an approval, each held against the change as we know it. The key holder does the same with the keys that it
// knows, so that a thief of the daemon cannot invent an approval; here it is done so that a mistake shows at once.
import { type ApprovedChange, verifyApproval } from '../approval-statement.ts'
import { DomainError } from '../domain/errors.ts'
import type { PendingImage } from '../domain/ports.ts'
import type { SignedApproval } from '../domain/signed-approval.ts'
import { imageOf } from '../domain/signing-request.ts'
import type { ApprovalInput } from './services.ts'

export type ApprovalSignature = Pick<SignedApproval, 'expiresAt' | 'signature'>

/**
 * The signatures by the position of their image.
 * @throws DomainError APPROVAL_SIGNATURE_MISSING, APPROVAL_SIGNATURE_INVALID
 */
export function requireSignatures(
  images: readonly PendingImage[],
  approvalKey: string | undefined,
  signatures: ApprovalInput['signatures'],
): ReadonlyMap<number, ApprovalSignature> {
  const signed = new Map<number, ApprovalSignature>()
  for (const image of images) {
    const { request, position, record } = image
    const isAsked = 'decision' in record && record.decision.approvals?.areSigned === true
    const signature = signatures?.images.find((each) => each.position === position)?.signature
    if (signatures === undefined || signature === undefined) {
      if (!isAsked) continue
      throw new DomainError(
        'APPROVAL_SIGNATURE_MISSING',
        "The signing policy asks for approvals that are signed with the approver's own key.",
        { request, position },
      )
    }
    const { expiresAt } = signatures
    if (approvalKey === undefined || !verifyApproval(approvalKey, approvedChange(image, expiresAt), signature)) {
      throw new DomainError(
        'APPROVAL_SIGNATURE_INVALID',
        'The signature is not one by the key that people.yaml names for this person, over this change.',
        { request, position },
      )
    }
    signed.set(position, { expiresAt, signature })
  }
  return signed
}

function approvedChange({ request, kind, record }: PendingImage, expiresAt: string): ApprovedChange {
  const { tag = '', sha256, length } = imageOf(record) ?? {}
  const standing = 'decision' in record ? record.decision.standing : undefined
  return {
    request,
    gun: record.subject.gun,
    tag,
    ...(kind === 'sign' && sha256 !== undefined && length !== undefined && { put: { sha256, length } }),
    ...(standing !== undefined && { standing }),
    expiresAt,
  }
}
