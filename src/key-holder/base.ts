// The state that a caller brings: verified from the pinned root, then compared with everything this key holder knows.
import { ROOT, SNAPSHOT, isSignedWith, sha256Hex, TARGETS, TIMESTAMP, TufError, verifyFiles } from '@countersign/tuf'
import type { Gun, RoleName, TrustedRepository } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Attachments, SocketName } from '../key-holder-protocol/operations.ts'
import { commit, type AuditRecord, type Holder } from './holder.ts'
import { movedKeys, type KeyMove } from './key-succession.ts'
import type { PinnedRoot } from './repositories.ts'

/** A version further above the highest known than this is an attack or an accident: versions rise by one per publication. */
export const MAX_VERSION_JUMP = 1_000_000

interface SeenFile {
  readonly role: RoleName
  readonly version: number
  /** 64 hex digits, of the file. */
  readonly sha256: string
  readonly messageSha256: string
}

/** A verified state that is not behind what is known, and what to remember of it. */
export interface Base {
  readonly repository: TrustedRepository
  /** Versions above the highest seen so far. */
  readonly raised: readonly SeenFile[]
  /** The newer root, where the verified chain leads beyond the pinned one. */
  readonly newRoot?: PinnedRoot
  /** Keys of ours whose place in the repository is another one now. */
  readonly keysMoved: readonly KeyMove[]
}

/**
 * Verifies the files from the pinned root and compares. With `acceptsExpired` targets and delegations may have expired, with `acceptsExpiredRoot` root: for acts that
 * say so. A version that was signed with a key of ours, or that nobody else could have signed, and that we did not sign freezes the
 * repository; that is recorded before this throws.
 * @throws KeyHolderError BASE_NOT_VERIFIED, BASE_VERSION_IMPLAUSIBLE, BASE_OLDER_THAN_KNOWN, BASE_DIFFERS_FROM_KNOWN,
 * BASE_VERSION_NOT_OURS
 */
export function verifyBase(
  holder: Holder,
  gun: Gun,
  pinnedRoot: PinnedRoot,
  files: Attachments,
  socket: SocketName,
  o: { readonly acceptsExpired?: boolean; readonly acceptsExpiredRoot?: boolean } = {},
): Base {
  const pin = { kind: 'root', bytes: pinnedRoot.bytes } as const
  const repository = verifyState(
    () => verifyFiles(files, { gun, pin, now: holder.now(), cache: holder.cache, ...o }),
    gun,
  )
  const seen = seenFiles(repository)
  for (const file of seen) compareWithKnown(holder, gun, file)
  const raised = seen.filter(
    ({ role, version }) => version > (holder.versions.ofRole(gun, role).highestSeen?.version ?? 0),
  )
  const newRoot = pinOf(repository)
  const keysMoved = movedKeys(holder.keys.ofGun(gun), repository)
  const base = { repository, raised, keysMoved, ...(newRoot.version > pinnedRoot.version && { newRoot }) }
  // All of them: the operator decides once.
  const foreign = seen.filter((file) => isForeign(holder, repository, file))
  const [first] = foreign
  if (first === undefined) return base
  const reason = foreign.map(({ role, version }) => `${role} version ${version} was not signed here`).join('; ')
  const records = foreign.map(
    (file) => ({ kind: 'repository-frozen', by: 'key-holder', gun, reason, through: socket, ...file }) as const,
  )
  commit(holder, [...records, ...recordsOf(base, gun)], () => {
    rememberBase(holder, gun, base)
    for (const { role, version, messageSha256 } of foreign)
      holder.versions.noteForeign(gun, role, version, messageSha256)
    holder.repositories.setFrozen(gun, reason)
  })
  throw new KeyHolderError(
    'BASE_VERSION_NOT_OURS',
    'A version is signed with keys that are held here, and was not signed here. Signing is stopped until an operator decides.',
    { gun, role: first.role, version: first.version },
  )
}

/** Takes over what a base teaches; call inside the transaction that records it. */
export function rememberBase(holder: Holder, gun: Gun, base: Base): void {
  for (const file of base.raised) {
    holder.versions.raiseSeen(gun, file.role, file)
    holder.payloads.markPublished(gun, file.role, file.version, file.messageSha256)
  }
  if (base.newRoot !== undefined) holder.repositories.pin(gun, base.newRoot)
  for (const { canonicalKeyId, state } of base.keysMoved) {
    if (state === 'active') holder.keys.activated(gun, canonicalKeyId, holder.now())
    else holder.keys.replaced(gun, canonicalKeyId)
  }
}

