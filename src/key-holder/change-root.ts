// Takes a root that its keys signed elsewhere, and signs what has to come with it: check, verify the base, plan, record, publish the log,
// sign, store, answer. Each step as in change-targets.ts.
import {
  baseRoleChanges,
  parseGun,
  parseRoot,
  renewTargets,
  ROOT,
  sha256Hex,
  TARGETS,
  verifyNextRoot,
  TufError,
  verifyNextRootFile,
  type BaseRoleChange,
  type Received,
  type RootMetadata,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { recordsOf, verifyBase, verifyState, type Base } from './base.ts'
import { nextVersion, notSignable, oursAmong, payloadOf, type PlannedRole } from './change-plan.ts'
import { checkRates, countRates } from './change-rules.ts'
import { refuseDisowned } from './disowned.ts'
import { commitToSign, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { limitsFor } from './limits.ts'
import type { Payload } from './payloads.ts'
import {
  evidenceParts,
  recordedRoles,
  recordPublication,
  repeatedFiles,
  requestDigest,
  signedAnswer,
  type SignedAnswer,
} from './recorded-publication.ts'
import { requireTokens, signPayloads } from './signing.ts'

type ChangeRequest = OperationRequest<'change-root'>

/** The attachment with the root that is to come. */
const NEXT_ROOT = 'next-root'

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function changeRoot(
  holder: Holder,
  { request, attachments, socket }: Call<'change-root'>,
): Promise<Answer<'change-root'>> {
  // 1. Everything that needs no verification. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const { pinnedRoot } = holder.repositories.getSignable(gun)
  const limits = limitsFor(holder.limits, gun)
  const next = requireNextRoot(attachments, gun)
  const asked = [gun, evidenceParts(request.evidence)]
  const name = { gun, id: `root:${request.publication}`, requestDigest: requestDigest(asked, attachments) }
  const repeated = await repeatedFiles(holder, name)
  if (repeated !== undefined) return withRoot(signedAnswer(repeated), next)
  holder.step('checked')

  // 2. The base, from our own pinned root and against all that we know. A crash before or after leaves nothing.
  const files = new Map([...attachments].filter(([file]) => file !== NEXT_ROOT))
  //    What has expired is no obstacle: the root keys say what comes next, and without a next root nothing else can be repaired.
  const base = verifyBase(holder, gun, pinnedRoot, files, socket, { acceptsExpired: true, acceptsExpiredRoot: true })

  // 3. What the root changes is read from it, and it is its keys' word; whether it may is looked at here. A crash leaves nothing.
  const changes = verifyRoot(base, next)
  const planned = planTargets(holder, base, changes)
  checkRates(holder, limits, gun, planned.length, 0)
  const payloads = planned.map((role) => payloadOf(gun, name.id, role))
  await requireTokens(holder, payloads)
  holder.step('planned')

  // 4. Exact bytes, reason and record in one transaction; 5. the log's files and checkpoint. A crash after the transaction burns
  //    the version of targets unless the same request comes again; nothing has been signed.
  const recorded = await commitToSign(
    holder,
    [...recordsOf(base, gun), recordOfChange(request, base, next, changes, planned, payloads)],
    () => {
      const roles = [ROOT, ...payloads.map(({ role }) => role)]
      recordPublication(holder, name, { base, roles, payloads, reason: request.evidence })
      countRates(holder, gun, planned.length, 0)
    },
  )

  // 6. Sign, and hold all files together against what the root changes; 7. store them. A crash before 7 leaves payloads that the same
  //    request signs again; after it, files that it is given again.
  const made = await signPayloads(holder, payloads, {
    recorded,
    verify: ({ bytes }) => {
      const { targets } = verifyNextRoot(
        base.repository,
        new Map([
          [ROOT, next.bytes],
          [TARGETS, bytes],
        ]),
        changes,
      )
      if (targets !== undefined) holder.cache.add(TARGETS, targets)
    },
  })
  return withRoot(signedAnswer(made), next)
}

/** @throws KeyHolderError OPERATION_MALFORMED */
function requireNextRoot(attachments: ReadonlyMap<string, Uint8Array>, gun: string): Received<RootMetadata> {
  const bytes = attachments.get(NEXT_ROOT)
  if (bytes !== undefined) return parseRoot(bytes)
  throw new KeyHolderError('OPERATION_MALFORMED', 'The next root is missing.', { gun, file: NEXT_ROOT })
}

/** @throws KeyHolderError ROOT_CHANGE_REFUSED */
function verifyRoot({ repository }: Base, next: Received<RootMetadata>): readonly BaseRoleChange[] {
  const { gun, root } = repository
  const changes = baseRoleChanges(root.metadata, next.metadata)
  try {
    verifyNextRootFile(repository, next.bytes, changes)
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const facts = { ...cause.facts, gun, reason: cause.code }
    throw new KeyHolderError('ROOT_CHANGE_REFUSED', `The next root is not accepted: ${cause.message}.`, facts, {
      cause,
    })
  }
  return changes
}

/**
 * Targets with its content as it is, signed by the keys that the next root gives it; nothing where they stay.
 * @throws KeyHolderError BASE_VERSION_DISOWNED, ROLE_NOT_SIGNABLE, BASE_NOT_VERIFIED
 */
function planTargets(holder: Holder, { repository }: Base, changes: readonly BaseRoleChange[]): readonly PlannedRole[] {
  const change = changes.find(({ role }) => role === TARGETS)
  if (change === undefined) return []
  const { gun, targets, root } = repository
  refuseDisowned(holder, gun, [TARGETS])
  const signingKeys = oursAmong(holder, gun, change.keys)
  const threshold = root.metadata.roles.get(TARGETS)?.threshold ?? 1
  if (new Set(signingKeys.map(([canonicalKeyId]) => canonicalKeyId)).size < threshold) {
    throw notSignable(gun, TARGETS, 'the next root gives it keys that are not here, and it has to be signed by them')
  }
  return [
    {
      unsigned: verifyState(() => renewTargets(repository, TARGETS, nextVersion(holder, gun, TARGETS, targets)), gun),
      baseVersion: targets.metadata.version,
      signingKeys,
    },
  ]
}

/** Root first; its bytes are the caller's own. */
function withRoot(
  { response, attachments }: SignedAnswer,
  { bytes, sha256, metadata }: Received<RootMetadata>,
): SignedAnswer {
  const root = { role: ROOT, version: metadata.version, sha256 }
  return { response: { roles: [root, ...response.roles] }, attachments: new Map([[ROOT, bytes], ...attachments]) }
}

function recordOfChange(
  { publication, evidence }: ChangeRequest,
  base: Base,
  next: Received<RootMetadata>,
  changes: readonly BaseRoleChange[],
  planned: readonly PlannedRole[],
  payloads: readonly Payload[],
): AuditRecord {
  const { gun } = base.repository
  const root = {
    version: next.metadata.version,
    sha256: next.sha256,
    payloadSha256: sha256Hex(next.message),
    expiresAt: next.metadata.expiresAt.toISOString(),
    signedBy: next.signatures.map(({ keyId }) => keyId),
  }
  const keys = changes.map(({ role, keys }) => ({ role, keys: keys.map(({ tufKeyId }) => tufKeyId) }))
  const roles = recordedRoles(base, planned, payloads)
  const expired = [...base.repository.expired]
  const had = expired.length > 0 && { expired }
  return { kind: 'root-change', by: 'service', gun, publication, root, keys, ...roles, ...had, evidence }
}
