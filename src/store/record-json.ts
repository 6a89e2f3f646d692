// Records as JSON text in the database, and back. Reading checks every shape: a damaged row is an error, never a guess.
import { Buffer } from 'node:buffer'
import {
  type Gun,
  parseGun,
  parseRoleName,
  parseTag,
  parseTufKeyId,
  type RoleName,
  type TargetName,
} from '@countersign/tuf'
import * as z from 'zod'
import { parsePattern } from '../domain/pattern.ts'
import type { TokenWorkload } from '../domain/ports.ts'
import type { Grant } from '../domain/principal.ts'
import { GRANT_KINDS } from '../domain/principal.ts'
import type { Publication } from '../domain/publication.ts'
import type { ImageRecord, Submitter } from '../domain/signing-request.ts'
import { StoreError } from './errors.ts'

const hex64 = z.string().regex(/^[0-9a-f]{64}$/)
const time = z.iso.datetime({ precision: 3 }).transform((text) => new Date(text))
const gun = z.string().transform((text): Gun => parseGun(text))
const tag = z.string().transform((text): TargetName => parseTag(text))
const role = z.string().transform((text): RoleName => parseRoleName(text))

const subject = z.strictObject({
  reference: z.string(),
  gun,
  tag,
  sha256: hex64.exactOptional(),
  length: z.number().int().exactOptional(),
  mediaType: z.string().exactOptional(),
  promotedFrom: z.strictObject({ gun, tag, sha256: hex64, role, version: z.number().int() }).exactOptional(),
  pruned: z.strictObject({ reason: z.enum(['gone', 'old']), plannedAt: time }).exactOptional(),
})
const repositorySubject = z.strictObject({
  reference: z.string(),
  gun,
  nextRoot: z.base64().exactOptional(),
  moveTo: z.string().exactOptional(),
})
const decision = z.strictObject({
  outcome: z.enum(['allow', 'deny']),
  reasons: z.array(z.strictObject({ rule: z.string(), code: z.string(), subject: z.string() })),
  policyDigest: z.string(),
  at: time,
  project: z.string().exactOptional(),
  policy: z.string().exactOptional(),
  standing: hex64.exactOptional(),
  approvals: z
    .strictObject({
      required: z.number().int().min(1),
      from: z.array(z.string()),
      areSigned: z.literal(true).exactOptional(),
      expiresAt: time,
    })
    .exactOptional(),
})
const approval = z.strictObject({
  person: z.string(),
  approver: z.string(),
  at: time,
  digest: hex64,
  comment: z.string().exactOptional(),
  signed: z.strictObject({ expiresAt: z.string(), signature: z.string() }).exactOptional(),
})
const denial = z.strictObject({ person: z.string(), approver: z.string(), reason: z.string() })
const origin = z.strictObject({
  provider: z.enum(['github', 'gitlab', 'other']),
  issuer: z.string(),
  repository: z.string().exactOptional(),
  repositoryId: z.string().exactOptional(),
  ownerId: z.string().exactOptional(),
  ref: z.string().exactOptional(),
  isRefProtected: z.boolean().exactOptional(),
  workflow: z.string().exactOptional(),
  event: z.string().exactOptional(),
  environment: z.string().exactOptional(),
  runner: z.enum(['hosted', 'self-hosted']).exactOptional(),
  attempt: z.number().int().exactOptional(),
  commit: z.string().exactOptional(),
  run: z.string().exactOptional(),
})
const submitter = z.strictObject({
  groups: z.array(z.string()).exactOptional(),
  actors: z.array(z.string()).exactOptional(),
  origin: origin.exactOptional(),
})
const roleVersion = z.strictObject({ role, version: z.number().int(), sha256: hex64 })

const common = { subject: z.union([subject, repositorySubject]), at: time }
const decided = {
  ...common,
  decision,
  approvals: z.array(approval).exactOptional(),
  conflicts: z.number().int(),
  contendedSince: time.exactOptional(),
  heldUpSince: time.exactOptional(),
}
const inPublication = { ...decided, publication: z.string() }

