// The closed list of typed operations of the key holder: their names, sockets, requests and responses.
// There is no operation that signs bytes chosen by a caller; adding one here is a change of the security design.
import { z } from 'zod'

const text = (max: number) => z.string().min(1).max(max)
const gun = text(255)
const role = text(255)
const tag = z.string().regex(/^\w[\w.-]{0,127}$/)
const hex64 = z.string().regex(/^[0-9a-f]{64}$/)
const version = z.number().int().min(1).max(2_147_483_647)

/** Who asked and why; recorded in the audit log beside every signature. Opaque to the key holder except for its size. */
const evidence = z.strictObject({
  request: text(64),
  principal: text(256),
  decision: z.string().max(256).optional(),
  origin: z.string().max(1024).optional(),
})

const putTag = z.strictObject({
  kind: z.literal('put'),
  tag,
  sha256: hex64,
  length: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  evidence,
})
const dropTag = z.strictObject({ kind: z.literal('drop'), tag, evidence })

/** A file of the verified base or of a result; its bytes travel as the attachment of the same name. */
const fileName = z.string().regex(/^(?!.*\.\.)[a-z0-9][-a-z0-9_/.]{0,399}$/)

const publicKey = z.strictObject({
  keytype: text(32),
  keyval: z.strictObject({ private: z.null(), public: text(65_536) }),
})

const keyDescription = z.strictObject({
  gun,
  role,
  keyType: text(32),
  tufKeyId: hex64,
  canonicalKeyId: hex64,
  custody: text(64),
  createdAt: text(32),
})

const roleState = z.strictObject({
  role,
  highestSeen: z.strictObject({ version, sha256: hex64 }).optional(),
  highestSigned: z.strictObject({ version, sha256: hex64 }).optional(),
})

const repositoryState = z.strictObject({
  gun,
  state: z.enum(['awaiting-root-signature', 'ready', 'frozen']),
  frozenBecause: z.string().optional(),
  pinnedRoot: z.strictObject({ version, sha256: hex64, certificateKeyIds: z.array(hex64) }).optional(),
  rootCustody: z.enum(['online', 'offline', 'foreign']),
  keys: z.array(keyDescription),
  roles: z.array(roleState),
})

/** Signed bytes of one role; the file itself is the attachment named `role`. */
const signedRole = z.strictObject({ role, version, sha256: hex64 })

/** A file in a response or request: every listed name must have an attachment with that name, and no other. */
const files = z.array(fileName).max(512)

/**
 * The operations. `sockets` says where each is accepted: `service` (the daemon) or `operator` (file permissions of the host).
 * Attachments: `base` operations carry the verified base (every file that `RepositoryVerifier` asked for, by its name).
 */
