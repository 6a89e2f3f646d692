// Holds the files of a key replacement against what was asked for. It shares no code with the making of them (replace-keys.ts) where
// that could hide a fault: it compares what stands in the files.
import { verifyContentKept, verifyFollows } from './next-version.ts'
import { previousTargets } from './edit.ts'
import { TufError } from './errors.ts'
import type { KeyReplacement } from './replace-keys.ts'
import { signingRole } from './resolve.ts'
import { TARGETS, type RoleName, type TufKeyId } from './role.ts'
import type { Received } from './signed.ts'
import { parseTargets, type DelegationRole, type Delegations, type TargetsMetadata } from './targets.ts'
import { roleKeys } from './threshold.ts'
import type { TrustedRepository } from './trusted.ts'

/**
 * That these files, published together, replace exactly these keys: base targets differs in them alone and is signed by its own
 * keys; each role that listed one of them and has a file comes with its content unchanged, signed by the keys of the new base
 * targets alone; and there is no other file. All in normal form, of higher versions, not expired at `repository.verifiedAt`.
 * @param restored roles whose content is that of an earlier version, and not what the repository has
 * @throws TufError NEXT_VERSION_DIFFERS (facts say where), NORMAL_FORM_*, SIGNATURE_*, VERSION_*, ROLE_EXPIRED, ROLE_UNUSABLE, and
 * as parsing
 */
export function verifyKeyReplacement(
  repository: TrustedRepository,
  files: ReadonlyMap<RoleName, Uint8Array>,
  replacements: readonly KeyReplacement[],
  restored: ReadonlyMap<RoleName, Received<TargetsMetadata>> = new Map(),
): ReadonlyMap<RoleName, Received<TargetsMetadata>> {
  const bytes = files.get(TARGETS)
  if (bytes === undefined) throw differs('The file that lists the successors is missing', TARGETS)
  const targets = parseTargets(bytes, TARGETS)
  const signers = signingRole(repository, TARGETS)
  verifyFollows(repository, targets, {
    name: TARGETS,
    keys: new Map((signers?.keys ?? []).map((key) => [key.tufKeyId, key])),
    threshold: signers?.threshold ?? 1,
  })
  verifyContentKept(TARGETS, repository.targets, targets)
  verifyReplaced(repository.targets.metadata.delegations, targets.metadata.delegations, replacements)

  const verified = new Map([[TARGETS, targets]])
  const gone = new Set(replacements.map(({ from }) => from))
  for (const role of firstEntries(targets.metadata.delegations)) {
    const before = firstEntries(repository.targets.metadata.delegations).find(({ name }) => name === role.name)
    const isTouched = before?.keyIds.some((id) => gone.has(canonicalId(repository.targets.metadata.delegations, id)))
    const previous =
      isTouched === true ? (restored.get(role.name) ?? previousTargets(repository, role.name)) : undefined
    const file = files.get(role.name)
    if (previous === undefined && file === undefined) continue
    if (previous === undefined || file === undefined)
      throw differs('Other roles came than those that change', role.name)
    const next = parseTargets(file, role.name)
    verifyFollows(repository, next, roleKeys(role, targets.metadata.delegations.keys))
    verifyContentKept(role.name, previous, next)
    if (textOf(previous.metadata.delegations) !== textOf(next.metadata.delegations)) {
      throw differs('The delegations changed, which nobody asked for', role.name)
    }
    verified.set(role.name, next)
  }
  for (const role of files.keys()) if (!verified.has(role)) throw differs('A file came of another role', role)
  return verified
}

/** Delegation by delegation: the same names, thresholds and paths in the same order, and the keys with their successors. */
function verifyReplaced(before: Delegations, after: Delegations, replacements: readonly KeyReplacement[]): void {
  const successorOf = new Map(replacements.map(({ from, to }) => [from, to]))
  const expected: Delegations = {
    roles: before.roles.map((role) => {
      const keyIds = role.keyIds.map((id) => successorOf.get(canonicalId(before, id))?.tufKeyId ?? id)
      return { ...role, keyIds: [...new Set(keyIds)] }
    }),
    keys: new Map([
      ...[...before.keys].filter(([, key]) => !successorOf.has(key.canonicalKeyId)),
      ...replacements.map(({ to }) => [to.tufKeyId, to] as const),
    ]),
  }
  if (textOf(expected) !== textOf(after)) throw differs('The delegations are not those with the keys replaced', TARGETS)
  for (const { from } of replacements) {
    if (!before.roles.some(({ keyIds }) => keyIds.some((id) => canonicalId(before, id) === from))) {
      throw differs('A key was replaced that no delegation listed', TARGETS)
    }
  }
}

function firstEntries({ roles }: Delegations): readonly DelegationRole[] {
  return roles.filter(({ name }, at) => roles.findIndex((other) => other.name === name) === at)
}

function canonicalId({ keys }: Delegations, keyId: TufKeyId): TufKeyId {
  return keys.get(keyId)?.canonicalKeyId ?? keyId
}

/** Order of roles and keys of a role included; contents of keys included; order of the key table not, which is Go's map. */
function textOf({ keys, roles }: Delegations): string {
  return JSON.stringify([
    roles.map(({ name, threshold, paths, keyIds }) => [name, threshold, paths, keyIds]),
    [...keys].map(([id, { keyType, publicValue }]) => [id, keyType, publicValue]).sort(),
  ])
}

function differs(message: string, role: RoleName): TufError {
  return new TufError('NEXT_VERSION_DIFFERS', message, { role })
}
