// What changes of tags and of keys share: a publication is recorded once, and asked for again it gives the same bytes.
import { sha256Hex, type Gun, type RoleName } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import { rememberBase, type Base } from './base.ts'
import type { PlannedRole } from './change-plan.ts'
import type { Holder } from './holder.ts'
import type { Payload } from './payloads.ts'
import { signPayloads, type SignedFile } from './signing.ts'

type EvidenceInput = OperationRequest<'replace-keys'>['evidence']

export interface PublicationName {
  readonly gun: Gun
  /** The caller's idempotency key behind the name of the operation, so that two operations never meet. */
  readonly id: string
  /** What makes two calls the same. */
  readonly requestDigest: string
}

/** What makes two calls the same: what was asked, and the files that came with it. Texts are JSON strings, so nothing runs together. */
export function requestDigest(asked: readonly unknown[], attachments: ReadonlyMap<string, Uint8Array>): string {
  const base = [...attachments].map(([name, bytes]) => [name, sha256Hex(bytes)]).sort()
  return sha256Hex(Buffer.from(JSON.stringify([...asked, base])))
}

/** Texts of evidence, in a fixed order. */
export function evidenceParts({ request, principal, decision, origin }: EvidenceInput): readonly unknown[] {
  return [request, principal, decision ?? null, origin ?? null]
}

/** Signed files as every publication answers them. */
export interface SignedAnswer {
  readonly response: { readonly roles: { role: string; version: number; sha256: string }[] }
  readonly attachments: ReadonlyMap<string, Uint8Array>
}

/** The same of an operation that may go back to earlier versions. */
export interface RestoringAnswer extends SignedAnswer {
  readonly response: SignedAnswer['response'] & { restored?: string[] }
}

export function signedAnswer(files: readonly SignedFile[]): SignedAnswer {
  return {
    response: { roles: files.map(({ role, version, sha256 }) => ({ role, version, sha256 })) },
    attachments: new Map(files.map(({ role, bytes }) => [role, bytes])),
  }
}

/** With the earlier version that each role went back to as it was recorded, whatever was decided later, for whoever wants to check that. */
export function restoringAnswer(holder: Holder, gun: Gun, files: readonly SignedFile[]): RestoringAnswer {
  const { response, attachments } = signedAnswer(files)
  const restored = files.flatMap(({ role, version }) => {
    const { restoredVersion } = holder.payloads.get(gun, role, version)
    return restoredVersion === undefined ? [] : [[role, formerFile(holder, gun, role, restoredVersion)] as const]
  })
  return {
    response: { ...response, ...(restored.length > 0 && { restored: restored.map(([role]) => role) }) },
    attachments: new Map([...attachments, ...restored.map(([role, bytes]) => [`restored/${role}`, bytes] as const)]),
  }
}

function formerFile(holder: Holder, gun: Gun, role: RoleName, version: number): Uint8Array {
  const { file } = holder.payloads.get(gun, role, version)
  if (file !== undefined) return file
  throw new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'The file of a restored version is missing.', {
    gun,
    role,
    version,
  })
}

/**
 * The files of a publication that was recorded before; undefined for a new one.
 * @throws KeyHolderError PUBLICATION_REPLAYED where another request had this name
 */
export async function repeatedFiles(
  holder: Holder,
  { gun, id, requestDigest }: PublicationName,
): Promise<readonly SignedFile[] | undefined> {
  const repeated = holder.payloads.publication(id)
  if (repeated === undefined) return undefined
  if (repeated.requestDigest !== requestDigest) {
    throw new KeyHolderError('PUBLICATION_REPLAYED', 'This publication was used for another request.', {
      gun,
      publication: id,
    })
  }
  return signPayloads(holder, holder.payloads.ofPublication(gun, id))
}

/** The roles of a publication and what it stands on, as the audit log names them. */
export function recordedRoles(
  { repository }: Base,
  planned: readonly PlannedRole[],
  payloads: readonly Payload[],
): { readonly roles: readonly object[]; readonly base: object } {
  const { root, timestamp, snapshot } = repository
  return {
    roles: payloads.map(({ role, version, messageSha256, restoredVersion }) => ({
      role,
      baseVersion: planned.find(({ unsigned }) => unsigned.role === role)?.baseVersion ?? 0,
      version,
      payloadSha256: messageSha256,
      ...(restoredVersion !== undefined && { restoredVersion }),
    })),
    base: { root: root.sha256, timestamp: timestamp.sha256, snapshot: snapshot.sha256 },
  }
}

/** Exact bytes and reason of every version, and what the base teaches; call inside the transaction that records them. */
export function recordPublication(
  holder: Holder,
  { gun, id, requestDigest }: PublicationName,
  o: {
    readonly base: Base
    readonly roles: readonly RoleName[]
    readonly payloads: readonly Payload[]
    readonly reason: unknown
  },
): void {
  rememberBase(holder, gun, o.base)
  holder.payloads.insertPublication(id, gun, requestDigest, o.roles)
  for (const payload of o.payloads) {
    holder.payloads.insert(payload, JSON.stringify(o.reason), holder.now())
    holder.versions.raiseSigned(gun, payload.role, { version: payload.version, sha256: payload.messageSha256 })
  }
}
