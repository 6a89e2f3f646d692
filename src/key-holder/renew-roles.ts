// Signs roles again as they are, before they expire: check, verify the base, plan, record, publish the log, sign, store, answer. Each
// step as in change-targets.ts.
import {
  parseGun,
  renewTargets,
  targetsOf,
  verifyNextVersion,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { recordsOf, verifyBase, verifyState, type Base } from './base.ts'
import { checkSignable, nextVersion, parseTargetsRoles, payloadOf, type PlannedRole } from './change-plan.ts'
import { checkRates, countRates } from './change-rules.ts'
import { commitToSign, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { limitsFor } from './limits.ts'
import type { Payload } from './payloads.ts'
import {
  evidenceParts,
  recordedRoles,
  recordPublication,
  repeatedAnswer,
  requestDigest,
  signedAnswer,
} from './recorded-publication.ts'
import { signPayloads } from './signing.ts'

type RenewRequest = OperationRequest<'renew-roles'>

/** A renewal that gains less is none: versions are not to be had for nothing. */
const LEAST_GAIN_MS = 30 * 86_400_000

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function renewRoles(
  holder: Holder,
  { request, attachments, socket }: Call<'renew-roles'>,
): Promise<Answer<'renew-roles'>> {
  // 1. Everything that needs no verification. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getSignable(gun)
  const limits = limitsFor(holder.limits, gun)
  const asked = [gun, request.roles, evidenceParts(request.evidence)]
  const name = { gun, id: `renew:${request.publication}`, requestDigest: requestDigest(asked, attachments) }
  const repeated = await repeatedAnswer(holder, name)
  if (repeated !== undefined) return repeated
  const roles = parseTargetsRoles(request.roles, gun)
  holder.step('checked')

  // 2. The base, from our own pinned root and against all that we know. A crash before or after leaves nothing.
  const base = verifyBase(holder, gun, pinnedRoot, attachments, socket)

  // 3. The next versions, worked out here. A crash leaves nothing.
  const planned = roles.map((role) => planRenewal(holder, base.repository, role))
  checkRates(holder, limits, gun, planned.length, 0)
  const payloads = planned.map((role) => payloadOf(gun, name.id, role))
  holder.step('planned')

  // 4. Exact bytes, reason and record in one transaction; 5. the log's files and checkpoint. A crash after the transaction burns
  //    these versions unless the same request comes again; nothing has been signed.
  const recorded = await commitToSign(
    holder,
    [...recordsOf(base, gun), recordOfRenewal(request, base, planned, payloads)],
    () => {
      recordPublication(holder, name, { base, roles, payloads, reason: request.evidence })
      countRates(holder, gun, planned.length, 0)
    },
  )

  // 6. Sign, and hold each file against the one before: no change was declared; 7. store them. A crash before 7 leaves payloads that
  //    the same request signs again; after it, files that it is given again.
  const files = await signPayloads(holder, payloads, {
    recorded,
    verify: ({ role, bytes }) => {
      holder.cache.add(role, verifyNextVersion(base.repository, role, bytes, []))
    },
  })
  return signedAnswer(files)
}

/** @throws KeyHolderError ROLE_NOT_SIGNABLE, BASE_NOT_VERIFIED, CHANGE_EMPTY */
function planRenewal(holder: Holder, repository: TrustedRepository, role: RoleName): PlannedRole {
  const { gun } = repository
  const signingKeys = checkSignable(holder, repository, role, [])
  const current = targetsOf(repository, role)
  const next = nextVersion(holder, gun, role, current)
  const unsigned = verifyState(() => renewTargets(repository, role, next), gun)
  const expiresAt = current?.metadata.expiresAt ?? next.expiresAt
  if (next.expiresAt.getTime() - expiresAt.getTime() < LEAST_GAIN_MS) {
    throw new KeyHolderError('CHANGE_EMPTY', 'The role does not expire sooner than a renewed one would.', {
      gun,
      role,
      expiresAt: expiresAt.toISOString(),
    })
  }
  return { unsigned, baseVersion: current?.metadata.version ?? 0, signingKeys }
}

function recordOfRenewal(
  { publication, evidence }: RenewRequest,
  base: Base,
  planned: readonly PlannedRole[],
  payloads: readonly Payload[],
): AuditRecord {
  const { gun } = base.repository
  return { kind: 'roles-renewal', by: 'service', gun, publication, ...recordedRoles(base, planned, payloads), evidence }
}
