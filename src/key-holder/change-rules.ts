// What the limits file and the tag lock say about declared changes. Reads state, changes nothing.
import { isDelegationRole, TARGETS, targetsOf } from '@countersign/tuf'
import type { Gun, RoleName, TargetsChange, TrustedRepository } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Holder } from './holder.ts'
import { isTagAllowed, isTagLocked, type RepositoryLimits } from './limits.ts'

/** @throws KeyHolderError LIMIT_TAG, CHANGE_MALFORMED (a tag twice) */
export function checkTags(limits: RepositoryLimits, gun: Gun, changes: readonly TargetsChange[]): void {
  const tags = new Set<string>()
  for (const { name } of changes) {
    if (!isTagAllowed(limits, name)) {
      throw new KeyHolderError('LIMIT_TAG', 'The limits file does not allow this tag.', { gun, tag: name })
    }
    if (tags.has(name)) {
      throw new KeyHolderError('CHANGE_MALFORMED', 'A tag is named twice.', { gun, tag: name })
    }
    tags.add(name)
  }
}

/**
 * What was published for a request is not signed for it again: whoever asks has an older memory than we (a database restored from a
 * backup), and what they want done may have been undone since.
 * @throws KeyHolderError REQUEST_ALREADY_PUBLISHED
 */
export function checkRepeats(
  holder: Holder,
  gun: Gun,
  changes: readonly { readonly tag: string; readonly evidence: { readonly request: string } }[],
): void {
  for (const { tag, evidence } of changes) {
    const publication = holder.payloads.publishedFor(gun, { request: evidence.request, tag })
    if (publication !== undefined) {
      throw new KeyHolderError(
        'REQUEST_ALREADY_PUBLISHED',
        'This request was signed and published before; the repository was changed since. Ask again if it is still wanted.',
        { gun, tag, request: evidence.request, publication },
      )
    }
  }
}

/**
 * A locked tag keeps the digest that it stood for last, here or in the base, whether or not it was dropped since.
 * @throws KeyHolderError LIMIT_TAG_LOCKED
 */
export function checkLocks(
  holder: Holder,
  limits: RepositoryLimits,
  repository: TrustedRepository,
  changes: readonly TargetsChange[],
): void {
  for (const change of changes) {
    if (change.kind !== 'put' || !isTagLocked(limits, change.name)) continue
    const remembered = holder.versions.tagDigest(repository.gun, change.name)
    const allowed = remembered === undefined ? digestsInBase(repository, change.name) : new Set([remembered])
    if (allowed.size > 0 && !allowed.has(change.sha256)) {
      throw new KeyHolderError('LIMIT_TAG_LOCKED', 'This tag is locked to the digest that it stands for.', {
        gun: repository.gun,
        tag: change.name,
        locked: [...allowed].join(' '),
        asked: change.sha256,
      })
    }
  }
}

/** What to remember for the tag lock after these changes; call inside the transaction. */
export function rememberTags(holder: Holder, repository: TrustedRepository, changes: readonly TargetsChange[]): void {
  const { gun } = repository
  for (const change of changes) {
    if (change.kind === 'put') {
      holder.versions.rememberTag(gun, change.name, change.sha256)
    } else if (holder.versions.tagDigest(gun, change.name) === undefined) {
      const [standing] = digestsInBase(repository, change.name)
      if (standing !== undefined) holder.versions.rememberTag(gun, change.name, standing)
    }
  }
}

/** @throws KeyHolderError LIMIT_VERSIONS, LIMIT_ENTRIES */
export function checkRates(
  holder: Holder,
  limits: RepositoryLimits,
  gun: Gun,
  versions: number,
  entries: number,
): void {
  const now = holder.now()
  if (holder.rates.used(`versions ${gun}`, now) + versions > limits.versionsPerHour) {
    throw new KeyHolderError('LIMIT_VERSIONS', 'More versions within an hour than the limits file allows.', {
      gun,
      versionsPerHour: limits.versionsPerHour,
    })
  }
  if (holder.rates.used(`entries ${gun}`, now) + entries > limits.entriesPerHour) {
    throw new KeyHolderError('LIMIT_ENTRIES', 'More entries within an hour than the limits file allows.', {
      gun,
      entriesPerHour: limits.entriesPerHour,
    })
  }
}

/** Counts what `checkRates` allowed; call inside the transaction. */
export function countRates(holder: Holder, gun: Gun, versions: number, entries: number): void {
  holder.rates.add(`versions ${gun}`, versions, holder.now())
  holder.rates.add(`entries ${gun}`, entries, holder.now())
}

/**
 * Delegations that we sign say the same of a tag: one left behind with another digest would be shown as a signer of neither
 * (docker trust inspect) or fail verifiers that read several (traps Q8, Q9 of the protocol reference).
 * @throws KeyHolderError CHANGE_REFUSED
 */
export function checkAgreement(
  repository: TrustedRepository,
  written: readonly RoleName[],
  ourRoles: readonly RoleName[],
  changes: readonly TargetsChange[],
): void {
  for (const role of ourRoles) {
    if (written.includes(role) || !isDelegationRole(role)) continue
    for (const change of changes) {
      const standing =
        change.kind === 'put' ? targetsOf(repository, role)?.metadata.targets.get(change.name) : undefined
      const sha256 = hexDigest(standing?.hashes.get('sha256'))
      if (change.kind === 'put' && sha256 !== undefined && sha256 !== change.sha256) {
        throw new KeyHolderError('CHANGE_REFUSED', 'Another role signed here would keep another digest for this tag.', {
          gun: repository.gun,
          role,
          tag: change.name,
        })
      }
    }
  }
}

function digestsInBase(repository: TrustedRepository, tag: string): Set<string> {
  const files = [...repository.delegations.values(), targetsOf(repository, TARGETS)]
  const digests = files.map((file) => hexDigest(file?.metadata.targets.get(tag)?.hashes.get('sha256')))
  return new Set(digests.filter((digest) => digest !== undefined))
}

function hexDigest(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex')
}
