// A tag to its signed digest, by this machine's own verification: from a pin or from what is remembered, down to the entry that docker takes.
// No daemon is asked. Whatever is wrong ends here, before anything else is done.
import {
  CodedError,
  findTarget,
  hexOfBase64Digest,
  ROOT,
  ROOT_MAX_BYTES,
  sha256Hex,
  signersOf,
  TufError,
  type Gun,
  type KnownVersion,
  type RoleName,
  type RootPin,
  type TrustedRepository,
  type VerifierOptions,
} from '@countersign/tuf'
import type { TaggedReference } from '../../domain/image-reference.ts'
import { CliError } from '../errors.ts'
import { pinIdsOf, pinsOf, readPinStore, type StoredPins } from '../pins/store.ts'
import { verifyPublished, type ReadMetadata } from '../published-metadata.ts'
import type { Session } from '../session.ts'
import { memoryOf, recall, remember, type TrustMemory } from './memory.ts'
import { requireOnePin, trustServerOf, type TrustOptions } from './options.ts'

/** Where trust began: certificates that were named, this machine's pins, what was remembered, or the first root that came. */
export type Anchor = 'pin' | 'bundle' | 'memory' | 'first-use'

export interface SignedTag {
  readonly reference: TaggedReference
  /** 64 hex digits. */
  readonly sha256: string
  readonly role: string
  readonly signers: readonly string[]
  readonly trustServer: string
  readonly anchor: Anchor
  /** Whether somebody said which root is the right one, now or when what is remembered began. */
  readonly pinned: boolean
}

/**
 * @throws CliError PIN_MISSING, IMAGE_NOT_SIGNED, TRUST_MEMORY_DAMAGED, PINS_DAMAGED, FILE_UNWRITABLE, USAGE_INVALID, SERVER_ADDRESS_INVALID; CodedError with
 * the code of a TufError; NotaryError, NetError
 */
export async function resolveSignedTag(
  session: Session,
  reference: TaggedReference,
  options: TrustOptions,
): Promise<SignedTag> {
  requireOnePin(options)
  const { terminal } = session
  const { gun } = reference
  const memory = await recall(terminal, gun)
  const { begin, ...start } = startOf(reference, memory, options, pinsOf(await readPinStore(terminal), gun))
  const { openNotary } = await import('../notary-source.ts')
  const source = await openNotary(session, gun, trustServerOf(reference, options, terminal), options.realm ?? [])
  try {
    const pin = 'sha256' in begin ? await pinnedRoot(gun, begin, memory, source) : begin
    const trusted = await verify({ gun, now: terminal.now(), pin, highest: start.highest }, source)
    await remember(terminal, gun, memoryOf(trusted, start.pins, memory))
    return {
      ...signedIn(trusted, reference),
      trustServer: source.address,
      anchor: start.anchor,
      pinned: start.pins.length > 0,
    }
  } finally {
    await source.close()
  }
}

interface Source {
  readonly address: string
  readonly read: ReadMetadata
}

interface Start extends Pick<TrustMemory, 'pins'> {
  /** A pin, or which root it is that has still to be fetched. */
  readonly begin: RootPin | StoredPins['root']
  readonly highest: ReadonlyMap<RoleName, KnownVersion>
  readonly anchor: Anchor
}

/**
 * A remembered root goes on where no pin is named, or one by which it was believed: roots that followed it since are taken by its keys. Another
 * pin begins anew, and keeps the versions, unless what is remembered was believed without any pin. Pins of this machine count where none is
 * named. They say which root it was, byte for byte, so trust begins with that one, whatever is remembered: with its threshold, and with none of
 * the keys that it does not list any more.
 */
