// Takes private keys that were made elsewhere: opened, looked at, sealed like all others, and proven out of their sealed form.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import {
  isDelegationRole,
  parseGun,
  parseRoleName,
  publicKeyOf,
  requireSigningKey,
  ROOT,
  signingRole,
  TARGETS,
  TufError,
  type Gun,
  type PublicKey,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { openInKeyHolder } from '../key-holder-protocol/key-transport.ts'
import { acceptPublished, recordsOf, rememberBase, verifyBase, type Base } from './base.ts'
import type { NewSealedKey } from './file-custodian.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'
import { exportOf } from './key-creation.ts'
import { keyRefOf } from './key-table.ts'
import { limitsFor } from './limits.ts'

/** Bits of an RSA key: above, a signature takes longer than everything else together. */
const MAX_RSA_BITS = 8192

/** See the operation's description in the protocol. */
export function beginKeyImport(holder: Holder): Promise<Answer<'begin-key-import'>> {
  return Promise.resolve({ response: holder.imports.begin(holder.now()) })
}

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function importKey(
  holder: Holder,
  { request, attachments, socket }: Call<'import-key'>,
): Promise<Answer<'import-key'>> {
  // 1. Opens what came. A crash leaves nothing; the session is gone, and the command line begins another.
  const gun = parseGun(request.gun)
  limitsFor(holder.limits, gun)
  const role = importableRole(gun, request.role)
  const { privateKey: transport, challenge } = holder.imports.take(request.session, holder.now())
  const privateKey = await openSealed(request.sealedKey, transport, request.session)
  const publicKey = usablePublicKey(privateKey)
  const { canonicalKeyId, tufKeyId } = publicKey
  if (canonicalKeyId !== request.canonicalKeyId) {
    throw new KeyHolderError('KEY_IMPORT_UNREADABLE', 'The encrypted key is another one than was announced.', {
      gun,
      canonicalKeyId,
    })
  }
  holder.step('checked')

  // 2. What is published, where it can be verified, and the place of the key in it. A crash leaves nothing.
  const base = publishedState(holder, gun, { attachments, socket })
  if (base !== undefined) requireListed(base.repository, role, canonicalKeyId)
  requireOneRole(holder, { gun, role, canonicalKeyId, severalRoles: request.severalRoles, base })
  const existing = holder.keys.ofGun(gun).find((key) => key.publicKey.canonicalKeyId === canonicalKeyId)
  if (existing?.state === 'retired') {
    throw new KeyHolderError('KEY_NOT_IMPORTABLE', 'This key was replaced, and its private half destroyed here.', {
      gun,
      role: existing.role,
      canonicalKeyId,
    })
  }
  holder.step('planned')

  // 3. The sealed key and its record in one transaction. A crash before it forgets the key; after it, the same import finds it.
  const createdAt = holder.now().toISOString()
  const made = { createdAt, custody: 'sealed', state: 'active', origin: 'imported' } as const
  const key: NewSealedKey = { gun, role, publicKey, ...made, privateKey }
  if (existing === undefined) {
    const { keyType } = publicKey
    const { evidence } = request
    const record = { kind: 'key-imported', by: socket, gun, role, keyType, tufKeyId, canonicalKeyId, evidence } as const
    commit(holder, [...(base === undefined ? [] : recordsOf(base, gun)), record], () => {
      if (base !== undefined) rememberBase(holder, gun, base)
      holder.custodian.keep(key)
      if (base !== undefined) takeOver(holder, base, role)
    })
  }

  if (existing !== undefined && existing.custody !== 'sealed') {
    throw new KeyHolderError('KEY_NOT_IMPORTABLE', 'This key is in a token, from which no key file can come.', {
      gun,
      role: existing.role,
      canonicalKeyId,
    })
  }
  // 4. The proof, with the key as it is sealed. A crash leaves a key that the same import proves.
  const { method, signature } = holder.custodian.proveImport(keyRefOf(key), challenge)
  return {
    response: {
      state: existing === undefined ? 'imported' : 'here-already',
      role: existing?.role ?? role,
      keyState: existing?.state ?? 'active',
      key: exportOf(publicKey).key,
      tufKeyId,
      canonicalKeyId,
      proof: { method, signature: Buffer.from(signature).toString('base64') },
    },
  }
}

/** @throws KeyHolderError KEY_NOT_IMPORTABLE */
function importableRole(gun: Gun, name: string): RoleName {
  const role = parseRoleName(name)
  if (role === ROOT || role === TARGETS || isDelegationRole(role)) return role
  throw new KeyHolderError(
    'KEY_NOT_IMPORTABLE',
    'Keys of snapshot and timestamp belong to the trust server, and are not taken here.',
    { gun, role },
  )
}

