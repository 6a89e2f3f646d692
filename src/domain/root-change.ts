// A change of root: a next root that its keys signed elsewhere. What it changes is read from it, and held against the published one. Pure.
import {
  baseRoleChanges,
  nextRoot,
  parseRoot,
  ROOT,
  TARGETS,
  TufError,
  verifyNextRootFile,
  type BaseRoleChange,
  type Gun,
  type Received,
  type RoleName,
  type RootMetadata,
  type TrustedRepository,
} from '@countersign/tuf'
import { DomainError } from './errors.ts'

export interface RootChange {
  readonly root: Received<RootMetadata>
  readonly changes: readonly BaseRoleChange[]
}

/**
 * That this file may follow the published root.
 * @throws DomainError ROOT_CHANGE_OUTDATED where another root stands there than it was made for; ROOT_CHANGE_INVALID
 */
export function verifyRootChange(base: TrustedRepository, file: Uint8Array): RootChange {
  return refusing(base.gun, () => verifyFollowing(base, file))
}

/** The bytes of the next root with these keys, for its keys to sign. @throws DomainError ROOT_CHANGE_INVALID */
export function planNextRoot(base: TrustedRepository, changes: readonly BaseRoleChange[], expiresAt: Date): Uint8Array {
  return refusing(base.gun, () => nextRoot(base, changes, expiresAt).message)
}

/** What the library refuses here is what was asked for, not what the trust server has. */
function refusing<T>(gun: Gun, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const facts = { ...cause.facts, gun, reason: cause.code }
    throw new DomainError(
      'ROOT_CHANGE_INVALID',
      `This root cannot follow the published one: ${cause.message}.`,
      facts,
      {
        cause,
      },
    )
  }
}

function verifyFollowing(base: TrustedRepository, file: Uint8Array): RootChange {
  const next = parseRoot(file)
  const published = base.root.metadata.version
  if (next.metadata.version !== published + 1) {
    throw new DomainError('ROOT_CHANGE_OUTDATED', 'The root was changed since this change was made. Begin again.', {
      gun: base.gun,
      version: next.metadata.version,
      published,
    })
  }
  const changes = baseRoleChanges(base.root.metadata, next.metadata)
  return { root: verifyNextRootFile(base, file, changes), changes }
}

/** Root, and targets where it gets other keys: clients take it only with them (trap Q4 of Notary). */
export function rolesOfRootChange(changes: readonly BaseRoleChange[]): readonly RoleName[] {
  return changes.some(({ role }) => role === TARGETS) ? [ROOT, TARGETS] : [ROOT]
}

/** What changes, a line for each role; without another key it is the expiry alone. */
export function rootChangeSubjects({ gun, root: before }: TrustedRepository, { root, changes }: RootChange): string[] {
  if (changes.length === 0) return [`${gun} root: expires ${root.metadata.expiresAt.toISOString()}`]
  return changes.map(({ role, keys }) => {
    const former = before.metadata.roles.get(role)?.keyIds ?? []
    return `${gun} ${role}: ${former.join(', ')} -> ${keys.map(({ tufKeyId }) => tufKeyId).join(', ')}`
  })
}

/** Whether the published root is this one, or follows from it. */
export function holdsRoot({ root, rootChain }: TrustedRepository, file: Uint8Array): boolean {
  return [root.bytes, ...rootChain].some((bytes) => Buffer.compare(bytes, file) === 0)
}
