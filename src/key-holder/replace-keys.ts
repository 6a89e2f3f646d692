// Puts staged keys in the place of those that they were made for: check, verify the base, plan, record, publish the log, sign, store,
// answer. In this order, and only so; each step as in change-targets.ts.
import {
  parseGun,
  parseTufKeyId,
  renewTargets,
  replaceDelegationKeys,
  rolesListing,
  signingRole,
  TARGETS,
  targetsOf,
  verifyKeyReplacement,
  type KeyReplacement,
  type PublicKey,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { recordsOf, verifyBase, verifyState, type Base } from './base.ts'
import { nextVersion, notSignable, ourKeys, payloadOf, type PlannedRole } from './change-plan.ts'
import { checkRates, countRates } from './change-rules.ts'
import { contentToRestore, refuseDisowned } from './disowned.ts'
import { commitToSign, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { limitsFor } from './limits.ts'
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
import { stagedKeys } from './staged-keys.ts'

type ReplaceRequest = OperationRequest<'replace-keys'>

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function replaceKeys(
  holder: Holder,
  { request, attachments, socket }: Call<'replace-keys'>,
): Promise<Answer<'replace-keys'>> {
  // 1. Everything that needs no verification. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getSignable(gun)
  const limits = limitsFor(holder.limits, gun)
  const asked = [gun, evidenceParts(request.evidence)]
  const name = { gun, id: `keys:${request.publication}`, requestDigest: requestDigest(asked, attachments) }
  const repeated = await repeatedFiles(holder, name)
  if (repeated !== undefined) return restoringAnswer(holder, gun, repeated)
  holder.step('checked')

  // 2. The base, from our own pinned root and against all that we know; it may show that a staged key is listed already. A crash
  //    before or after leaves nothing.
  const base = verifyBase(holder, gun, pinnedRoot, attachments, socket)

  // 3. The next versions, worked out here. A crash leaves nothing.
  const listed = new Set(base.keysMoved.map(({ canonicalKeyId }) => canonicalKeyId))
  // A key of base targets is listed by root, and waits for change-root.
  const replacements = stagedKeys(holder, gun)
    .filter(({ role, publicKey }) => role !== TARGETS && !listed.has(publicKey.canonicalKeyId))
    .map(({ replaces, publicKey }): KeyReplacement => ({
      from: parseTufKeyId(replaces),
      to: publicKey,
    }))
  const planned = planReplacement(holder, base.repository, replacements)
  checkRates(holder, limits, gun, planned.length, 0)
  const payloads = planned.map((role) => payloadOf(gun, name.id, role))
  await requireTokens(holder, payloads)
  holder.step('planned')

  // 4. Exact bytes, reason and record in one transaction; 5. the log's files and checkpoint. A crash after the transaction burns
  //    these versions unless the same request comes again; nothing has been signed.
  const recorded = await commitToSign(
    holder,
    [...recordsOf(base, gun), recordOfReplacement(request, base, replacements, planned, payloads)],
    () => {
      const roles = payloads.map(({ role }) => role)
      recordPublication(holder, name, { base, roles, payloads, reason: request.evidence })
      countRates(holder, gun, planned.length, 0)
    },
  )

  // 6. Sign, and hold all files together against what was declared; 7. store them. A crash before 7 leaves payloads that the same
  //    request signs again; after it, files that it is given again.
  const made = new Map<RoleName, Uint8Array>()
  const files = await signPayloads(holder, payloads, {
    recorded,
    verify: ({ role, bytes }) => {
      made.set(role, bytes)
      if (made.size < payloads.length) return
      const restored = new Map(
        planned.flatMap(({ unsigned, restored }) =>
          restored === undefined ? [] : [[unsigned.role, restored] as const],
        ),
      )
      for (const [verifiedRole, file] of verifyKeyReplacement(base.repository, made, replacements, restored)) {
        holder.cache.add(verifiedRole, file)
      }
    },
  })
  return restoringAnswer(holder, gun, files)
}

/** @throws KeyHolderError KEY_NOT_STAGED, KEY_NOT_REPLACEABLE, ROLE_NOT_SIGNABLE, NO_VERSION_TO_RESTORE, BASE_NOT_VERIFIED */
function planReplacement(
  holder: Holder,
  repository: TrustedRepository,
  replacements: readonly KeyReplacement[],
): PlannedRole[] {
  const { gun } = repository
  if (replacements.length === 0) {
    throw new KeyHolderError('KEY_NOT_STAGED', 'No key waits to replace another one.', { gun })
  }
  for (const { from } of replacements) {
    if (rolesListing(repository, [from]).length === 0) {
      throw new KeyHolderError('KEY_NOT_REPLACEABLE', 'No role lists the key that is to be replaced.', {
        gun,
        keyId: from,
      })
    }
  }
  refuseDisowned(holder, gun, [TARGETS])
  const targetsKeys = ourKeys(holder, repository, TARGETS)
  requireThreshold(repository, TARGETS, targetsKeys.length)
  const gone = replacements.map(({ from }) => from)
  const roles = rolesListing(repository, gone).filter((role) => isPublished(repository, role))
  return [
    {
      unsigned: verifyState(
        () => replaceDelegationKeys(repository, replacements, nextVersion(holder, gun, TARGETS, repository.targets)),
        gun,
      ),
      baseVersion: repository.targets.metadata.version,
      signingKeys: targetsKeys,
    },
    ...roles.map((role): PlannedRole => {
      const current = targetsOf(repository, role)
      const kept = ourKeys(holder, repository, role).filter(([id]) => !gone.some((from) => from === id))
      const signingKeys = [...kept, ...successorsOf(repository, role, replacements).map(idsOf)]
      requireThreshold(repository, role, signingKeys.length)
      const next = nextVersion(holder, gun, role, current)
      const restored = contentToRestore(holder, gun, role, next.version)
      return {
        unsigned: verifyState(() => renewTargets(repository, role, next, restored), gun),
        baseVersion: current?.metadata.version ?? 0,
        signingKeys,
        ...(restored !== undefined && { restored }),
      }
    }),
  ]
}

function successorsOf(
  repository: TrustedRepository,
  role: RoleName,
  replacements: readonly KeyReplacement[],
): readonly PublicKey[] {
  return replacements.filter(({ from }) => rolesListing(repository, [from]).includes(role)).map(({ to }) => to)
}

function idsOf({ canonicalKeyId, tufKeyId }: PublicKey): readonly [string, string] {
  return [canonicalKeyId, tufKeyId]
}

/** One that is listed and does not verify now is refused by `renewTargets`; one that never had a file needs none. */
function isPublished(repository: TrustedRepository, role: RoleName): boolean {
  return repository.snapshot.metadata.meta.has(role)
}

/** @throws KeyHolderError ROLE_NOT_SIGNABLE */
function requireThreshold(repository: TrustedRepository, role: RoleName, keysHere: number): void {
  const threshold = signingRole(repository, role)?.threshold ?? 1
  if (keysHere >= threshold) return
  const why =
    keysHere === 0 ? 'none of its keys is here' : `it needs ${threshold} signatures and ${keysHere} can be made here`
  throw notSignable(repository.gun, role, why)
}

function recordOfReplacement(
  { publication, evidence }: ReplaceRequest,
  base: Base,
  replacements: readonly KeyReplacement[],
  planned: readonly PlannedRole[],
  payloads: readonly Payload[],
): AuditRecord {
  const { gun } = base.repository
  const keys = replacements.map(({ from, to }) => ({ from, to: to.canonicalKeyId }))
  const roles = recordedRoles(base, planned, payloads)
  return { kind: 'keys-replacement', by: 'service', gun, publication, keys, ...roles, evidence }
}
