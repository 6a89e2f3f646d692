// A bundle of the pinned roots, for machines that are to believe nothing else. Of the caller come names and a number of days: what is signed
// is made here, and begins with words that nothing else begins with.
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { certificatePem, parseGun, parseRoot, ROOT, type Gun } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'
import {
  bundleBody,
  isCertificate,
  keyFingerprint,
  signBundle,
  type PinBundle,
  type PinnedRepository,
} from './pin-bundle.ts'
import { findPinKey, keepPinKey, logOriginOf, nextPinSerial, takePinSerial } from './settings.ts'
import { encodeVerifierKey } from './signed-note.ts'

const ATTACHMENT = 'bundle'
const DAY_MS = 86_400_000

/**
 * See the operation's description in the protocol.
 * @throws KeyHolderError GUN_NOT_MANAGED, GUN_NOT_INITIALIZED, KEY_FILE_DAMAGED, STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE
 */
export function exportPins(holder: Holder, { request, socket }: Call<'export-pins'>): Promise<Answer<'export-pins'>> {
  const { guns, lifetimeDays, reason, evidence } = request
  const repositories = namedOrAll(holder, guns).map((gun) => pinnedRepository(holder, gun))
  holder.step('checked')

  // 1. The key, which the first bundle makes, and the exact bytes, in memory. A crash forgets them.
  const known = findPinKey(holder.database)
  const privateKey =
    known === undefined
      ? generateKeyPairSync('ed25519').privateKey
      : holder.custodian.openOwn(known.sealed, known.sealedFor)
  const now = holder.now()
  const name = `${logOriginOf(holder.database)}/pins`
  const publicKey = createPublicKey(privateKey)
  const bundle: PinBundle = {
    serial: nextPinSerial(holder.database, now),
    madeAt: now.toISOString(),
    ...(lifetimeDays !== undefined && { expiresAt: new Date(now.getTime() + lifetimeDays * DAY_MS).toISOString() }),
    publicKey: encodeVerifierKey(name, publicKey),
    repositories,
  }
  const body = bundleBody(bundle)
  const fingerprint = keyFingerprint(publicKey)
  holder.step('planned')

  // 2. One transaction: the key where it is new, the serial number, the records; and the log. A crash before leaves nothing; a crash after it
  //    leaves the record of a bundle that nobody has, and the next one has a higher number.
  const { serial, madeAt, expiresAt } = bundle
  const sha256 = createHash('sha256').update(body).digest('hex')
  const count = repositories.length
  const exported = { kind: 'pins-exported', by: socket, serial, sha256, repositories: count, reason, evidence } as const
  const made = { kind: 'pin-key-created', by: socket, publicKey: bundle.publicKey, fingerprint, evidence } as const
  commit(holder, known === undefined ? [made, exported] : [exported], () => {
    if (known === undefined) keep(holder, privateKey)
    takePinSerial(holder.database, serial)
  })

  // 3. The signature. A crash leaves the same.
  const signed = signBundle(body, name, privateKey)
  holder.step('signed')
  return Promise.resolve({
    response: {
      serial,
      madeAt,
      ...(expiresAt !== undefined && { expiresAt }),
      publicKey: bundle.publicKey,
      fingerprint,
      repositories: count,
      files: [ATTACHMENT],
    },
    attachments: new Map([[ATTACHMENT, Buffer.from(signed, 'utf8')]]),
  })
}

function keep(holder: Holder, privateKey: KeyObject): void {
  keepPinKey(holder.database, (sealedFor) => holder.custodian.sealOwn(privateKey, sealedFor))
}

/** @throws KeyHolderError GUN_NOT_INITIALIZED where there is none at all */
function namedOrAll(holder: Holder, guns: readonly string[] | undefined): readonly Gun[] {
  const chosen = guns === undefined ? holder.repositories.pinned() : [...new Set(guns.map(parseGun))].sort()
  if (chosen.length > 0) return chosen
  throw new KeyHolderError('GUN_NOT_INITIALIZED', 'No repository has a pinned root yet.')
}

/** @throws KeyHolderError GUN_NOT_MANAGED, GUN_NOT_INITIALIZED */
function pinnedRepository(holder: Holder, gun: Gun): PinnedRepository {
  const { version, sha256, bytes } = holder.repositories.getPinned(gun).pinnedRoot
  const { roles, keys } = parseRoot(bytes).metadata
  const { keyIds = [], threshold = 1 } = roles.get(ROOT) ?? {}
  const certificates = keyIds.flatMap((keyId) => {
    const key = keys.get(keyId)
    if (key === undefined) return []
    // A root may list a key under an ID that is not its own; nobody takes signatures under it.
    const certificate = { keyId, pem: certificatePem(key) }
    return isCertificate(certificate) ? [certificate] : []
  })
  return { gun, root: { version, sha256, threshold }, certificates }
}
