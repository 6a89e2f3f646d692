// Approvals by keys that the limits file names. The daemon carries them and can neither make nor move them: each is over one change of one
// tag for one request, and what was published for a request is not signed for it again. Reads state, changes nothing.
import { findTarget, hexOfBase64Digest, type TrustedRepository } from '@countersign/tuf'
import { verifyApproval } from '../approval-statement.ts'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { type RepositoryLimits, requiredApprovals } from './limits.ts'

type Change = OperationRequest<'change-targets'>['changes'][number]

/** An approval is for a matter at hand; nobody approves for years to come. */
const LONGEST_MS = 100 * 86_400_000

/** @throws KeyHolderError LIMIT_APPROVALS */
export function checkApprovals(
  now: Date,
  limits: RepositoryLimits,
  repository: TrustedRepository,
  changes: readonly Change[],
): void {
  for (const change of changes) {
    const rule = requiredApprovals(limits, change.tag)
    if (rule === undefined) continue
    const standing = standingDigest(repository, change.tag)
    const approvers = new Set<string>()
    for (const { approver, signature, expiresAt } of change.approvals ?? []) {
      const key = Object.hasOwn(rule.approvers, approver) ? rule.approvers[approver] : undefined
      if (key === undefined || !isTimely(expiresAt, now)) continue
      if (
        grounds(change, standing).some((from) =>
          verifyApproval(key, approved(repository, change, from, expiresAt), signature),
        )
      ) {
        approvers.add(approver)
      }
    }
    if (approvers.size < rule.required) {
      throw new KeyHolderError(
        'LIMIT_APPROVALS',
        'The limits file asks for approvals, signed by keys that it names; there are too few of this very change.',
        {
          gun: repository.gun,
          tag: change.tag,
          required: rule.required,
          approved: [...approvers].sort().join(' '),
        },
      )
    }
  }
}

/**
 * What the tag may have stood for when it was approved: what it stands for now. A tag that stands as asked already is written into the
 * roles that lack it: what it stood for before was the approvers' knowledge, and nothing is moved.
 */
function grounds(change: Change, standing: string | undefined): readonly (string | undefined)[] {
  const isAsAsked = change.kind === 'put' && standing === change.sha256
  return isAsAsked ? [standing, undefined] : [standing]
}

function approved({ gun }: TrustedRepository, change: Change, standing: string | undefined, expiresAt: string) {
  return {
    request: change.evidence.request,
    gun,
    tag: change.tag,
    ...(change.kind === 'put' && { put: { sha256: change.sha256, length: change.length } }),
    ...(standing !== undefined && { standing }),
    expiresAt,
  }
}

function isTimely(expiresAt: string, now: Date): boolean {
  const left = new Date(expiresAt).getTime() - now.getTime()
  return left > 0 && left <= LONGEST_MS
}

/** As docker finds it. */
function standingDigest(repository: TrustedRepository, tag: string): string | undefined {
  const listed = findTarget(repository, tag)?.meta.hashes.get('sha256')
  try {
    return listed === undefined ? undefined : hexOfBase64Digest(listed)
  } catch {
    return undefined
  }
}