const imageRecord = z.discriminatedUnion('status', [
  z.strictObject({ status: z.literal('submitted'), ...common }),
  z.strictObject({ status: z.literal('awaiting-approval'), ...decided }),
  z.strictObject({ status: z.literal('approved'), ...decided }),
  z.strictObject({ status: z.literal('intended'), ...inPublication }),
  z.strictObject({ status: z.literal('signed'), ...inPublication }),
  z.strictObject({ status: z.literal('publishing'), ...inPublication }),
  z.strictObject({
    status: z.literal('published'),
    ...decided,
    publication: z.string().exactOptional(),
    roles: z.array(roleVersion),
    unchanged: z.boolean(),
  }),
  z.strictObject({ status: z.literal('denied'), ...common, decision, denial: denial.exactOptional() }),
  z.strictObject({ status: z.literal('withdrawn'), ...common, by: z.string().exactOptional() }),
  z.strictObject({ status: z.literal('expired'), ...common }),
  z.strictObject({
    status: z.literal('failed'),
    ...common,
    error: z.strictObject({ code: z.string(), detail: z.string() }),
  }),
])

const evidence = z.strictObject({
  request: z.string(),
  principal: z.string(),
  decision: z.string().exactOptional(),
  origin: z.string().exactOptional(),
})
const change = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('put'), name: tag, sha256: hex64, length: z.number().int() }),
  z.strictObject({ kind: z.literal('drop'), name: tag }),
])
const signedApproval = z.strictObject({ approver: z.string(), expiresAt: z.string(), signature: z.string() })
const keyId = hex64.transform((text) => parseTufKeyId(text))
const publication = z.strictObject({
  kind: z.enum(['sign', 'unsign', 'rotate', 'renew', 'repair', 'root', 'move']),
  roles: z.array(role),
  changes: z.array(z.strictObject({ change, evidence, approvals: z.array(signedApproval).exactOptional() })),
  keys: z.strictObject({ changes: z.array(z.strictObject({ from: keyId, to: keyId })), evidence }).exactOptional(),
  renewal: z.strictObject({ until: time, evidence }).exactOptional(),
  repair: z.strictObject({ evidence }).exactOptional(),
  root: z.strictObject({ file: z.base64(), evidence, moveTo: z.string().exactOptional() }).exactOptional(),
  base: z.array(roleVersion),
})

const grants = z.array(
  z.strictObject({
    grant: z.enum(GRANT_KINDS),
    repositories: z.array(z.string().transform((text) => parsePattern(text))),
  }),
)

const groups = z.array(z.string())

const workload = z.strictObject({
  id: z.string(),
  issuer: z.string(),
  actor: z.string().exactOptional(),
  origin,
})

export function encodeRecord(value: object): string {
  return JSON.stringify(value)
}

/** @throws StoreError STORE_DAMAGED, like all readers below */
export function decodeImageRecord(text: string): ImageRecord {
  return decode(imageRecord, text)
}

export function decodePublication(
  text: string,
): Pick<Publication, 'kind' | 'roles' | 'changes' | 'keys' | 'renewal' | 'repair' | 'root' | 'base'> {
  return decode(publication, text)
}

/** What a submitter is besides id and name. */
export function decodeSubmitter(text: string): Pick<Submitter, 'groups' | 'actors' | 'origin'> {
  return decode(submitter, text)
}

export function decodeGrants(text: string): readonly Grant[] {
  return decode(grants, text)
}

export function decodeGroups(text: string): readonly string[] {
  return decode(groups, text)
}

export function decodeWorkload(text: string): TokenWorkload {
  return decode(workload, text)
}

/** Reads JSON text by a schema. */
export function decode<T>(schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new StoreError(
      'STORE_DAMAGED',
      'A row of the database cannot be read.',
      { bytes: Buffer.byteLength(text) },
      { cause },
    )
  }
}
