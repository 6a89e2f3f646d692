// The daemon's own look at what the key holder signed, before it leaves the house.
import {
  decodeBase64,
  type FileCache,
  type Gun,
  parseTargets,
  type Received,
  rehearse,
  type RoleName,
  ROOT,
  type RootMetadata,
  sha256Hex,
  TARGETS,
  type TargetsMetadata,
  type TrustedRepository,
  verifyKeyReplacement,
  verifyNextRoot,
  verifyNextVersion,
  verifyRestored,
} from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import type { SignedRole } from '../domain/ports.ts'
import type { Publication } from '../domain/publication.ts'
import { verifyRootChange } from '../domain/root-change.ts'
import type { RoleVersion } from '../domain/signing-request.ts'
import type { RequestStore } from '../domain/store-ports.ts'
import type { Intent } from './form-intent.ts'

type Verified = Received<RootMetadata | TargetsMetadata>

/** Of what was proven, the versions that were signed for us: a request that found its tag published already names those of others, too. */
export function ownProven(requests: Pick<RequestStore, 'proven' | 'hasSigned'>, gun: Gun): readonly RoleVersion[] {
  return requests.proven(gun).filter((version) => requests.hasSigned(gun, version))
}

/**
 * That the bytes are the declared change of the base, all of it and nothing else.
 * @param proven the versions that we published
 * @throws DomainError SIGNED_ROLES_UNEXPECTED; TufError where the bytes are not the declared change
 */
export function verifySigned(
  { publication, base }: Intent,
  signed: readonly SignedRole[],
  cache: FileCache | undefined,
  proven: readonly RoleVersion[],
): readonly SignedRole[] {
  const expected = [...publication.roles].sort()
  const received = signed.map(({ role }) => role).sort()
  if (expected.join(' ') !== received.join(' ')) throw unexpected(publication.gun, 'roles')
  const changes = publication.changes.map(({ change }) => change)
  const restored = restoredContents(publication, signed, proven)
  const files = verifiedTogether(publication, base, signed, restored)
  for (const { role, version, sha256, bytes } of signed) {
    const former = restored.get(role)
    const alone = () =>
      former === undefined ? verifyNextVersion(base, role, bytes, changes) : verifyRestored(base, role, bytes, former)
    const verified = files === undefined ? alone() : files.get(role)
    if (verified?.sha256 !== sha256 || verified.metadata.version !== version) throw unexpected(publication.gun, role)
    // Read back, it need not be parsed once more.
    cache?.add(role, verified)
  }
  return signed
}

/**
 * Where keys change (a rotation, a root, a move): that clients take it, with a cache, without one, and with a pin.
 * @throws TufError whose facts name the client
 */
export function rehearseSigned(
  { publication, base }: Intent,
  signed: readonly SignedRole[],
  cache: FileCache | undefined,
): void {
  if (publication.keys === undefined && publication.root === undefined) return
  const files = new Map(signed.map(({ role, bytes }) => [role, bytes]))
  rehearse(base, files, cache === undefined ? {} : { cache })
}

/** What has to be held against the base as a whole; undefined for changes that each role shows alone. */
function verifiedTogether(
  publication: Publication,
  base: TrustedRepository,
  signed: readonly SignedRole[],
  restored: ReadonlyMap<RoleName, Received<TargetsMetadata>>,
): ReadonlyMap<RoleName, Verified> | undefined {
  if (publication.keys !== undefined) return verifyRotation(publication, base, signed, restored)
  if (publication.root === undefined) return undefined
  const file = decodeBase64(publication.root.file)
  const files = signed.map(({ role, bytes }) => [role, bytes] as const)
  const { changes } = verifyRootChange(base, file)
  const { root, targets } = verifyNextRoot(base, new Map([...files, [ROOT, file]]), changes)
  return new Map<RoleName, Verified>([[ROOT, root], ...(targets === undefined ? [] : [[TARGETS, targets] as const])])
}

/** Which keys were to be replaced is the intent's word; the successors are read from the files, by the IDs that it names. */
function verifyRotation(
  { gun, keys }: Publication,
  base: TrustedRepository,
  signed: readonly SignedRole[],
  restored: ReadonlyMap<RoleName, Received<TargetsMetadata>>,
): ReturnType<typeof verifyKeyReplacement> {
  const files = new Map(signed.map(({ role, bytes }) => [role, bytes]))
  const targets = files.get(TARGETS)
  if (targets === undefined) throw unexpected(gun, TARGETS)
  const listed = [...parseTargets(targets, TARGETS).metadata.delegations.keys.values()]
  const replacements = (keys?.changes ?? []).map(({ from, to }) => {
    const key = listed.find(({ canonicalKeyId }) => canonicalKeyId === to)
    if (key === undefined) throw unexpected(gun, to)
    return { from, to: key }
  })
  return verifyKeyReplacement(base, files, replacements, restored)
}

/**
 * The earlier versions whose content came again. The key holder's word is not enough: each must be one that we published and proved, and
 * only a renewal, a repair or a rotation goes back.
 * @throws DomainError SIGNED_ROLES_UNEXPECTED; TufError
 */
function restoredContents(
  { gun, keys, renewal, repair }: Publication,
  signed: readonly SignedRole[],
  proven: readonly RoleVersion[],
): ReadonlyMap<RoleName, Received<TargetsMetadata>> {
  const contents = signed.flatMap(({ role, restored }) => {
    if (restored === undefined) return []
    const sha256 = sha256Hex(restored)
    const newest = Math.max(...proven.filter((one) => one.role === role).map(({ version }) => version))
    const isProven = proven.some((one) => one.role === role && one.sha256 === sha256 && one.version === newest)
    if (!isProven || (keys ?? renewal ?? repair) === undefined) throw unexpected(gun, `restored ${role}`)
    return [[role, parseTargets(restored, role)] as const]
  })
  return new Map(contents)
}

function unexpected(gun: Gun, what: string): DomainError {
  return new DomainError('SIGNED_ROLES_UNEXPECTED', 'The key holder signed something else than it was asked to.', {
    gun,
    what,
  })
}
