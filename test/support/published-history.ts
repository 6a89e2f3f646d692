// The history of a repository on the simulated trust server, replayed version by version: what was published, when, and how often.
import { hexOfBase64Digest, parseTargets, sha256Hex, type Gun, type RoleName } from '@countersign/tuf'
import type { FakeTrustServer } from './fakes/trust-server.ts'
import type { LogEntry } from './key-holder.ts'

export interface PublishedVersion {
  readonly role: RoleName
  readonly version: number
  /** 64 hex digits over what was signed. */
  readonly payloadSha256: string
  /** Tag -> digest of every entry that this version added or moved. */
  readonly put: ReadonlyMap<string, string>
  readonly dropped: readonly string[]
}

/** Every version of the role that was ever published, oldest first; burnt ones are absent. */
export async function publishedHistory(server: FakeTrustServer, gun: Gun, role: RoleName): Promise<PublishedVersion[]> {
  const history: PublishedVersion[] = []
  let before: ReadonlyMap<string, string> = new Map()
  for (let version = 1; version <= server.version(gun, role); version++) {
    const bytes = await server.read(gun, `${version}.${role}.json`, Number.MAX_SAFE_INTEGER)
    if (bytes === undefined) continue
    const { metadata, message } = parseTargets(bytes, role)
    const now = new Map(
      [...metadata.targets].map(([tag, { hashes }]) => [tag, hexOfBase64Digest(hashes.get('sha256') ?? '')]),
    )
    history.push({
      role,
      version,
      payloadSha256: sha256Hex(message),
      put: new Map([...now].filter(([tag, sha256]) => before.get(tag) !== sha256)),
      dropped: [...before.keys()].filter((tag) => !now.has(tag)),
    })
    before = now
  }
  return history
}

/** What is wrong with a history in which each of these tags was to be published once, and nothing else; empty where nothing is. */
export function faultsOfHistory(history: readonly PublishedVersion[], expected: ReadonlyMap<string, string>): string[] {
  const faults: string[] = []
  const times = new Map<string, number>()
  for (const { role, version, put, dropped } of history) {
    // The first version of a role is empty.
    if (version > 1 && put.size === 0 && dropped.length === 0) faults.push(`${role} ${version} changes nothing`)
    for (const tag of dropped) faults.push(`${role} ${version} drops ${tag}`)
    for (const [tag, sha256] of put) {
      times.set(tag, (times.get(tag) ?? 0) + 1)
      if (expected.get(tag) !== sha256) faults.push(`${role} ${version} puts ${tag} at ${sha256}`)
    }
  }
  for (const tag of expected.keys()) {
    const count = times.get(tag) ?? 0
    if (count !== 1) faults.push(`${tag} was published ${count} times`)
  }
  return faults
}

/** Versions that no record of the audit log speaks of; empty where every one was recorded as it was published. */
export function unrecordedVersions(
  history: readonly PublishedVersion[],
  gun: Gun,
  log: readonly LogEntry[],
): PublishedVersion[] {
  const recorded = new Set(
    log
      .filter((entry) => entry.kind === 'targets-change' && entry.gun === gun)
      .flatMap((entry) => entry['roles'] as readonly { role: string; version: number; payloadSha256: string }[])
      .map(({ role, version, payloadSha256 }) => `${role} ${version} ${payloadSha256}`),
  )
  // First versions are recorded by the initialization.
  return history.filter(
    ({ role, version, payloadSha256 }) => version > 1 && !recorded.has(`${role} ${version} ${payloadSha256}`),
  )
}
