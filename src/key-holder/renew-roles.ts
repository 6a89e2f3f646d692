// Signs roles again as they are, before they expire, or after it to repair a repository: check, verify the base, plan, record, publish the
// log, sign, store, answer. Each step as in change-targets.ts.
import {
  parseGun,
  renewTargets,
  targetsOf,
  verifyNextVersion,
  verifyRestored,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { recordsOf, verifyBase, verifyState, type Base } from './base.ts'
import { checkSignable, nextVersion, parseTargetsRoles, payloadOf, type PlannedRole } from './change-plan.ts'
import { checkRates, countRates } from './change-rules.ts'
import { contentToRestore } from './disowned.ts'
import { commitToSign, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { lifetimeOf, limitsFor } from './limits.ts'
import type { Payload } from './payloads.ts'
import {
  evidenceParts,
  recordedRoles,
  recordPublication,
  repeatedFiles,
  requestDigest,
  restoringAnswer,
} from './recorded-publication.ts'
import { requireTokens, signPayloads } from './signing.ts'

type AgainCall = Call<'renew-roles' | 'repair-roles'>

interface Purpose {
  /** Before the caller's idempotency key, so that two operations never meet. */
  readonly prefix: string
  readonly kind: 'roles-renewal' | 'roles-repair'
  readonly acceptsExpired: boolean
  /** Refuses a role for which there is no reason. @throws KeyHolderError CHANGE_EMPTY */
  readonly requireReason: (
    repository: TrustedRepository,
    role: RoleName,
    expiresAt: { old: Date; next: Date; lifetimeMs: number },
  ) => void
}

/** A renewal that gains less, and less than a quarter of a life, is none: versions are not to be had for nothing. */
const LEAST_GAIN_MS = 30 * 86_400_000

const RENEWAL: Purpose = {
  prefix: 'renew',
  kind: 'roles-renewal',
  acceptsExpired: false,
  requireReason: ({ gun }, role, { old, next, lifetimeMs }) => {
    if (next.getTime() - old.getTime() >= Math.min(LEAST_GAIN_MS, lifetimeMs / 4)) return
    throw new KeyHolderError('CHANGE_EMPTY', 'The role does not expire sooner than a renewed one would.', {
      gun,
      role,
      expiresAt: old.toISOString(),
    })
  },
}

/** What has expired is signed again; nothing else, so that nothing expired is ever built upon by the way. */
const REPAIR: Purpose = {
  prefix: 'repair',
  kind: 'roles-repair',
  acceptsExpired: true,
  requireReason: ({ gun, expired }, role, { old }) => {
    if (expired.has(role)) return
    const facts = { gun, role, expiresAt: old.toISOString() }
    throw new KeyHolderError('CHANGE_EMPTY', 'The role has not expired: there is nothing to repair.', facts)
  },
}

/** See the operation's description in the protocol. @throws KeyHolderError */
export function renewRoles(holder: Holder, call: Call<'renew-roles'>): Promise<Answer<'renew-roles'>> {
  return signAgain(holder, call, RENEWAL)
}

/** See the operation's description in the protocol. @throws KeyHolderError */
export function repairRoles(holder: Holder, call: Call<'repair-roles'>): Promise<Answer<'repair-roles'>> {
  return signAgain(holder, call, REPAIR)
}

async function signAgain(
  holder: Holder,
  { request, attachments, socket }: AgainCall,
  purpose: Purpose,
): Promise<Answer<'renew-roles'> & Answer<'repair-roles'>> {
  // 1. Everything that needs no verification. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getSignable(gun)
  const limits = limitsFor(holder.limits, gun)
  const asked = [gun, request.roles, evidenceParts(request.evidence)]
  const id = `${purpose.prefix}:${request.publication}`
  const name = { gun, id, requestDigest: requestDigest(asked, attachments) }
  const repeated = await repeatedFiles(holder, name)
  if (repeated !== undefined) return restoringAnswer(holder, gun, repeated)
  const roles = parseTargetsRoles(request.roles, gun)
  holder.step('checked')

  // 2. The base, from our own pinned root and against all that we know. A crash before or after leaves nothing.
  const { acceptsExpired } = purpose
  const base = verifyBase(holder, gun, pinnedRoot, attachments, socket, { acceptsExpired })

  // 3. The next versions, worked out here. A crash leaves nothing.
  const planned = roles.map((role) => planAgain(holder, base.repository, role, purpose))
  checkRates(holder, limits, gun, planned.length, 0)
  const payloads = planned.map((role) => payloadOf(gun, name.id, role))
  await requireTokens(holder, payloads)
  holder.step('planned')

  // 4. Exact bytes, reason and record in one transaction; 5. the log's files and checkpoint. A crash after the transaction burns
  //    these versions unless the same request comes again; nothing has been signed.
  const recorded = await commitToSign(
    holder,
    [...recordsOf(base, gun), recordOf(purpose, request, base, planned, payloads)],
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
      const restored = planned.find(({ unsigned }) => unsigned.role === role)?.restored
      const verified =
        restored === undefined
          ? verifyNextVersion(base.repository, role, bytes, [])
          : verifyRestored(base.repository, role, bytes, restored)
      holder.cache.add(role, verified)
    },
  })
  return restoringAnswer(holder, gun, files)
}

/** @throws KeyHolderError ROLE_NOT_SIGNABLE, NO_VERSION_TO_RESTORE, BASE_NOT_VERIFIED, CHANGE_EMPTY */
function planAgain(
  holder: Holder,
  repository: TrustedRepository,
  role: RoleName,
  { requireReason, acceptsExpired }: Purpose,
): PlannedRole {
  const { gun } = repository
  const signingKeys = checkSignable(holder, repository, role, [])
  const current = targetsOf(repository, role)
  const next = nextVersion(holder, gun, role, current)
  const restored = contentToRestore(holder, gun, role, next.version)
  const unsigned = verifyState(() => renewTargets(repository, role, next, restored), gun)
  // To go back behind a theft is reason enough.
  if (restored === undefined || acceptsExpired) {
    const lifetimeMs = lifetimeOf(limitsFor(holder.limits, gun), role)
    const old = current?.metadata.expiresAt ?? next.expiresAt
    requireReason(repository, role, { old, next: next.expiresAt, lifetimeMs })
  }
  const baseVersion = current?.metadata.version ?? 0
  return { unsigned, baseVersion, signingKeys, ...(restored !== undefined && { restored }) }
}

function recordOf(
  { kind }: Purpose,
  { publication, evidence }: AgainCall['request'],
  base: Base,
  planned: readonly PlannedRole[],
  payloads: readonly Payload[],
): AuditRecord {
  const { gun, expired } = base.repository
  // What was no longer valid, and since when: a repair says why it was one.
  const lapsed = [...expired].map((role) => ({
    role,
    expiredAt: targetsOf(base.repository, role)?.metadata.expiresAt.toISOString() ?? '',
  }))
  const signed = recordedRoles(base, planned, payloads)
  return { kind, by: 'service', gun, publication, ...signed, ...(lapsed.length > 0 && { expired: lapsed }), evidence }
}