export const OPERATIONS = {
  /** Health and identity of the key holder. */
  status: {
    sockets: ['service', 'operator'],
    request: z.strictObject({}),
    response: z.strictObject({
      sealed: z.boolean(),
      uid: z.number().int(),
      pid: z.number().int(),
      version: text(32),
      startedAt: text(32),
      repositories: z.number().int(),
      limitsDigest: hex64,
      log: z.strictObject({
        origin: text(256),
        size: z.number().int(),
        rootHash: text(64),
        publicKey: text(256),
        checkpoint: text(4096),
      }),
    }),
  },
  /** Pins, keys, highest versions of one repository. */
  'repository-status': {
    sockets: ['service', 'operator'],
    request: z.strictObject({ gun }),
    response: repositoryState,
  },
  /** The public half of a key of this GUN. */
  'export-public-key': {
    sockets: ['service', 'operator'],
    request: z.strictObject({ gun, role }),
    response: z.strictObject({ key: publicKey, tufKeyId: hex64, canonicalKeyId: hex64, pem: text(65_536) }),
  },
  /** Creates a sealed delegation key for a repository that somebody else owns; idempotent per (gun, role). */
  'create-delegation-key': {
    sockets: ['service', 'operator'],
    request: z.strictObject({ gun, role, keyType: z.enum(['ecdsa', 'ed25519', 'rsa']).default('ecdsa'), evidence }),
    response: z.strictObject({ key: publicKey, tufKeyId: hex64, canonicalKeyId: hex64, pem: text(65_536) }),
  },
  /**
   * Creates the keys of a new repository and the first root. With `root.kind` online the root key is created here and the
   * response holds the signed files; with offline the response holds the exact root bytes to be signed elsewhere.
   * Idempotent until completed: a repeated call with the same input returns the same files.
   */
  'initialize-repository': {
    sockets: ['service', 'operator'],
    request: z.strictObject({
      gun,
      root: z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('online') }),
        z.strictObject({ kind: z.literal('offline'), certificatePem: text(65_536) }),
      ]),
      snapshotKey: publicKey,
      timestampKey: publicKey,
      /** Signer name: the delegation `targets/<signer>`; null: no delegations, tags stand in `targets`. */
      signer: z
        .string()
        .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/)
        .nullable(),
      keyType: z.enum(['ecdsa', 'ed25519', 'rsa']).default('ecdsa'),
      evidence,
    }),
    /** `state` ready: attachments `root`, `targets`, delegations in `files`. awaiting-root-signature: attachment `root.signed`, the canonical bytes. */
    response: z.strictObject({
      state: z.enum(['awaiting-root-signature', 'ready']),
      rootKeyIds: z.array(hex64),
      files,
    }),
  },
  /** Takes the offline signature over the root bytes of `initialize-repository`, pins that root and signs the first targets files. */
  'complete-initialization': {
    sockets: ['service', 'operator'],
    request: z.strictObject({
      gun,
      signatures: z
        .array(z.strictObject({ keyId: hex64, method: text(32), signature: text(4096) }))
        .min(1)
        .max(8),
      evidence,
    }),
    response: z.strictObject({ state: z.literal('ready'), rootKeyIds: z.array(hex64), files }),
  },
  /**
   * Puts or drops tags in targets roles. Verifies the base (attachments) to the pinned root, refuses what is older than or
   * different from the highest known, computes the next version of each role, records bytes and reason, then signs.
   * `publication` is the caller's idempotency key: the same input again returns the same bytes, other input is refused.
   * Roles in which the changes change nothing are left out of the response.
   */
  'change-targets': {
    sockets: ['service'],
    request: z.strictObject({
      publication: text(64),
      gun,
      roles: z.array(role).min(1).max(16),
      changes: z
        .array(z.discriminatedUnion('kind', [putTag, dropTag]))
        .min(1)
        .max(1000),
      files,
    }),
    response: z.strictObject({ roles: z.array(signedRole) }),
  },
  /** Verifies a read-back state (attachments) to the pinned root and raises the highest versions seen. */
  'observe-repository': {
    sockets: ['service', 'operator'],
    request: z.strictObject({ gun, files }),
    response: z.strictObject({ roles: z.array(roleState) }),
  },
  /** Appends a record of the daemon to the audit log. The key holder marks it as said by the daemon. */
  'append-record': {
    sockets: ['service'],
    request: z.strictObject({
      kind: z
        .string()
        .regex(/^[a-z]+(-[a-z]+)*$/)
        .max(64),
      facts: z.record(z.string().max(64), z.union([z.string().max(4096), z.number(), z.boolean()])),
    }),
    response: z.strictObject({ index: z.number().int() }),
  },
  /**
   * Pins the root of a repository that exists already, by certificate key IDs that the operator knows, and creates a delegation
   * key for it. Attachments: the complete published state, by the names that `RepositoryVerifier` asks for.
   */
  'pin-repository': {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      certificateKeyIds: z.array(hex64).min(1).max(8),
      signer: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/),
      keyType: z.enum(['ecdsa', 'ed25519', 'rsa']).default('ecdsa'),
      files,
      evidence,
    }),
    response: z.strictObject({ repository: repositoryState, key: publicKey, pem: text(65_536) }),
  },
  /** Stops all signing for a repository. */
  freeze: {
    sockets: ['operator'],
    request: z.strictObject({ gun, reason: text(1024), evidence }),
    response: repositoryState,
  },
  /** Lets signing go on, and takes the present highest versions as the new truth. */
  unfreeze: {
    sockets: ['operator'],
    request: z.strictObject({ gun, reason: text(1024), evidence }),
    response: repositoryState,
  },
} as const satisfies Record<string, OperationShape>

interface OperationShape {
  readonly sockets: readonly SocketName[]
  readonly request: z.ZodType
  readonly response: z.ZodType
}

/** Which of the two Unix sockets a caller came through. */
export type SocketName = 'service' | 'operator'

export type OperationName = keyof typeof OPERATIONS
export type OperationRequest<N extends OperationName> = z.output<(typeof OPERATIONS)[N]['request']>
export type OperationInput<N extends OperationName> = z.input<(typeof OPERATIONS)[N]['request']>
export type OperationResponse<N extends OperationName> = z.output<(typeof OPERATIONS)[N]['response']>

/** Bytes that travel beside a request or response, by name. */
export type Attachments = ReadonlyMap<string, Uint8Array>

export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(OPERATIONS, name)
}
