// The pins of this machine: root certificates that came in signed bundles. One file, written whole or not at all.
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseTufKeyId, type Gun, type TufKeyId } from '@countersign/tuf'
import * as z from 'zod'
import { hasCertificates, pinnedRepository, type SignedBundle } from '../../key-holder/pin-bundle.ts'
import { CliError } from '../errors.ts'
import { readFileIfPresent, writeNewFile } from '../files.ts'
import type { Terminal } from '../terminal.ts'

/** Bytes: some ten thousand repositories. */
const MAX_BYTES = 64 * 1024 * 1024
/** Of a change, where others write at the same time. */
const MAX_ATTEMPTS = 20
/** Names in one sentence; the facts have all. */
const MAX_SHOWN = 5

const storedRepository = pinnedRepository.extend({
  /** Of the bundle: its key in verifier form, its number, SHA-256 of what was signed. */
  from: z.strictObject({
    publicKey: z.string(),
    serial: z.int().positive(),
    sha256: z.string(),
    madeAt: z.string(),
    expiresAt: z.string().optional(),
    importedAt: z.string(),
  }),
})

const storeSchema = z.strictObject({
  format: z.literal(1),
  /** Keys whose bundles are taken, in verifier form: those that pins below have come with. */
  keys: z.array(z.string()),
  repositories: z.array(storedRepository),
})

export type StoredPins = z.output<typeof storedRepository>
export type PinStore = z.output<typeof storeSchema>

const EMPTY: PinStore = { format: 1, keys: [], repositories: [] }

/** `COUNTERSIGN_PINS`, or beside the client configuration file. */
export function pinStorePath({ env, homeFolder }: Pick<Terminal, 'env' | 'homeFolder'>): string {
  const named = env['COUNTERSIGN_PINS'] ?? ''
  if (named !== '') return named
  const configured = env['XDG_CONFIG_HOME'] ?? ''
  return join(configured === '' ? join(homeFolder, '.config') : configured, 'countersign', 'pins.json')
}

/** What was imported; empty where nothing was. @throws CliError PINS_DAMAGED, FILE_UNREADABLE */
export async function readPinStore(terminal: Pick<Terminal, 'env' | 'homeFolder'>): Promise<PinStore> {
  const path = pinStorePath(terminal)
  return parseStore(path, await readFileIfPresent(path, MAX_BYTES))
}

/** @throws CliError PINS_DAMAGED */
function parseStore(path: string, bytes: Buffer | undefined): PinStore {
  if (bytes === undefined) return EMPTY
  try {
    const { format, keys, repositories } = storeSchema.parse(JSON.parse(bytes.toString('utf8')))
    if (!repositories.every(hasCertificates)) throw new Error('a certificate is none, or has another ID')
    const inUse = new Set(repositories.map(({ from }) => from.publicKey))
    return { format, keys: keys.filter((key) => inUse.has(key)), repositories }
  } catch (cause) {
    throw new CliError('PINS_DAMAGED', `The pins of this machine cannot be read: ${path}.`, {
      facts: { file: path },
      next: 'Nothing is verified without them. Remove the file, and import the bundle again.',
      cause,
    })
  }
}

/**
 * Reads the pins, changes and writes them. Where another program has written meanwhile it starts over from what that one wrote, so that neither's
 * pins are lost.
 * @throws CliError PINS_DAMAGED, FILE_UNREADABLE, FILE_UNWRITABLE; what `change` throws
 */
export async function updatePinStore<Result>(
  terminal: Pick<Terminal, 'env' | 'homeFolder'>,
  change: (store: PinStore) => { readonly store: PinStore; readonly result: Result },
): Promise<Result> {
  const path = pinStorePath(terminal)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const before = await readFileIfPresent(path, MAX_BYTES)
    const { store, result } = change(parseStore(path, before))
    if (await replacePins(path, before, store)) return result
  }
  throw unwritable(path, new Error('other programs keep on writing it'))
}

