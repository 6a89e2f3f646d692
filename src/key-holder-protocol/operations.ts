// The closed list of typed operations of the key holder: their names, sockets, requests and responses.
// There is no operation that signs bytes chosen by a caller; adding one here is a change of the security design.
import * as z from 'zod'
import {
  base64,
  dropTag,
  evidence,
  files,
  gun,
  HASH_BASE64,
  hex64,
  MAX_PROOF_HASHES,
  MAX_RECORD_BASE64,
  publicKey,
  putTag,
  repositoryState,
  role,
  roleState,
  roleVersion,
  servedPair,
  serverRole,
  signedRole,
  tag,
  text,
  transportKey,
  unlockFile,
  version,
} from './shapes.ts'

/** Changes of one publication: what one tidying of a repository drops. */
const MAX_CHANGES = 5_000

/**
 * The operations. `sockets` says where each is accepted: `service` (the daemon), `operator` (file permissions of the host) or
 * `trust-server` (the embedded trust server).
 * Attachments: `base` operations carry the verified base (every file that `RepositoryVerifier` asked for, by its name).
 */
export const OPERATIONS = {
  /** Health and identity of the key holder. */
  status: {
    sockets: ['service', 'operator', 'trust-server'],
    request: z.strictObject({}),
    response: z.strictObject({
      sealed: z.boolean(),
      uid: z.number().int(),
      pid: z.number().int(),
      version: text(32),
      startedAt: text(32),
      repositories: z.number().int(),
      limitsDigest: hex64,
      /**
       * PKCS#11 tokens of the configuration: `ready`, `unknown` before they were seen, or the code of what is wrong; how many keys in each
       * are to be destroyed. Absent: none.
       */
      tokens: z
        .array(z.strictObject({ uri: text(256), label: text(64), state: text(64), toDestroy: z.number().int().min(0) }))
        .optional(),
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
  /** The public half of a key of this GUN: the one named, or the one that signs now what the role's key signs. */
  'export-public-key': {
    sockets: ['service', 'operator'],
    request: z.strictObject({ gun, role, canonicalKeyId: hex64.optional() }),
    response: z.strictObject({ key: publicKey, tufKeyId: hex64, canonicalKeyId: hex64, pem: text(65_536) }),
  },
  /** Creates a delegation key, in the custody that the limits file says, for a repository that somebody else owns; idempotent per (gun, role). */
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
        .max(MAX_CHANGES),
      files,
    }),
    response: z.strictObject({ roles: z.array(signedRole) }),
  },
  /**
   * Puts the staged keys of a repository (`stage-key`) in the place of those that they were made for, as one publication: base
   * targets with the successors, and every role that they sign, again, with its content unchanged, or restored as by renew-roles. Checks, records and repeats like
   * change-targets. Which keys is the operator's word, not the caller's.
   */
  'replace-keys': {
    sockets: ['service'],
    request: z.strictObject({ publication: text(64), gun, files, evidence }),
    response: z.strictObject({ roles: z.array(signedRole), restored: z.array(role).optional() }),
  },
  /**
   * Signs roles again as they are, with the next version and a new expiry. Checks, records and repeats like change-targets; a role whose
   * expiry would move by less than a month is refused. A role whose version an operator disowned comes with the content of our last
   * published version, which is answered as well (`restored/ROLE`).
   */
  'renew-roles': {
    sockets: ['service'],
    request: z.strictObject({ publication: text(64), gun, roles: z.array(role).min(1).max(64), files, evidence }),
    response: z.strictObject({ roles: z.array(signedRole), restored: z.array(role).optional() }),
  },
  /**
   * Signs targets and delegations that have expired again as they are, with the next version. Checks, records and repeats like
   * change-targets, but for the expiry of targets and delegations of the base; a role that has not expired is refused.
   */
  'repair-roles': {
    sockets: ['service'],
    request: z.strictObject({ publication: text(64), gun, roles: z.array(role).min(1).max(64), files, evidence }),
    response: z.strictObject({ roles: z.array(signedRole), restored: z.array(role).optional() }),
  },
  /**
   * Takes a next root that the root keys signed elsewhere (attachment `next-root`, beside the base) and records it; where it gives base
   * targets other keys, signs targets with those, its content unchanged. Checks, records and repeats like change-targets. The root may
   * change nothing but keys of base roles and its expiry, and has to be signed by enough keys of the pinned root and of its own: a
   * caller without the root keys changes nothing.
   */
  'change-root': {
    sockets: ['service'],
    request: z.strictObject({ publication: text(64), gun, files, evidence }),
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
   * The record of the audit log in which a publication of `change-targets` put or dropped this tag, and the proof that the newest
   * checkpoint has it. Reads only. Nothing else of the log can be read through this socket, and nothing before the publication was signed.
   */
  'prove-inclusion': {
    sockets: ['service'],
    request: z.strictObject({ gun, publication: text(64), tag }),
    response: z.strictObject({
      index: z.number().int().min(0),
      /** The bytes that were logged. */
      record: base64(MAX_RECORD_BASE64),
      leafHash: base64(HASH_BASE64),
      /** RFC 6962, leaf side first. */
      proof: z.array(base64(HASH_BASE64)).max(MAX_PROOF_HASHES),
      checkpoint: text(4096),
      publicKey: text(256),
    }),
  },
  /**
   * Pins the root of a repository that exists already, by certificate key IDs that the operator knows. With `signer` a delegation key is
   * made for it; without, the keys that were imported before have to be enough, and at least one has to be listed. Attachments: the
   * complete published state, by the names that `RepositoryVerifier` asks for. Targets and delegations may have expired.
   */
  'pin-repository': {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      certificateKeyIds: z.array(hex64).min(1).max(8),
      signer: z
        .string()
        .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/)
        .optional(),
      keyType: z.enum(['ecdsa', 'ed25519', 'rsa']).default('ecdsa'),
      files,
      evidence,
    }),
    /** The key of the signer, where one is named, and its signature over `adoptionMessage` with a challenge of the key holder's own. */
    response: z.strictObject({
      repository: repositoryState,
      key: publicKey.optional(),
      pem: text(65_536).optional(),
      proof: z.strictObject({ challenge: text(64), method: text(32), signature: text(4096) }).optional(),
    }),
  },
  /**
   * Begins the import of one private key: a one-time key to encrypt it to, and the challenge that it is to sign. Both are forgotten
   * after a few minutes, and with the process.
   */
  'begin-key-import': {
    sockets: ['operator'],
    request: z.strictObject({}),
    response: z.strictObject({
      session: text(64),
      transportKey,
      challenge: base64(HASH_BASE64),
      expiresAt: text(32),
    }),
  },
  /**
   * Takes a private key that was made elsewhere, encrypted as in key-transport.ts, and seals it. For a repository with a pinned root the
   * complete published state comes with it (attachments): it has to list the key for this role, and what is published then with keys of
   * ours, or in roles that only they can sign, is accepted as theirs. Before there is a pin nothing comes with it, and pinning accepts. A key of
   * root that serves another role as well is refused unless `severalRoles` says so. Idempotent: a key that is here is proven
   * again. `proof` is its signature over `keyImportMessage`, made with the sealed key.
   */
  'import-key': {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      role,
      canonicalKeyId: hex64,
      session: text(64),
      sealedKey: text(32_768),
      severalRoles: z.boolean().default(false),
      files,
      evidence,
    }),
    response: z.strictObject({
      state: z.enum(['imported', 'here-already']),
      role,
      keyState: z.enum(['active', 'staged', 'replaced']),
      key: publicKey,
      tufKeyId: hex64,
      canonicalKeyId: hex64,
      proof: z.strictObject({ method: text(32), signature: text(4096) }),
    }),
  },
  /**
   * Makes the key that is to replace the one that signs this delegation, or base targets, now. It signs nothing until `replace-keys` (a
   * delegation) or `change-root` (targets) was published, or the owner of the repository listed it. Idempotent while it is staged.
   */
  'stage-key': {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      role,
      keyType: z.enum(['ecdsa', 'ed25519', 'rsa']).default('ecdsa'),
      /** `sealed`, or the URI of a token that the configuration names; absent: as the limits file says. */
      custody: text(256).optional(),
      reason: text(1024),
      evidence,
    }),
    response: z.strictObject({
      key: publicKey,
      tufKeyId: hex64,
      canonicalKeyId: hex64,
      pem: text(65_536),
      replaces: hex64,
    }),
  },
  /** Destroys the private half of a key that was replaced, also in a token. Idempotent. */
  'retire-key': {
    sockets: ['operator'],
    request: z.strictObject({ gun, canonicalKeyId: hex64, reason: text(1024), evidence }),
    response: repositoryState,
  },
  /**
   * Changes the unlock key: seals the keys of all repositories, and that of the audit log, under the one that the configuration names as
   * the next. No key changes, and signing goes on. All of them or none: where one cannot be opened nothing is changed. Afterwards the
   * old unlock key opens nothing here.
   */
  'rewrap-keys': {
    sockets: ['operator'],
    request: z.strictObject({ reason: text(1024), evidence }),
    /** How many keys of repositories; where the old unlock key came from, and where the new one. */
    response: z.strictObject({ keys: z.number().int().min(0), from: unlockFile.optional(), to: unlockFile }),
  },
  /**
   * Drops every key and the unlock key from memory, once what is under way is finished. Until it is unsealed everything else is refused
   * with KEY_HOLDER_SEALED.
   */
  seal: {
    sockets: ['operator'],
    request: z.strictObject({ reason: text(1024), evidence }),
    /** `already`: it was sealed. */
    response: z.strictObject({ already: z.boolean(), since: text(32) }),
  },
  /**
   * Takes the unlock key, and opens what it is for. `secret` (attachment) is a passphrase, or the 32 bytes of a key; with configuration there is
   * none, and the file that it names is read again. `first`: the key is chosen by this, in a key holder that has none yet.
   */
  unseal: {
    sockets: ['operator'],
    request: z.strictObject({
      with: z.enum(['passphrase', 'key', 'configuration']),
      first: z.boolean().default(false),
      files: z.array(z.literal('secret')).max(1),
      evidence,
    }),
    /** `already`: it was not sealed; else since when it was. */
    response: z.strictObject({ already: z.boolean(), since: text(32) }),
  },
  /**
   * Makes a copy of everything that is here, of one moment, and keeps it for `read-backup`. The keys in it stay sealed. `secrets` is the
   * unlock key, encrypted under the passphrase that the configuration names, never the caller's: without it the copy opens nothing.
   * Attachment `limits.yaml`: the limits file. A copy that was made before is forgotten.
   */
  'begin-backup': {
    sockets: ['operator'],
    request: z.strictObject({ reason: text(1024), evidence }),
    response: z.strictObject({
      session: text(64),
      madeAt: text(32),
      version: text(32),
      /** Of the copy. */
      bytes: z.number().int().min(1),
      sha256: hex64,
      secrets: text(4096),
      passphraseFile: text(4096),
      repositories: z.number().int().min(0),
      keys: z.number().int().min(0),
      /** Keys that are not in the copy, since they cannot leave their tokens. Absent: none. */
      inTokens: z.array(z.strictObject({ label: text(64), keys: z.number().int().min(1) })).optional(),
      /** A checkpoint that the copy leads to: `size` records are in it at least. */
      log: z.strictObject({
        origin: text(256),
        size: z.number().int().min(1),
        publicKey: text(256),
        checkpoint: text(4096),
      }),
      files,
    }),
  },
  /** A part of the copy (attachment `part`), from this byte on. With the last one the copy is forgotten. */
  'read-backup': {
    sockets: ['operator'],
    request: z.strictObject({ session: text(64), offset: z.number().int().min(0) }),
    response: z.strictObject({ isLast: z.boolean(), files }),
  },
  /**
   * The roots that are pinned here, of the named repositories or of all: a bundle (attachment) in the words of pin-bundle.ts, signed with a key of
   * its own, which is made with the first bundle and signs nothing else. Of the caller it has names and a lifetime.
   */
  'export-pins': {
    sockets: ['operator'],
    request: z.strictObject({
      guns: z.array(gun).min(1).max(2000).optional(),
      /** Days after which the bundle is not imported any more; absent: it is for ever. */
      lifetimeDays: z.int().min(1).max(3650).optional(),
      reason: text(1024),
      evidence,
    }),
    response: z.strictObject({
      serial: z.int().positive(),
      madeAt: text(32),
      expiresAt: text(32).optional(),
      /** As verifiers take it, and SHA-256 of its SubjectPublicKeyInfo. */
      publicKey: text(512),
      fingerprint: hex64,
      repositories: z.int().positive(),
      files,
    }),
  },
  /**
   * The root key that was made here, encrypted under the passphrase, in the format of docker and notary (attachment `root.key`). The
   * one operation that gives out a private key by itself. It stays here until `remove-root-key`.
   */
  'export-root-key': {
    sockets: ['operator'],
    request: z.strictObject({ gun, passphrase: text(1024).min(8), reason: text(1024), evidence }),
    response: z.strictObject({ certificatePem: text(65_536), tufKeyId: hex64, canonicalKeyId: hex64, files }),
  },
  /**
   * Destroys the root key that is here, for whoever proves to have it: `proof` is a signature by it over `rootKeyRemovalMessage`. From
   * then on the root is offline.
   */
  'remove-root-key': {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      canonicalKeyId: hex64,
      proof: z.strictObject({ method: text(32), signature: text(4096) }),
      reason: text(1024),
      evidence,
    }),
    response: repositoryState,
  },
  /** Stops all signing for a repository. */
  freeze: {
    sockets: ['operator'],
    request: z.strictObject({ gun, reason: text(1024), evidence }),
    response: repositoryState,
  },
  /**
   * Lets signing go on. `foreign` decides about versions that were signed with our keys, and not here: `accept` takes them for the new truth,
   * also where an earlier drop was not carried out yet; `drop` goes on above them without what they say (`renew-roles`, `replace-keys`), and is
   * refused where there is nothing to drop, or nothing of ours to go back to. Without it those that nothing was decided about are accepted,
   * but not beside a drop that nothing has followed yet, which stays. With `seen` it is refused where others wait than those. The answer
   * names what was decided about; of many the newest, and how many there are besides. The record has them all.
   */
  unfreeze: {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      reason: text(1024),
      evidence,
      foreign: z.enum(['accept', 'drop']).optional(),
      seen: z.array(roleVersion).max(4096).optional(),
    }),
    response: repositoryState.extend({
      accepted: z.array(roleVersion).optional(),
      dropped: z.array(roleVersion).optional(),
      decidedLeftOut: z.int().optional(),
    }),
  },
  /**
   * The public key for the snapshot or timestamp role of a repository that is served here: the one that the accepted root lists,
   * else one that waits for its root, made if need be. With `rotate` always one that no root has listed yet. Idempotent.
   */
  'server-key': {
    sockets: ['trust-server'],
    request: z.strictObject({ gun, role: serverRole, rotate: z.boolean(), evidence }),
    response: z.strictObject({ key: publicKey, keyId: hex64, listed: z.boolean() }),
  },
  /**
   * New files of a served repository. `files` are the roles of the update (root, targets, delegations, and snapshot where the
   * client holds its key); the attachments are the uploaded bytes. Each is verified from the accepted root and must have a version
   * above the last one; then the next snapshot and timestamp are worked out here, recorded and signed. While an update is the
   * latest one, the same files again get the newest pair again (`repeated`).
   */
  'serve-update': {
    sockets: ['trust-server'],
    request: z.strictObject({ gun, files: files.min(1), evidence }),
    response: z.strictObject({ ...servedPair, repeated: z.boolean() }),
  },
  /**
   * The timestamp, or the snapshot and with it the timestamp, once more with the next version and a new expiry; nothing else
   * changes. One that is younger than an hour is given out again instead (`refreshed` false).
   */
  'serve-refresh': {
    sockets: ['trust-server'],
    request: z.strictObject({ gun, role: serverRole }),
    response: z.strictObject({ ...servedPair, refreshed: z.boolean() }),
  },
  /**
   * What is known of a repository, for a trust server that starts. `current` and its attachments as in serve-update, for published
   * ones; `listed` false: known from before, but not in the newest snapshot. `update` is the digest of the latest update:
   * SHA-256 over the lines `<sha256 of file> <role>\n` in the byte order of roles.
   */
  'serve-state': {
    sockets: ['trust-server'],
    request: z.strictObject({ gun }),
    response: z.strictObject({
      state: z.enum(['unknown', 'published', 'deleted']),
      roles: z.array(
        z.strictObject({ role, version, sha256: hex64, length: z.number().int().min(1), listed: z.boolean() }),
      ),
      update: hex64.optional(),
      current: z.strictObject(servedPair).optional(),
    }),
  },
  /** Ends a served repository; true where there was one. Versions, keys and the accepted root are kept. */
  'serve-delete': {
    sockets: ['trust-server'],
    request: z.strictObject({ gun, evidence }),
    response: z.strictObject({ deleted: z.boolean() }),
  },
  /**
   * Lets a deleted repository begin again, once, with a root that the old root's keys did not sign. `go-on`: every version above
   * the old ones all the same. `start-again`: root and targets roles may begin with any version, as stock clients do; whoever has
   * the old state in a cache must remove it, and files that were published before are refused. Snapshot and timestamp never start again.
   * With `certificateKeyIds` the new root may list these certificates only: without, whoever publishes first has the name.
   */
  'permit-recreation': {
    sockets: ['operator'],
    request: z.strictObject({
      gun,
      versions: z.enum(['go-on', 'start-again']),
      certificateKeyIds: z.array(hex64).min(1).max(8).optional(),
      reason: text(1024),
      evidence,
    }),
    response: z.strictObject({}),
  },
} as const satisfies Record<string, OperationShape>

interface OperationShape {
  readonly sockets: readonly SocketName[]
  readonly request: z.ZodType
  readonly response: z.ZodType
}

/** Which of the three Unix sockets a caller came through. */
export type SocketName = 'service' | 'operator' | 'trust-server'

export type OperationName = keyof typeof OPERATIONS
export type OperationRequest<N extends OperationName> = z.output<(typeof OPERATIONS)[N]['request']>
export type OperationInput<N extends OperationName> = z.input<(typeof OPERATIONS)[N]['request']>
export type OperationResponse<N extends OperationName> = z.output<(typeof OPERATIONS)[N]['response']>

/** Bytes that travel beside a request or response, by name. */
export type Attachments = ReadonlyMap<string, Uint8Array>

export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(OPERATIONS, name)
}