function startOf(
  { gun }: TaggedReference,
  memory: TrustMemory | undefined,
  options: TrustOptions,
  stored: StoredPins | undefined,
): Start {
  const { pin = [], tofu = false } = options
  const kept = memory === undefined || memory.pins.length === 0 ? new Map<never, never>() : memory.roles
  if (pin.length === 0 && stored !== undefined) {
    return { begin: stored.root, highest: kept, pins: pinIdsOf(stored), anchor: 'bundle' }
  }
  if (memory !== undefined && (pin.length === 0 || pin.some((one) => memory.pins.includes(one)))) {
    const anchor = pin.length > 0 ? 'pin' : 'memory'
    return { begin: { kind: 'root', bytes: memory.root }, highest: memory.roles, pins: memory.pins, anchor }
  }
  if (pin.length > 0)
    return { begin: { kind: 'certificates', tufKeyIds: pin }, highest: kept, pins: pin, anchor: 'pin' }
  if (tofu) return { begin: { kind: 'tofu' }, highest: new Map(), pins: [], anchor: 'first-use' }
  throw new CliError('PIN_MISSING', `Nothing says which root of ${gun} is the right one.`, {
    facts: { gun },
    next: 'Import a bundle of pins (countersign pin import), or give --pin KEYID, from its owner (repo init prints it; docker trust inspect shows it as Root). Or --tofu: believe the server this once.',
  })
}

/** The root that is pinned by its hash: what is remembered, or the trust server's. @throws CodedError ROOT_NOT_PINNED; NotaryError, NetError */
async function pinnedRoot(
  gun: Gun,
  { version, sha256 }: StoredPins['root'],
  memory: TrustMemory | undefined,
  { address, read }: Source,
): Promise<RootPin> {
  if (memory !== undefined && sha256Hex(memory.root) === sha256) return { kind: 'root', bytes: memory.root }
  const fileName = `${version}.root.json`
  const bytes = await read({ fileName, role: ROOT, maxBytes: ROOT_MAX_BYTES, optional: true })
  if (bytes !== undefined && sha256Hex(bytes) === sha256) return { kind: 'root', bytes }
  const why = bytes === undefined ? 'it has no such version' : 'its root of that version is another one'
  throw new CodedError(
    'ROOT_NOT_PINNED',
    `What ${address} has of ${gun} is not believed: version ${version} of root is pinned, and ${why}.`,
    { gun, server: address, version },
  )
}

async function verify(options: VerifierOptions, source: Source): Promise<TrustedRepository> {
  try {
    return await verifyPublished(options, source.read)
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const { code, facts } = cause
    const isAbsent = code === 'FILE_MISSING' && facts['fileName'] === 'root.json'
    const sentence = isAbsent ? 'It has no metadata of this repository' : cause.message
    throw new CodedError(
      code,
      `What ${source.address} has of ${options.gun} is not believed: ${sentence}.`,
      { ...facts, gun: options.gun, server: source.address },
      { cause },
    )
  }
}

/** @throws CliError IMAGE_NOT_SIGNED */
function signedIn(
  trusted: TrustedRepository,
  reference: TaggedReference,
): Pick<SignedTag, 'reference' | 'sha256' | 'role' | 'signers'> {
  const found = findTarget(trusted, reference.tag)
  const hash = found?.meta.hashes.get('sha256')
  if (found === undefined || hash === undefined) {
    throw new CliError('IMAGE_NOT_SIGNED', `${reference.gun}:${reference.tag} is not signed.`)
  }
  const sha256 = hexOfBase64Digest(hash)
  if (reference.digest !== undefined && reference.digest !== sha256) {
    throw new CliError('IMAGE_NOT_SIGNED', `${reference.text} is not signed: signed is sha256:${sha256}.`, {
      facts: { signed: `sha256:${sha256}` },
    })
  }
  const signers = signersOf(trusted, reference.tag, sha256).map((role) => role.replace(/^targets\//, ''))
  return { reference, sha256, role: found.role, signers }
}

/** What is to be said where nobody named a root of the repository. */
export function unpinnedWords(gun: Gun, anchor: Anchor): string {
  return anchor === 'first-use'
    ? `No root of ${gun} was pinned: who answered for the trust server decided what is believed from now on.`
    : `No root of ${gun} is pinned: what came first is believed still. Import pins: countersign pin import.`
}