/** False: the file is no longer what it was before. @throws CliError FILE_UNWRITABLE */
async function replacePins(path: string, before: Buffer | undefined, store: PinStore): Promise<boolean> {
  const temporary = `${path}.${randomUUID()}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeNewFile(temporary, `${JSON.stringify(store, undefined, 1)}\n`, 0o644)
    // In one go, after the slow part: what is left is the time of two system calls.
    const isSame = before === undefined ? !existsSync(path) : existsSync(path) && before.equals(readFileSync(path))
    if (isSame) renameSync(temporary, path)
    return isSame
  } catch (cause) {
    throw unwritable(path, cause)
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined)
  }
}

function unwritable(path: string, cause: unknown): CliError {
  return new CliError('FILE_UNWRITABLE', `The pins cannot be written: ${path}.`, { facts: { file: path }, cause })
}

export interface BundleTerms {
  /** The key was named for this import. */
  readonly isNamed: boolean
  /** A named key may take over what another key's bundle has pinned. */
  readonly replaces: boolean
  readonly now: Date
}

/**
 * The store with a bundle in it. What it names takes the place of what was there; what it does not name stays.
 * Keys that brought none of the pins any more are forgotten.
 * @throws CliError PIN_BUNDLE_OLDER, PIN_BUNDLE_EXPIRED, PIN_BUNDLE_OTHER_KEY, PIN_BUNDLE_REPLACES
 */
export function withBundle(store: PinStore, bundle: SignedBundle, o: BundleTerms): PinStore {
  const { serial, sha256, madeAt, expiresAt, publicKey } = bundle
  if (expiresAt !== undefined && Date.parse(expiresAt) <= o.now.getTime()) {
    throw new CliError('PIN_BUNDLE_EXPIRED', `The bundle has expired on ${expiresAt}.`, {
      facts: { serial, expiresAt },
      next: 'Get a new one from the operator, and check the clock of this machine.',
    })
  }
  const present = new Map(store.repositories.map((one) => [one.gun, one]))
  const ofOtherKeys: string[] = []
  for (const { gun } of bundle.repositories) {
    const known = present.get(gun)?.from
    if (known === undefined) continue
    if (known.publicKey === publicKey) refuseOlder(gun, known, bundle)
    else ofOtherKeys.push(gun)
  }
  // Numbers of two keys cannot be compared: nothing says that this bundle is the newer one, but for a person.
  if (ofOtherKeys.length > 0 && !(o.isNamed && o.replaces)) throw otherKey(ofOtherKeys, o.isNamed)
  const from = { publicKey, serial, sha256, madeAt, ...(expiresAt !== undefined && { expiresAt }) }
  for (const one of bundle.repositories) {
    present.set(one.gun, { ...one, from: { ...from, importedAt: o.now.toISOString() } })
  }
  const repositories = [...present.values()].sort((one, other) => (one.gun < other.gun ? -1 : 1))
  return { format: 1, keys: [...new Set(repositories.map((one) => one.from.publicKey))].sort(), repositories }
}

function refuseOlder(gun: string, known: StoredPins['from'], { serial, sha256 }: SignedBundle): void {
  if (serial > known.serial || (serial === known.serial && sha256 === known.sha256)) return
  throw new CliError(
    'PIN_BUNDLE_OLDER',
    serial === known.serial
      ? `The bundle is another one under the number ${serial}, which the pins of ${gun} have come with.`
      : `The bundle has the number ${serial}; the pins of ${gun} here have come with ${known.serial}.`,
    {
      facts: { gun, serial, known: known.serial },
      next: 'Nothing was changed. Get the newest bundle from the operator.',
    },
  )
}

function otherKey(guns: readonly string[], isNamed: boolean): CliError {
  const shown =
    guns.slice(0, MAX_SHOWN).join(', ') + (guns.length > MAX_SHOWN ? ` and ${guns.length - MAX_SHOWN} more` : '')
  return new CliError(
    isNamed ? 'PIN_BUNDLE_REPLACES' : 'PIN_BUNDLE_OTHER_KEY',
    `Pins here have come with bundles of another key: ${shown}.`,
    {
      facts: { guns: guns.join(' ') },
      next: isNamed
        ? 'Nothing was changed. If the operator says that the key was replaced, say --replace as well.'
        : 'If that key was replaced, name the new one with --key, which you have from the operator, and say --replace.',
    },
  )
}

export function pinsOf({ repositories }: PinStore, gun: Gun): StoredPins | undefined {
  return repositories.find((one) => one.gun === gun)
}

export function pinIdsOf({ certificates }: StoredPins): readonly TufKeyId[] {
  return certificates.map(({ keyId }) => parseTufKeyId(keyId))
}
