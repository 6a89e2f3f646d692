// What the offline root key is asked to sign is read and checked here before it is signed: a first root with this key, these
// roles and nothing else. Pure. The key's owner trusts no server in this.
import {
  BASE_ROLES,
  CodedError,
  parseRoot,
  ROOT,
  type Gun,
  type PublicKey,
  type Received,
  type RootMetadata,
} from '@countersign/tuf'
import { CliError } from './errors.ts'

/** The longest lifetime that is signed, in days: Notary's ten years and some slack for clocks. */
const MAX_ROOT_DAYS = 3660
const DAY_MS = 86_400_000
const MEMBERS = ['_type', 'consistent_snapshot', 'expires', 'keys', 'roles', 'version']

/**
 * The root in `bytes` (canonical form of `signed`), if it is a first root that lists exactly `rootKey` for its own role.
 * @throws CliError ROOT_NOT_AS_EXPECTED
 */
export function reviewRoot(bytes: Uint8Array, rootKey: PublicKey, now: Date): Received<RootMetadata> {
  const root = parse(bytes)
  const { metadata } = root
  expect(Buffer.compare(root.message, bytes) === 0, 'its bytes are not in canonical form')
  expect(
    [...root.signed.keys()].every((name) => MEMBERS.includes(name)),
    'it has members that are not known here',
  )
  expect(metadata.version === 1, `it is version ${metadata.version}, not the first`)
  const roleNames = root.signed.get('roles')
  expect(roleNames instanceof Map && roleNames.size === BASE_ROLES.length, 'it has roles that are not known here')
  const own = metadata.roles.get(ROOT)
  expect(own?.threshold === 1 && own.keyIds.length === 1, 'the role root must have one key and threshold 1')
  expect(own?.keyIds[0] === rootKey.tufKeyId, 'the role root lists another key than ours')
  for (const { name, keyIds, threshold } of metadata.roles.values()) {
    expect(keyIds.length > 0 && new Set(keyIds).size === keyIds.length, `the role ${name} lists no key, or one twice`)
    expect(threshold >= 1 && threshold <= keyIds.length, `the threshold of ${name} cannot be met`)
  }
  checkKeys(metadata, rootKey)
  const days = (metadata.expiresAt.getTime() - now.getTime()) / DAY_MS
  expect(days > 0 && days <= MAX_ROOT_DAYS, 'its expiry is past, or more than ten years away')
  return root
}

/** Every listed key has its true ID and a role; the root key has no second role, under this certificate or another. */
function checkKeys({ keys, roles }: RootMetadata, rootKey: PublicKey): void {
  const used = new Set([...roles.values()].flatMap(({ keyIds }) => keyIds))
  for (const [id, key] of keys) {
    expect(key.tufKeyId === id, 'it lists a key under an ID that is not its own')
    expect(used.has(id), 'it lists a key that no role uses')
    expect(id === rootKey.tufKeyId || key.canonicalKeyId !== rootKey.canonicalKeyId, 'it lists the root key twice')
  }
  for (const { name, keyIds } of roles.values()) {
    expect(name === ROOT || !keyIds.includes(rootKey.tufKeyId), `it gives the root key to the role ${name} as well`)
  }
}

/** What is about to be signed, for people. */
export function describeRoot(gun: Gun, { metadata }: Received<RootMetadata>): string[] {
  return [
    `Repository: ${gun}`,
    `Root:       version ${metadata.version}, expires ${metadata.expiresAt.toISOString()}`,
    ...[...metadata.roles.values()].flatMap(({ name, keyIds, threshold }) =>
      keyIds.map((id) => {
        const keyType = metadata.keys.get(id)?.keyType ?? 'unknown'
        return `Role ${name.padEnd(10)} key ${id} (${keyType}), threshold ${threshold}`
      }),
    ),
  ]
}

function parse(bytes: Uint8Array): Received<RootMetadata> {
  try {
    return parseRoot(Buffer.concat([Buffer.from('{"signed":'), bytes, Buffer.from(',"signatures":[]}')]))
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause
    throw notAsExpected(`it is no root metadata (${String(cause.code)})`, cause)
  }
}

function expect(condition: boolean, otherwise: string): void {
  if (!condition) throw notAsExpected(otherwise)
}

function notAsExpected(why: string, cause?: unknown): CliError {
  return new CliError('ROOT_NOT_AS_EXPECTED', `What the server asks the root key to sign is refused: ${why}.`, {
    facts: { why },
    next: 'Nothing was signed. Ask the operator of the server before you try again.',
    cause,
  })
}
