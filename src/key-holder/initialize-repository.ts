// Makes a new repository: its keys, the first root, and the first targets files. Idempotent by the digest of what was asked.
import { randomBytes, type KeyObject } from 'node:crypto'
import {
  certificateKey,
  createRootCertificate,
  keyObjectOf,
  newRoot,
  newTargets,
  parseGun,
  parsePublicKey,
  parseRoleName,
  RELEASES,
  ROOT,
  ROOT_LIFETIME_MS,
  sha256Hex,
  TARGETS,
  TufError,
  verifyRootCertificate,
  type Gun,
  type JsonObject,
  type JsonValue,
  type PublicKey,
  type RoleName,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationRequest } from '../key-holder-protocol/operations.ts'
import type { NewKey } from './custody.ts'
import { makeKey, type NewSealedKey } from './file-custodian.ts'
import { commitWithKeys, internal, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { checkKeyRate, countKeys, recordOfKey } from './key-creation.ts'
import { lifetimeOf, limitsFor } from './limits.ts'
import type { Payload } from './payloads.ts'
import { refuseFrozen, type Repository } from './repositories.ts'
import { FIRST_PUBLICATION, pinOnlineRoot, signFirstFiles } from './first-files.ts'

type InitializeRequest = OperationRequest<'initialize-repository'>

/** Clocks of clients may be a little behind ours. */
const NOT_BEFORE_MARGIN_MS = 3_600_000

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function initializeRepository(
  holder: Holder,
  { request, socket }: Call<'initialize-repository'>,
): Promise<Answer<'initialize-repository'>> {
  // 1. Everything that needs no key. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const requestDigest = digestOf(request)
  const existing = holder.repositories.find(gun)
  if (existing !== undefined) return resume(holder, existing, requestDigest)
  const limits = limitsFor(holder.limits, gun)
  if (!limits.initialize) {
    throw new KeyHolderError('LIMIT_INITIALIZE', 'The limits file does not allow new repositories here.', { gun })
  }
  const signerRole = request.signer === null ? null : signerRoleOf(request.signer, gun)
  const snapshotKeys = [publicKeyIn(request.snapshotKey)]
  const timestampKeys = [publicKeyIn(request.timestampKey)]
  const offlineKey =
    request.root.kind === 'offline' ? offlineRootKey(holder, gun, request.root.certificatePem) : undefined
  const count = 1 + (signerRole === null ? 0 : 1) + (offlineKey === undefined ? 1 : 0)
  checkKeyRate(holder, gun, count)
  holder.step('checked')

  // 2. The keys, in memory; nothing is stored. A crash forgets them.
  const createdAt = holder.now().toISOString()
  const { keyType } = request
  const roles = signerRole === null ? [TARGETS] : [TARGETS, signerRole]
  const [targetsKey, delegationKey] = await holder.custody.makeAll(
    roles.map((role) => ({ gun, role, keyType, createdAt, custody: limits.custody })),
  )
  if (targetsKey === undefined) throw internal('There is no targets key.')
  const online = offlineKey === undefined ? await createOnlineRoot(holder, gun, createdAt) : undefined
  const rootKey = offlineKey ?? online?.certificate
  if (rootKey === undefined) throw internal('There is no root key.')
  holder.step('keys-made')

  // 3. The first metadata, in memory. A crash forgets it.
  const now = holder.now().getTime()
  const root = newRoot({
    version: 1,
    expiresAt: wholeSeconds(now + lifetimeOf(limits, ROOT)),
    rootKeys: [rootKey],
    targetsKeys: [targetsKey.publicKey],
    snapshotKeys,
    timestampKeys,
  })
  const rootPayload = payloadOf(gun, root, online === undefined ? [] : [[online.key, rootKey]])
  const others = firstTargets(gun, (role) => wholeSeconds(now + lifetimeOf(limits, role)), {
    targetsKey,
    signerRole,
    delegationKey,
  })
  const keys = [targetsKey, delegationKey, online?.key].filter((key) => key !== undefined)
  const payloads = [rootPayload, ...others]

  // 4. One transaction for keys, sealed, payloads and records; 5. the log. A crash after it leaves what the same request resumes.
  const records: AuditRecord[] = [
    {
      kind: 'repository-initialized',
      by: socket,
      gun,
      rootCustody: online === undefined ? 'offline' : 'online',
      rootKeyIds: [rootKey.tufKeyId],
      roles: payloads.map(({ role, version, messageSha256 }) => ({ role, version, payloadSha256: messageSha256 })),
      evidence: request.evidence,
    },
    ...keys.map((key) => recordOfKey(key, socket, request.evidence)),
  ]
  commitWithKeys(holder, records, keys, () => {
    const rootCustody = online === undefined ? 'offline' : 'online'
    holder.repositories.insert({ gun, rootCustody, requestDigest, signer: request.signer, createdAt })
    for (const payload of payloads) {
      holder.payloads.insert(payload, JSON.stringify(request.evidence), holder.now())
      holder.versions.raiseSigned(gun, payload.role, { version: payload.version, sha256: payload.messageSha256 })
    }
    countKeys(holder, count)
  })

  // 6. Sign, store and pin where the root key is here; else hand out the bytes to be signed elsewhere. A crash before or after leaves
  //    what the same request resumes: payloads, a pinned root, or files.
  return resume(holder, holder.repositories.get(gun), requestDigest)
}

/** Goes on where an earlier call with the same input stopped; gives the same answer again where it did not. */
async function resume(
  holder: Holder,
  repository: Repository,
  requestDigest: string,
): Promise<Answer<'initialize-repository'>> {
  const { gun } = repository
  if (repository.requestDigest !== requestDigest) {
    throw new KeyHolderError('GUN_ALREADY_MANAGED', 'The key holder has this repository already.', { gun })
  }
  refuseFrozen(repository)
  if (repository.state === 'awaiting-root-signature' && repository.rootCustody === 'offline') {
    // The bytes leave only when their record is published.
    holder.log.publish()
    const root = holder.payloads.get(gun, ROOT, 1)
    return {
      response: { state: 'awaiting-root-signature', rootKeyIds: rootKeyIdsOf(root.message), files: [ROOT_TO_SIGN] },
      attachments: new Map([[ROOT_TO_SIGN, root.message]]),
    }
  }
  if (repository.state === 'awaiting-root-signature') await pinOnlineRoot(holder, gun)
  return signFirstFiles(holder, gun)
}

/** Name of the attachment with the root's canonical bytes. */
const ROOT_TO_SIGN = 'root.signed'

/** The key IDs that a root's message lists for its own role. */
function rootKeyIdsOf(message: Uint8Array): string[] {
  const { roles } = JSON.parse(Buffer.from(message).toString('utf8')) as { roles: { root: { keyids: string[] } } }
  return roles.root.keyids
}

/** @throws KeyHolderError ROOT_CERTIFICATE_INVALID */
function offlineRootKey(holder: Holder, gun: Gun, pem: string): PublicKey {
  try {
    const key = certificateKey(pem)
    verifyRootCertificate(key, gun, holder.now())
    return key
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    throw new KeyHolderError(
      'ROOT_CERTIFICATE_INVALID',
      `This certificate cannot stand for the repository: ${cause.message}.`,
      { gun, reason: cause.code },
      { cause },
    )
  }
}

/** Root keys of stock clients are P-256. One that is made here is meant to leave, so it is sealed, never in a token. */
async function createOnlineRoot(
  holder: Holder,
  gun: Gun,
  createdAt: string,
): Promise<{ readonly key: NewSealedKey; readonly certificate: PublicKey }> {
  const key = await makeKey(gun, ROOT, 'ecdsa', createdAt)
  return { key, certificate: certificateKey(selfSigned(holder, gun, key.privateKey)) }
}

function selfSigned(holder: Holder, gun: Gun, privateKey: KeyObject): string {
  const now = holder.now().getTime()
  const serialNumber = randomBytes(16)
  // Positive, not zero and of full length, so that its encoding is the shortest one (X.690, 8.3).
  serialNumber[0] = ((serialNumber[0] ?? 0) & 0x7f) | 0x40
  return createRootCertificate({
    commonName: gun,
    notBefore: wholeSeconds(now - NOT_BEFORE_MARGIN_MS),
    notAfter: wholeSeconds(now + ROOT_LIFETIME_MS),
    serialNumber,
    privateKey,
  })
}

/** Empty files: the base targets with both delegations, and the delegations themselves. */
function firstTargets(
  gun: Gun,
  endOf: (role: RoleName) => Date,
  o: { targetsKey: NewKey; signerRole: RoleName | null; delegationKey: NewKey | undefined },
): Payload[] {
  const { targetsKey, signerRole, delegationKey } = o
  const expiresAt = endOf(TARGETS)
  if (signerRole === null || delegationKey === undefined) {
    return [payloadOf(gun, newTargets({ role: TARGETS, version: 1, expiresAt }), [[targetsKey, targetsKey.publicKey]])]
  }
  const names = [signerRole, RELEASES].sort()
  const keys = [delegationKey.publicKey]
  const delegations = names.map((name) => ({ name, keys, paths: [''], threshold: 1 }))
  return [
    payloadOf(gun, newTargets({ role: TARGETS, version: 1, expiresAt, delegations }), [
      [targetsKey, targetsKey.publicKey],
    ]),
    ...names.map((role) =>
      payloadOf(gun, newTargets({ role, version: 1, expiresAt: endOf(role) }), [
        [delegationKey, delegationKey.publicKey],
      ]),
    ),
  ]
}

/** `listed` is the key as the role lists it: a certificate for root. */
function payloadOf(
  gun: Gun,
  { role, version, message }: UnsignedMetadata,
  signers: readonly (readonly [key: NewKey, listed: PublicKey])[],
): Payload {
  return {
    gun,
    role,
    version,
    publication: FIRST_PUBLICATION,
    message: Buffer.from(message),
    messageSha256: sha256Hex(message),
    signingKeys: signers.map(([{ publicKey }, listed]) => [publicKey.canonicalKeyId, listed.tufKeyId] as const),
  }
}

function signerRoleOf(signer: string, gun: Gun): RoleName {
  const role = parseRoleName(`targets/${signer}`)
  if (role === RELEASES) {
    throw new KeyHolderError('CHANGE_MALFORMED', 'No signer can be called releases.', { gun, signer })
  }
  return role
}

/** Only a key that verifies something, or the repository would be born dead. @throws TufError KEY_* */
function publicKeyIn({ keytype, keyval }: InitializeRequest['snapshotKey']): PublicKey {
  const members: JsonObject = new Map([['public', keyval.public]])
  const key = parsePublicKey(
    new Map<string, JsonValue>([
      ['keytype', keytype],
      ['keyval', members],
    ]),
  )
  keyObjectOf(key)
  return key
}

/** Everything asked for but the evidence, which names the call and not the repository. */
function digestOf({ gun, root, snapshotKey, timestampKey, signer, keyType }: InitializeRequest): string {
  const parts = [
    gun,
    root.kind,
    root.kind === 'offline' ? root.certificatePem : null,
    [snapshotKey.keytype, snapshotKey.keyval.public],
    [timestampKey.keytype, timestampKey.keyval.public],
    signer,
    keyType,
  ]
  return sha256Hex(Buffer.from(JSON.stringify(parts)))
}

function wholeSeconds(milliseconds: number): Date {
  return new Date(Math.floor(milliseconds / 1000) * 1000)
}