/** @throws KeyHolderError KEY_IMPORT_UNREADABLE, KEY_NOT_USABLE */
async function openSealed(sealedKey: string, transport: KeyObject, session: string): Promise<KeyObject> {
  const der = await openInKeyHolder(sealedKey, transport, session)
  if (der === undefined) {
    throw new KeyHolderError('KEY_IMPORT_UNREADABLE', 'The encrypted key does not open with the key of this import.')
  }
  try {
    return createPrivateKey({
      key: Buffer.from(der.buffer, der.byteOffset, der.byteLength),
      format: 'der',
      type: 'pkcs8',
    })
  } catch {
    // The cause stays out: OpenSSL's words could hold parts of the key.
    throw new KeyHolderError('KEY_IMPORT_UNREADABLE', 'What was encrypted is no private key.')
  } finally {
    der.fill(0)
  }
}

/** @throws KeyHolderError KEY_NOT_USABLE */
function usablePublicKey(privateKey: KeyObject): PublicKey {
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0
  if (bits > MAX_RSA_BITS) {
    throw new KeyHolderError('KEY_NOT_USABLE', `RSA keys of more than ${MAX_RSA_BITS} bits are not taken.`, { bits })
  }
  try {
    requireSigningKey(privateKey)
    return publicKeyOf(privateKey)
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const facts = { ...cause.facts, reason: cause.code }
    throw new KeyHolderError('KEY_NOT_USABLE', `The key cannot be used: ${cause.message}.`, facts, { cause })
  }
}

/** Undefined before there is a pin. @throws KeyHolderError REPOSITORY_FROZEN, GUN_NOT_INITIALIZED, OPERATION_MALFORMED, BASE_* */
function publishedState(
  holder: Holder,
  gun: Gun,
  { attachments, socket }: Pick<Call<'import-key'>, 'attachments' | 'socket'>,
): Base | undefined {
  if (holder.repositories.find(gun) === undefined) {
    if (attachments.size === 0) return undefined
    throw new KeyHolderError('OPERATION_MALFORMED', 'Without a pinned root no metadata can be verified.', { gun })
  }
  const { pinnedRoot } = holder.repositories.getSignable(gun)
  return verifyBase(holder, gun, pinnedRoot, attachments, socket, { acceptsExpired: true })
}

/** @throws KeyHolderError KEY_LISTED_NOWHERE */
function requireListed(repository: TrustedRepository, role: RoleName, canonicalKeyId: string): void {
  if (lists(repository, role, canonicalKeyId)) return
  const { gun } = repository
  throw new KeyHolderError('KEY_LISTED_NOWHERE', 'What is published does not list this key for this role.', {
    gun,
    role,
    canonicalKeyId,
  })
}

/** A root key says which keys a repository has; one that signs every day as well is no root key. @throws KeyHolderError KEY_HAS_TWO_ROLES */
function requireOneRole(
  holder: Holder,
  o: {
    readonly gun: Gun
    readonly role: RoleName
    readonly canonicalKeyId: string
    readonly severalRoles: boolean
    readonly base: Base | undefined
  },
): void {
  const { gun, role, canonicalKeyId, base } = o
  const held = holder.keys.everywhere(canonicalKeyId)
  const here = held.find((key) => key.gun === gun)
  const isRoot = (other: RoleName): boolean => other === ROOT
  // One key of one repository is kept once.
  const isFixed = here !== undefined && isRoot(here.role) !== isRoot(role)
  const isElsewhere = held.some((key) => isRoot(key.role) !== isRoot(role))
  const other = isRoot(role) ? TARGETS : ROOT
  const isListedTwice = base !== undefined && lists(base.repository, other, canonicalKeyId)
  if (isFixed || (!o.severalRoles && (isElsewhere || isListedTwice))) {
    throw new KeyHolderError('KEY_HAS_TWO_ROLES', 'The key is used as a root key and in another role.', {
      gun,
      role,
      canonicalKeyId,
    })
  }
}

function lists(repository: TrustedRepository, role: RoleName, canonicalKeyId: string): boolean {
  if (role !== ROOT)
    return (signingRole(repository, role)?.keys ?? []).some((key) => key.canonicalKeyId === canonicalKeyId)
  const { keys, roles } = repository.root.metadata
  return (roles.get(ROOT)?.keyIds ?? []).some((id) => keys.get(id)?.canonicalKeyId === canonicalKeyId)
}

/** Call inside the transaction that keeps the key. */
function takeOver(holder: Holder, { repository }: Base, role: RoleName): void {
  const { gun } = repository
  acceptPublished(holder, repository)
  const { rootCustody } = holder.repositories.get(gun)
  if (role === ROOT) holder.repositories.setRootCustody(gun, 'online')
  else if (role === TARGETS && rootCustody === 'foreign') holder.repositories.setRootCustody(gun, 'offline')
}
