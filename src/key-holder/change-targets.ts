// Puts or drops tags: check, verify the base, plan, record, publish the log, sign, store, answer. In this order, and only so.
import { parseGun, parseTag, verifyNextVersion, type TargetsChange } from '@countersign/tuf'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { checkApprovals } from './approvals.ts'
import { recordsOf, verifyBase, type Base } from './base.ts'
import { parseTargetsRoles, payloadOf, planChange, type PlannedRole } from './change-plan.ts'
import { checkLocks, checkRates, checkRepeats, checkTags, countRates, rememberTags } from './change-rules.ts'
import { refuseDisowned } from './disowned.ts'
import { commitToSign, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { limitsFor } from './limits.ts'
import type { Payload } from './payloads.ts'
import { chunkRecord } from './record-chunks.ts'
import {
  evidenceParts,
  recordedRoles,
  recordPublication,
  repeatedFiles,
  requestDigest,
  signedAnswer,
} from './recorded-publication.ts'
import { requireTokens, signPayloads } from './signing.ts'

type ChangeRequest = OperationRequest<'change-targets'>

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function changeTargets(
  holder: Holder,
  { request, attachments, socket }: Call<'change-targets'>,
): Promise<Answer<'change-targets'>> {
  // 1. Everything that needs no verification. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getSignable(gun)
  const limits = limitsFor(holder.limits, gun)
  const name = { gun, id: `change:${request.publication}`, requestDigest: requestDigest(asked(request), attachments) }
  const repeated = await repeatedFiles(holder, name)
  if (repeated !== undefined) return signedAnswer(repeated)
  const roles = parseTargetsRoles(request.roles, gun)
  const changes = request.changes.map(toChange)
  checkTags(limits, gun, changes)
  holder.step('checked')

  // 2. The base, from our own pinned root and against all that we know. A crash before or after leaves nothing, but where a foreign
  //    version was found: the freeze is durable before it is told, and a crash before that finds the same version again.
  const base = verifyBase(holder, gun, pinnedRoot, attachments, socket)

  // 3. The next versions, worked out here. A crash leaves nothing.
  refuseDisowned(holder, gun, roles)
  checkLocks(holder, limits, base.repository, changes)
  checkApprovals(holder.now(), limits, base.repository, request.changes)
  const planned = planChange(holder, limits, base.repository, roles, changes)
  checkRates(holder, limits, gun, planned.length, changes.length)
  checkRepeats(holder, gun, request.changes)
  const payloads = planned.map((role) => payloadOf(gun, name.id, role))
  await requireTokens(holder, payloads)
  holder.step('planned')

  // 4. Exact bytes, reason and record in one transaction; 5. the log's files and checkpoint. A crash after the transaction burns
  //    these versions unless the same request comes again; nothing has been signed. A crash between 4 and 5 leaves a log that the
  //    next start publishes.
  const recorded = await commitToSign(holder, recordsOfChange(request, base, planned, payloads), () => {
    recordPublication(holder, name, { base, roles, payloads, reason: request.changes })
    for (const { evidence, tag } of request.changes) {
      holder.payloads.insertChange(name.id, gun, { request: evidence.request, tag })
    }
    rememberTags(holder, base.repository, changes)
    countRates(holder, gun, planned.length, changes.length)
  })

  // 6. Sign, and hold the result against what was declared; 7. store the files. A crash before 7 leaves payloads that the
  //    same request signs again, with other signature bytes that nobody has seen; after it, files that it is given again.
  const files = await signPayloads(holder, payloads, {
    recorded,
    verify: ({ role, bytes }) => {
      const verified = verifyNextVersion(base.repository, role, bytes, changes)
      // It comes back with the next observation, and as the next base.
      holder.cache.add(role, verified)
    },
  })
  return signedAnswer(files)
}

function toChange(change: ChangeRequest['changes'][number]): TargetsChange {
  const name = parseTag(change.tag)
  if (change.kind === 'drop') return { kind: 'drop', name }
  return { kind: 'put', name, sha256: change.sha256, length: change.length }
}

function asked({ gun, roles, changes }: ChangeRequest): readonly unknown[] {
  const parts = changes.map((change) => [
    change.kind,
    change.tag,
    ...(change.kind === 'put' ? [change.sha256, change.length] : []),
    evidenceParts(change.evidence),
    ...(change.approvals ?? []).map(({ approver, expiresAt, signature }) => [approver, expiresAt, signature]),
  ])
  return [gun, roles, parts]
}

function recordsOfChange(
  request: ChangeRequest,
  base: Base,
  planned: readonly PlannedRole[],
  payloads: readonly Payload[],
): AuditRecord[] {
  const { gun } = base.repository
  const record = {
    kind: 'targets-change',
    by: 'service',
    gun,
    publication: request.publication,
    ...recordedRoles(base, planned, payloads),
  } as const
  return [...recordsOf(base, gun), ...chunkRecord(record, 'changes', request.changes)]
}
