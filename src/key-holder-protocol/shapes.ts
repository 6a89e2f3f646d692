// What the requests and responses of the operations are made of: names, keys, states and files as they travel.
import * as z from 'zod'
import { APPROVER_SIGNATURE } from '../approval-statement.ts'

export const text = (max: number) => z.string().min(1).max(max)
export const gun = text(255)
export const role = text(255)
export const tag = z.string().regex(/^\w[\w.-]{0,127}$/)
export const hex64 = z.string().regex(/^[0-9a-f]{64}$/)
export const base64 = (max: number) => z.base64().min(1).max(max)
/** Characters of a SHA-256 in base64. */
export const HASH_BASE64 = 44
/** Characters of the largest entry of the log (65,535 bytes) in base64. */
export const MAX_RECORD_BASE64 = 87_380
/** Hashes in the inclusion proof of the largest log that a checkpoint can speak of. */
export const MAX_PROOF_HASHES = 53
export const version = z.number().int().min(1).max(2_147_483_647)

/** Who asked and why; recorded in the audit log beside every signature. Opaque to the key holder except for its size. */
export const evidence = z.strictObject({
  request: text(64),
  principal: text(256),
  decision: z.string().max(256).optional(),
  origin: z.string().max(1024).optional(),
})

/** By a key that the limits file names, over the change in the words of approval-statement.ts. */
const signedApproval = z.strictObject({
  approver: text(64),
  expiresAt: z.iso.datetime({ precision: 3 }),
  /** Ed25519, base64. */
  signature: z.string().regex(APPROVER_SIGNATURE),
})
const approvals = z.array(signedApproval).min(1).max(8).optional()

export const putTag = z.strictObject({
  kind: z.literal('put'),
  tag,
  sha256: hex64,
  length: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  evidence,
  approvals,
})
export const dropTag = z.strictObject({ kind: z.literal('drop'), tag, evidence, approvals })

/** A file of the verified base or of a result; its bytes travel as the attachment of the same name. */
const fileName = z.string().regex(/^(?!.*\.\.)[a-z0-9][-a-z0-9_/.]{0,399}$/)

export const publicKey = z.strictObject({
  keytype: text(32),
  keyval: z.strictObject({ private: z.null(), public: text(65_536) }),
})

/** Base64url of a coordinate of P-256. */
const coordinate = z.string().regex(/^[A-Za-z0-9_-]{43}$/)

/** A one-time public key of the key holder, as a JWK (RFC 7518, 6.2). */
export const transportKey = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: coordinate,
  y: coordinate,
})

const keyDescription = z.strictObject({
  gun,
  role,
  keyType: text(32),
  tufKeyId: hex64,
  canonicalKeyId: hex64,
  /** In words. */
  custody: text(128),
  createdAt: text(32),
  /** Since when it signs. Absent: not yet. */
  activeSince: text(32).optional(),
  /** Absent: nothing was signed with it yet. */
  lastUsedAt: text(32).optional(),
  /** `staged`: made to replace another key, listed nowhere yet. `replaced`: no longer listed. `retired`: destroyed. */
  state: z.enum(['active', 'staged', 'replaced', 'retired']),
  /** Canonical ID of the key that it was made to replace. */
  replaces: hex64.optional(),
})

export const roleState = z.strictObject({
  role,
  highestSeen: z.strictObject({ version, sha256: hex64 }).optional(),
  highestSigned: z.strictObject({ version, sha256: hex64 }).optional(),
})

export const roleVersion = z.strictObject({ role, version })

export const repositoryState = z.strictObject({
  gun,
  state: z.enum(['awaiting-root-signature', 'ready', 'frozen']),
  frozenBecause: z.string().optional(),
  pinnedRoot: z.strictObject({ version, sha256: hex64, certificateKeyIds: z.array(hex64) }).optional(),
  rootCustody: z.enum(['online', 'offline', 'foreign']),
  keys: z.array(keyDescription),
  roles: z.array(roleState),
  /** Roles whose version an operator disowned, and whose next one goes back. Absent: none. */
  disowned: z.array(role).optional(),
  /**
   * Versions that a key of here signed elsewhere: that nothing was decided about, or dropped while nothing of ours has followed yet. Of many
   * the newest, and how many there are besides: an answer has an end, whatever a thief publishes.
   */
  foreign: z.array(roleVersion.extend({ decision: z.enum(['none', 'dropped']) })).optional(),
  foreignLeftOut: z.int().optional(),
  /** How long what is signed here lives, in days. Absent where the limits file allows nothing for this repository. */
  lifetimeDays: z.strictObject({ root: z.int(), targets: z.int(), delegations: z.int(), snapshot: z.int() }).optional(),
})

/** Signed bytes of one role; the file itself is the attachment named `role`. */
export const signedRole = z.strictObject({ role, version, sha256: hex64 })

/** A file in a response or request: every listed name must have an attachment with that name, and no other. */
export const files = z.array(fileName).max(512)

/** A file of the key holder's host; its content travels nowhere. */
export const unlockFile = z.strictObject({ kind: z.enum(['key-file', 'passphrase-file']), path: text(4096) })

/** The roles whose keys a trust server holds. */
export const serverRole = z.enum(['snapshot', 'timestamp'])

/** The newest version of a role that this key holder signed for the trust server, or took from the client who holds its key. */
const servedRole = z.strictObject({ version, sha256: hex64, expiresAt: text(32) })

/**
 * The newest snapshot and timestamp of a served repository. Attachments: `timestamp`, and `snapshot` where `snapshotHeldBy` is
 * server; a client's snapshot is the caller's own upload.
 */
export const servedPair = {
  snapshot: servedRole,
  snapshotHeldBy: z.enum(['server', 'client']),
  timestamp: servedRole,
  /** Published delegations whose newest file lacks signatures that the newest keys ask for: clients pass over them. */
  unverified: z.array(role),
}
