// The newest snapshot and timestamp of a served repository: from what is recorded to signed files, and to an answer. What a crash
// left half done is finished here, with the same content.
import { createHash } from 'node:crypto'
import {
  baseRoleKeys,
  isTargetsRole,
  parseRoot,
  parseSnapshot,
  parseTimestamp,
  ROOT,
  ServedTree,
  sha256Hex,
  SNAPSHOT,
  TIMESTAMP,
  timestampOf,
  verifyThreshold,
  type Gun,
  type Received,
  type RoleName,
  type RootMetadata,
  type UnsignedMetadata,
} from '@countersign/tuf'
import type { Attachments, OperationResponse } from '../key-holder-protocol/operations.ts'
import { internal, type Holder } from './holder.ts'
import type { Payload } from './payloads.ts'
import type { Issue, ServedRepository } from './served-repositories.ts'
import { signingKeysOf } from './server-keys.ts'
import { signPayloads, type SignedFile } from './signing.ts'

const SERVED_PUBLICATION = 'served'

export interface ServedPair {
  readonly response: NonNullable<OperationResponse<'serve-state'>['current']>
  readonly attachments: Attachments
}

/** Above everything known of the role, here and by the daemon. */
export function nextIssue(
  holder: Holder,
  gun: Gun,
  role: RoleName,
  last: Issue | undefined,
  lifetimeMs: number,
): Issue {
  const issuedAt = holder.now()
  const expiresAt = new Date(Math.floor((issuedAt.getTime() + lifetimeMs) / 1000) * 1000)
  return { version: highestVersion(holder, gun, role, last) + 1, issuedAt, expiresAt }
}

export function highestVersion(holder: Holder, gun: Gun, role: RoleName, last: Issue | undefined): number {
  const { highestSeen, highestSigned } = holder.versions.ofRole(gun, role)
  return Math.max(last?.version ?? 0, highestSeen?.version ?? 0, highestSigned?.version ?? 0)
}

/** Records the exact bytes of a snapshot or timestamp; call inside the transaction that makes it the newest. */
export function recordPayload(
  holder: Holder,
  gun: Gun,
  root: Received<RootMetadata>,
  { role, version, message }: UnsignedMetadata,
): void {
  const payload = {
    gun,
    role,
    version,
    publication: SERVED_PUBLICATION,
    message: Buffer.from(message),
    messageSha256: sha256Hex(message),
    signingKeys: signingKeysOf(holder, gun, root, role),
  }
  holder.payloads.insert(payload, '', holder.now())
  holder.versions.raiseSigned(gun, role, { version, sha256: payload.messageSha256 })
}

/**
 * The newest pair, signed where it is not yet. The timestamp speaks of the snapshot's file, so its bytes are recorded together
 * with that file: a crash in between leaves a snapshot to be signed again or a timestamp to be signed, never two contents.
 * @param recorded `ahead`: by `commitAhead`, just now; otherwise the log is published first
 * @throws KeyHolderError KEY_NOT_FOUND, KEY_FILE_DAMAGED, AUDIT_LOG_UNWRITABLE, STATE_UNWRITABLE
 */
export async function finishPair(holder: Holder, served: ServedRepository, recorded?: 'ahead'): Promise<ServedPair> {
  const { gun, snapshot, timestamp, clientSnapshot } = served
  const root = holder.cache.read(ROOT, served.state.root, parseRoot)
  const snapshotBytes =
    clientSnapshot ??
    (await signOne(holder, holder.payloads.get(gun, SNAPSHOT, snapshot.version), root, recorded, ({ bytes }) => {
      recordTimestamp(holder, served, root, bytes)
    }))
  if (holder.payloads.find(gun, TIMESTAMP, timestamp.version) === undefined) {
    holder.database.write(() => {
      recordTimestamp(holder, served, root, snapshotBytes)
    })
  }
  const timestampBytes = await signOne(holder, holder.payloads.get(gun, TIMESTAMP, timestamp.version), root, recorded)
  return {
    response: {
      snapshot: describe(snapshot, snapshotBytes),
      snapshotHeldBy: clientSnapshot === undefined ? 'server' : 'client',
      timestamp: describe(timestamp, timestampBytes),
      unverified: unverifiedRoles(served, root),
    },
    attachments: new Map([
      ...(clientSnapshot === undefined ? [[SNAPSHOT as string, snapshotBytes] as const] : []),
      [TIMESTAMP, timestampBytes],
    ]),
  }
}

async function signOne(
  holder: Holder,
  payload: Payload,
  root: Received<RootMetadata>,
  recorded?: 'ahead',
  alongside: (file: SignedFile) => void = () => undefined,
): Promise<Uint8Array> {
  const { role } = payload
  const verify = ({ bytes }: SignedFile): void => {
    verifyThreshold(role === SNAPSHOT ? parseSnapshot(bytes) : parseTimestamp(bytes), baseRoleKeys(root, role))
  }
  const [file] = await signPayloads(holder, [payload], {
    ...(recorded !== undefined && { recorded }),
    verify,
    alongside: (files) => {
      files.forEach(alongside)
    },
  })
  if (file === undefined) throw internal('A signed file was lost.')
  return file.bytes
}

function recordTimestamp(
  holder: Holder,
  { gun, timestamp }: ServedRepository,
  root: Received<RootMetadata>,
  snapshot: Uint8Array,
): void {
  const described = {
    sha256: sha256Hex(snapshot),
    sha512: createHash('sha512').update(snapshot).digest('hex'),
    length: snapshot.byteLength,
  }
  recordPayload(holder, gun, root, timestampOf(described, timestamp.version, timestamp.expiresAt))
}

function unverifiedRoles({ state: { roles } }: ServedRepository, root: Received<RootMetadata>): string[] {
  const tree = new ServedTree(root, roles)
  return [...roles]
    .filter(([name, { isListed }]) => isListed && isTargetsRole(name) && tree.authority(name) !== undefined)
    .map(([name]) => name)
    .filter((name) => !tree.isVerifying(name))
}

function describe({ version, expiresAt }: Issue, bytes: Uint8Array): ServedPair['response']['snapshot'] {
  return { version, sha256: sha256Hex(bytes), expiresAt: expiresAt.toISOString() }
}
