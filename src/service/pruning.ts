// Looks for signed tags that a repository can be tidied of: a page at a time, since the registry is asked for each. Changes nothing.
import {
  CodedError,
  type Gun,
  parseTag,
  RELEASES,
  type TargetName,
  TARGETS,
  targetsOf,
  type TrustedRepository,
} from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { parseImageReference, type TaggedReference } from '../domain/image-reference.ts'
import { MANIFEST_UNKNOWN } from '../domain/ports.ts'
import { codeOf, failureOf, isOutage } from '../domain/port-faults.ts'
import { notPermitted, type Principal, requireGrant } from '../domain/principal.ts'
import { oldTags, type PruneReason, type PruneRules, type SignedEntry } from '../domain/pruning.ts'
import { rolesToUnsign } from '../domain/publication-roles.ts'
import { signedDigest } from '../domain/signed-entry.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
import type { PrunePage } from './services.ts'
import { settleEach } from './settle.ts'

/** Tags of a page: at most so many questions to the registry before an answer. */
const PAGE_TAGS = 500
/** Registry look-ups at the same time. */
const MAX_PARALLEL_PROBES = 8

/**
 * @param after the last tag of the page before
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY; TufError, NotaryError, KeyHolderError; RegistryError where the registry is not able to
 * answer
 */
export async function planPruning(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
  rules: PruneRules,
  after = '',
): Promise<PrunePage> {
  requireGrant(principal, 'read', gun)
  if (dependencies.repositories.find(gun) === undefined) throw notPermitted('read', gun)
  const madeAt = dependencies.clock.now()
  const { trusted, custody } = await loadRepository(dependencies, gun)
  const entries = signedEntries(trusted, dependencies.requests.lastSigned(gun))
  const old = oldTags(entries, rules, madeAt)
  const left = entries.filter(({ tag }) => tag > after)
  const page = left.slice(0, PAGE_TAGS)
  const found = new Map<TargetName, PruneReason>()
  const results = await settleEach(page, MAX_PARALLEL_PROBES, async ({ tag }) => {
    const reason = old.has(tag) ? 'old' : rules.gone && (await isGone(dependencies, gun, tag)) ? 'gone' : undefined
    if (reason === undefined) return
    // What cannot be taken away completely stays, and the plan says so.
    rolesToUnsign(trusted, custody, tag)
    found.set(tag, reason)
  })
  const kept = results.flatMap(({ item: { tag }, result }) => {
    if (result.status === 'fulfilled') return []
    const error: unknown = result.reason
    // Of a registry that does not answer nothing is known: not of this tag, and not of the others.
    if (!(error instanceof CodedError) || isOutage(error)) throw error
    return [{ tag, ...failureOf(error) }]
  })
  const last = page.at(-1)
  return {
    gun,
    madeAt,
    signed: entries.length,
    stays: page.length - found.size - kept.length,
    entries: page.flatMap((entry) => {
      const reason = found.get(entry.tag)
      return reason === undefined ? [] : [{ ...entry, reason }]
    }),
    kept,
    ...(last !== undefined && left.length > page.length && { nextCursor: last.tag }),
  }
}

/**
 * Two answers have to say so: one to a question without a body, and one to a question for the manifest, in the registry's own words. Any other
 * 404 may be that of a proxy, of a wrong path, or of a registry that hides what we may not read.
 */
export async function isGone(
  { resolver }: Pick<ServiceDependencies, 'resolver'>,
  gun: Gun,
  tag: TargetName,
): Promise<boolean> {
  const image = parseImageReference(`${gun}:${tag}`)
  if ((await resolver.probe(image)) !== undefined) return false
  try {
    await resolver.resolve(image)
    return false
  } catch (error) {
    if (!(error instanceof CodedError) || codeOf(error) !== 'IMAGE_NOT_FOUND') throw error
    if (error.facts['registryCode'] === MANIFEST_UNKNOWN) return true
    throw new DomainError(
      'TAG_NOT_KNOWN_GONE',
      'The answer is 404, and not the one of a registry that has no such tag (MANIFEST_UNKNOWN).',
      { image: image.text },
    )
  }
}

/**
 * A pruning leaves a signed tag, unless that is asked for.
 * @throws DomainError PRUNING_LEAVES_NOTHING; TufError, NotaryError, KeyHolderError
 */
export async function requireSomeLeft(
  dependencies: ServiceDependencies,
  images: readonly TaggedReference[],
): Promise<void> {
  for (const gun of new Set(images.map((image) => image.gun))) {
    const { trusted } = await loadRepository(dependencies, gun)
    const named = new Set(images.filter((image) => image.gun === gun).map(({ tag }) => tag))
    const signed = signedEntries(trusted, new Map())
    if (signed.length === 0 || signed.some(({ tag }) => !named.has(tag))) continue
    throw new DomainError('PRUNING_LEAVES_NOTHING', 'No signed tag would be left in the repository.', {
      gun,
      signed: signed.length,
    })
  }
}

/** By tag, in the order of bytes. */
function signedEntries(
  trusted: TrustedRepository,
  lastSigned: ReadonlyMap<string, { readonly sha256: string; readonly at: Date }>,
): readonly SignedEntry[] {
  const tags = [RELEASES, TARGETS].flatMap((role) => [...(targetsOf(trusted, role)?.metadata.targets.keys() ?? [])])
  return [...new Set(tags)].sort().flatMap((name) => {
    const sha256 = signedDigest(trusted, name)
    const tag = sha256 === undefined ? undefined : asTag(name)
    if (sha256 === undefined || tag === undefined) return []
    const last = lastSigned.get(tag)
    return [{ tag, sha256, ...(last?.sha256 === sha256 && { signedAt: last.at }) }]
  })
}

/** Undefined of what no client asks for as a tag. */
function asTag(name: string): TargetName | undefined {
  try {
    return parseTag(name)
  } catch (error) {
    if (error instanceof CodedError) return undefined
    throw error
  }
}