/** What a base teaches, for the audit log. */
export function recordsOf(base: Base, gun: Gun): AuditRecord[] {
  const records: AuditRecord[] = []
  if (base.newRoot !== undefined) {
    const { version, sha256, certificateKeyIds } = base.newRoot
    records.push({ kind: 'root-advanced', by: 'key-holder', gun, version, sha256, certificateKeyIds })
  }
  if (base.raised.length > 0) {
    const roles = base.raised.map(({ role, version, sha256 }) => ({ role, version, sha256 }))
    records.push({ kind: 'versions-seen', by: 'key-holder', gun, roles })
  }
  for (const { role, canonicalKeyId, state } of base.keysMoved) {
    records.push({
      kind: state === 'active' ? 'key-listed' : 'key-replaced',
      by: 'key-holder',
      gun,
      role,
      canonicalKeyId,
    })
  }
  return records
}

/** Runs what stands on the base and names its refusal. @throws KeyHolderError BASE_NOT_VERIFIED, BASE_VERSION_IMPLAUSIBLE */
export function verifyState<T>(verify: () => T, gun: Gun): T {
  try {
    return verify()
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const facts = { ...cause.facts, gun, reason: cause.code }
    if (cause.code === 'VERSION_IMPLAUSIBLE') {
      throw new KeyHolderError('BASE_VERSION_IMPLAUSIBLE', 'A version is above any that is plausible.', facts, {
        cause,
      })
    }
    throw new KeyHolderError('BASE_NOT_VERIFIED', `The base does not verify: ${cause.message}.`, facts, { cause })
  }
}

export function pinOf({ root }: TrustedRepository): PinnedRoot {
  const certificateKeyIds = root.metadata.roles.get(ROOT)?.keyIds ?? []
  return { version: root.metadata.version, sha256: root.sha256, bytes: Buffer.from(root.bytes), certificateKeyIds }
}

export function seenFiles(repository: TrustedRepository): SeenFile[] {
  const { root, timestamp, snapshot, targets, delegations } = repository
  return [
    ...([
      [ROOT, root],
      [TIMESTAMP, timestamp],
      [SNAPSHOT, snapshot],
      [TARGETS, targets],
    ] as const),
    ...delegations,
  ].map(([role, file]) => ({
    role,
    version: file.metadata.version,
    sha256: file.sha256,
    messageSha256: sha256Hex(file.message),
  }))
}

function compareWithKnown(holder: Holder, gun: Gun, { role, version, sha256 }: SeenFile): void {
  const { highestSeen, highestSigned } = holder.versions.ofRole(gun, role)
  const highest = Math.max(highestSeen?.version ?? 0, highestSigned?.version ?? 0)
  if (version - highest > MAX_VERSION_JUMP) {
    throw new KeyHolderError('BASE_VERSION_IMPLAUSIBLE', 'The base jumps to a version far above any known.', {
      gun,
      role,
      version,
      highest,
    })
  }
  if (highestSeen === undefined || version > highestSeen.version) return
  if (version < highestSeen.version) {
    throw new KeyHolderError('BASE_OLDER_THAN_KNOWN', 'The base is older than a state that was seen before.', {
      gun,
      role,
      version,
      highestSeen: highestSeen.version,
    })
  }
  if (sha256 !== highestSeen.sha256) {
    throw new KeyHolderError('BASE_DIFFERS_FROM_KNOWN', 'The base has a known version with another content.', {
      gun,
      role,
      version,
      sha256,
      known: highestSeen.sha256,
    })
  }
}

/** Whether it was not signed here, although only we could have, or although a key of ours has. */
function isForeign(holder: Holder, repository: TrustedRepository, file: SeenFile): boolean {
  const { gun } = repository
  if (holder.versions.isAccountedFor(gun, file.role, file.version, file.messageSha256)) return false
  const ours = new Set<string>(holder.keys.ofGun(gun).map(({ publicKey }) => publicKey.canonicalKeyId))
  return isSignedWith(repository, file.role, ours)
}

/**
 * Takes what is published now with our keys for signed while they were elsewhere; call inside the
 * transaction that makes such a key ours.
 */
export function acceptPublished(holder: Holder, repository: TrustedRepository): void {
  for (const file of seenFiles(repository)) {
    if (!isForeign(holder, repository, file)) continue
    holder.versions.acceptVersion(repository.gun, file.role, file.version, file.messageSha256)
  }
}
