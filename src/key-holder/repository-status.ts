// What the key holder says of itself and of a repository. Reads only.
import { parseGun, type Gun } from '@countersign/tuf'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'
import { openVersions, rolesToRestore } from './disowned.ts'
import type { Answer, Call, Holder } from './holder.ts'
import { findLimits, type RepositoryLimits } from './limits.ts'

/** See the operation's description in the protocol. */
export function status(holder: Holder): Promise<Answer<'status'>> {
  const { note, size, rootHash } = holder.log.checkpoint
  const tokens = holder.custody.tokens().map(({ uri, label, state, toDestroy }) => ({ uri, label, state, toDestroy }))
  return Promise.resolve({
    response: {
      sealed: false,
      ...holder.identity,
      repositories: holder.repositories.count(),
      limitsDigest: holder.limits.digest,
      ...(tokens.length > 0 && { tokens }),
      log: { origin: holder.log.origin, size, rootHash, publicKey: holder.log.verifierKey, checkpoint: note },
    },
  })
}

/** See the operation's description in the protocol. @throws KeyHolderError GUN_NOT_MANAGED */
export function repositoryStatus(
  holder: Holder,
  { request }: Call<'repository-status'>,
): Promise<Answer<'repository-status'>> {
  return Promise.resolve({ response: describeRepository(holder, parseGun(request.gun)) })
}

/** @throws KeyHolderError GUN_NOT_MANAGED */
export function describeRepository(holder: Holder, gun: Gun): OperationResponse<'repository-status'> {
  const { state, frozenBecause, pinnedRoot, rootCustody } = holder.repositories.get(gun)
  const disowned = rolesToRestore(holder, gun)
  const { undecided, inForce } = openVersions(holder, gun)
  const limits = findLimits(holder.limits, gun)
  const foreign = [
    ...undecided.map(({ role, version }) => ({ role, version, decision: 'none' as const })),
    ...inForce.map(({ role, version }) => ({ role, version, decision: 'dropped' as const })),
  ]
  const { shown, leftOut } = newest(foreign)
  return {
    gun,
    state: frozenBecause === undefined ? state : 'frozen',
    ...(frozenBecause !== undefined && { frozenBecause }),
    ...(pinnedRoot !== undefined && {
      pinnedRoot: {
        version: pinnedRoot.version,
        sha256: pinnedRoot.sha256,
        certificateKeyIds: [...pinnedRoot.certificateKeyIds],
      },
    }),
    rootCustody,
    keys: holder.keys
      .ofGun(gun)
      .map(({ role, publicKey, createdAt, activeSince, lastUsedAt, state, replaces, origin, custody }) => ({
        gun,
        role,
        keyType: publicKey.keyType,
        tufKeyId: publicKey.tufKeyId,
        canonicalKeyId: publicKey.canonicalKeyId,
        custody: holder.custody.describe({ custody, origin }),
        createdAt,
        ...(activeSince !== undefined && { activeSince }),
        ...(lastUsedAt !== undefined && { lastUsedAt }),
        state,
        ...(replaces !== undefined && { replaces }),
      })),
    roles: holder.versions.ofGun(gun),
    ...(disowned.length > 0 && { disowned: [...disowned] }),
    ...(shown.length > 0 && { foreign: [...shown] }),
    ...(leftOut > 0 && { foreignLeftOut: leftOut }),
    ...(limits !== undefined && { lifetimeDays: describeLifetimes(limits) }),
  }
}

/** Timestamps are nobody's concern but the trust server's. */
function describeLifetimes({
  lifetimeDays: { root, targets, delegations, snapshot },
}: RepositoryLimits): NonNullable<OperationResponse<'repository-status'>['lifetimeDays']> {
  return { root, targets, delegations, snapshot }
}

/** Versions in one answer. */
const MAX_SHOWN = 256

/** The versions with the highest numbers, in the order given, and how many are left out. */
export function newest<V extends { readonly version: number }>(
  versions: readonly V[],
): { readonly shown: readonly V[]; readonly leftOut: number } {
  if (versions.length <= MAX_SHOWN) return { shown: versions, leftOut: 0 }
  const kept = new Set([...versions].sort((one, other) => other.version - one.version).slice(0, MAX_SHOWN))
  return { shown: versions.filter((one) => kept.has(one)), leftOut: versions.length - MAX_SHOWN }
}
