// Which keys go where: each key of each file, for every repository that lists it. Pure.
import { ROOT, RELEASES, SNAPSHOT, TARGETS, TIMESTAMP, type Gun, type PublicKey, type RoleName } from '@countersign/tuf'
import { expiryOf, rolesListingKey, type Listing } from './listings.ts'
import type { FoundKey } from './key-files.ts'

/** A key of a file, as far as it is known. */
export interface OpenedKey {
  readonly found: FoundKey
  readonly publicKey: PublicKey
}

/** Why a key stays where it is. */
export interface Skipped {
  readonly code: 'ROOT_KEY_STAYS_OFFLINE' | 'SERVER_KEY_NOT_TAKEN' | 'KEY_LISTED_NOWHERE'
  readonly detail: string
}

/** One key in one repository. */
export interface Placement {
  readonly listing: Listing
  /** What it is imported as: root, targets, or the delegation of a signer. */
  readonly role: RoleName
  /** Every role that it signs there. */
  readonly signs: readonly RoleName[]
  readonly expires: readonly { readonly role: RoleName; readonly expiresAt: string; readonly expired: boolean }[]
}

/** Before anything is decrypted: what the file says that it is. */
export function skippedUnopened({ headers }: FoundKey, takesRoot: boolean): Skipped | undefined {
  const { role } = headers
  if (role === 'root' && !takesRoot) return ROOT_STAYS
  return role === SNAPSHOT || role === TIMESTAMP ? SERVER_KEY : undefined
}

/** Where an opened key goes; or why it goes nowhere. */
export function placementsOf(
  { publicKey }: OpenedKey,
  listings: readonly Listing[],
  o: { readonly takesRoot: boolean; readonly now: Date },
): readonly Placement[] | Skipped {
  let skipped: Skipped | undefined
  const placements = listings.flatMap((listing): Placement[] => {
    const signs = rolesListingKey(listing, publicKey.canonicalKeyId)
    const role = roleOf(signs, o.takesRoot)
    if (role !== undefined) return [{ listing, role, signs, expires: expiries(listing, signs, o.now) }]
    if (signs.includes(ROOT)) skipped = ROOT_STAYS
    else if (signs.length > 0) skipped ??= SERVER_KEY
    return []
  })
  return placements.length > 0 ? placements : (skipped ?? nowhere(listings))
}

const ROOT_STAYS: Skipped = {
  code: 'ROOT_KEY_STAYS_OFFLINE',
  detail: 'Root keys stay where they are, offline, unless --root says otherwise.',
}
const SERVER_KEY: Skipped = {
  code: 'SERVER_KEY_NOT_TAKEN',
  detail:
    'Keys of snapshot and timestamp belong to the trust server. If clients hold one: notary key rotate GUN snapshot -r',
}

function nowhere(listings: readonly Listing[]): Skipped {
  const where = listings.length === 0 ? 'no repository is known' : listings.map(({ gun }) => gun as string).join(', ')
  return { code: 'KEY_LISTED_NOWHERE', detail: `No role lists this key (looked at: ${where}).` }
}

function roleOf(signs: readonly RoleName[], takesRoot: boolean): RoleName | undefined {
  if (signs.includes(TARGETS)) return TARGETS
  if (takesRoot && signs.includes(ROOT)) return ROOT
  const delegations = signs.filter((role) => ![ROOT, SNAPSHOT, TIMESTAMP].includes(role))
  return delegations.find((role) => role !== RELEASES) ?? delegations[0]
}

function expiries(listing: Listing, signs: readonly RoleName[], now: Date): Placement['expires'] {
  return signs.flatMap((role) => {
    const expiresAt = expiryOf(listing, role)
    return expiresAt === undefined
      ? []
      : [{ role, expiresAt: expiresAt.toISOString(), expired: expiresAt.getTime() < now.getTime() }]
  })
}

/** The repositories that key files and copies speak of; those that were named alone, where any were. */
export function repositoriesOf(
  named: readonly Gun[],
  keys: readonly FoundKey[],
  copies: Iterable<string>,
  parse: (text: string) => Gun | undefined,
): readonly Gun[] {
  if (named.length > 0) return [...new Set(named)]
  const texts = [...keys.flatMap(({ headers }) => headers.gun ?? []), ...copies]
  return [...new Set(texts.flatMap((text) => parse(text) ?? []))].sort()
}
