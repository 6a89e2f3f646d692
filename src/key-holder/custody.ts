// Where keys are kept, one by one: sealed here, or in a token. The rest of the key holder makes, keeps and uses them without knowing which.
//
// The place for another back end (a cloud KMS, Vault transit): a custodian beside file-custodian.ts and token-custodian.ts, a scheme of its
// own in `KeyCustody`, and a case here. It has to make keys that cannot leave, prove each with a signature, and sign no more than a hash that
// was recorded before.
import type { Gun, RoleName, SignatureEntry } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { TokenState } from '../pkcs11/token.ts'
import { isSameToken, parseKeyUri, parseTokenUri } from '../pkcs11/uri.ts'
import type { KeyRef, SigningPurpose } from './custodian.ts'
import { makeKey, type FileCustodian, type NewKeyType, type NewSealedKey } from './file-custodian.ts'
import type { KeyCustody, KeyTable, StoredKey } from './key-table.ts'
import { requireUsable } from './key-use.ts'
import type { NewTokenKey, TokenCustodian } from './token-custodian.ts'
import type { TokenSweep } from './token-sweep.ts'

/** A key that no table has yet. */
export type NewKey = NewSealedKey | NewTokenKey

const NOTHING_SEALED = Buffer.alloc(0)

export class Custody {
  readonly #keys: KeyTable
  readonly #sealed: FileCustodian
  readonly #tokens: TokenCustodian
  readonly #sweep: TokenSweep

  constructor(o: {
    readonly keys: KeyTable
    readonly sealed: FileCustodian
    readonly tokens: TokenCustodian
    readonly sweep: TokenSweep
  }) {
    this.#keys = o.keys
    this.#sealed = o.sealed
    this.#tokens = o.tokens
    this.#sweep = o.sweep
  }

  /**
   * A new key pair.
   * @param o.custody `sealed`, or the URI of a token
   * @throws KeyHolderError CUSTODY_*; CUSTODY_KEY_TYPE where a token is to make anything but ecdsa
   */
  async make(o: {
    readonly gun: Gun
    readonly role: RoleName
    readonly keyType: NewKeyType
    readonly createdAt: string
    readonly custody: string
  }): Promise<NewKey> {
    const { gun, role, keyType, createdAt, custody } = o
    if (custody === 'sealed') return makeKey(gun, role, keyType, createdAt)
    if (keyType !== 'ecdsa') {
      throw new KeyHolderError('CUSTODY_KEY_TYPE', 'Keys in tokens are of type ecdsa (P-256).', { keyType })
    }
    const place = await this.#tokens.place(custody, gun, role)
    this.#sweep.expect(place, createdAt)
    try {
      return await this.#tokens.make({ gun, role, custody: place, createdAt })
    } catch (error) {
      this.#sweep.abandon([place])
      throw error
    }
  }

  /** All of them or none: where one cannot be made, the others are forgotten. @throws as `make` */
  async makeAll(wanted: readonly Parameters<Custody['make']>[0][]): Promise<NewKey[]> {
    const made: NewKey[] = []
    try {
      for (const one of wanted) made.push(await this.make(one))
      return made
    } catch (error) {
      this.forget(made)
      throw error
    }
  }

  /** Stores it; call inside the transaction that records it. */
  keep(key: NewKey): void {
    if ('privateKey' in key) this.#sealed.keep(key)
    else {
      this.#sweep.keep(key.custody)
      this.#keys.insert({ ...key, sealed: NOTHING_SEALED })
    }
  }

  /**
   * Keys that could not be recorded: out of their token with them, as soon as that can be done. One whose record became durable nevertheless,
   * as may be where a commit fails, stays.
   */
  forget(keys: readonly NewKey[]): void {
    this.#sweep.abandon(keys.flatMap((key) => ('privateKey' in key ? [] : [key.custody])))
  }

  /** Signs exactly `message` and verifies the result. @throws KeyHolderError KEY_NOT_FOUND, KEY_FILE_DAMAGED, CUSTODY_* */
  sign(keyRef: KeyRef, message: Uint8Array, purpose: SigningPurpose): Promise<Omit<SignatureEntry, 'keyId'>> {
    const key = this.#keys.byRef(keyRef)
    if (key.custody === 'sealed') return this.#sealed.sign(keyRef, message, purpose)
    requireUsable(key, purpose)
    return this.#tokens.sign(key, message)
  }

  /** Throws where the token of the key is known to be away, and still is. @throws KeyHolderError KEY_NOT_FOUND, CUSTODY_* */
  async requireThere(keyRef: KeyRef): Promise<void> {
    const { custody } = this.#keys.byRef(keyRef)
    if (custody !== 'sealed') await this.#tokens.requireThere(custody)
  }

  /** From now on the key in its token is to be destroyed; call inside the transaction that retires it. @param since RFC 3339 */
  discard({ custody }: Pick<StoredKey, 'custody'>, since: string): void {
    if (custody !== 'sealed') this.#sweep.discard(custody, since)
  }

  /** Takes a discarded key out of its token now. Idempotent; without it, it is done as soon as it can. @throws KeyHolderError CUSTODY_* */
  async destroy({ custody }: Pick<StoredKey, 'custody'>): Promise<void> {
    if (custody !== 'sealed') await this.#sweep.destroy(custody)
  }

  /** In words, for listings. */
  describe({ custody, origin }: Pick<StoredKey, 'custody' | 'origin'>): string {
    if (custody === 'sealed') return origin === 'imported' ? 'sealed, imported' : 'sealed'
    const trouble = TROUBLES.get(this.#tokens.stateOf(custody) ?? 'CUSTODY_NOT_CONFIGURED')
    const words = [this.#sweep.isUnwanted(custody) ? 'not destroyed yet' : undefined, trouble]
    return [`PKCS#11 token ${tokenLabelOf(custody)}`, ...words.filter((word) => word !== undefined)].join(', ')
  }

  /** @throws KeyHolderError CUSTODY_NOT_CONFIGURED, CUSTODY_URI_INVALID */
  requireConfigured(custody: string): void {
    if (custody !== 'sealed') this.#tokens.requireConfigured(custody)
  }

  /** How many keys are in which token, by its label; those of destroyed keys aside. */
  keysInTokens(): readonly { readonly label: string; readonly keys: number }[] {
    const counts = new Map<string, number>()
    for (const { custody } of this.#keys.inTokens()) {
      const label = tokenLabelOf(custody)
      counts.set(label, (counts.get(label) ?? 0) + 1)
    }
    return [...counts].map(([label, keys]) => ({ label, keys }))
  }

  /** Every configured token, and how many keys in it are to be destroyed. */
  tokens(): readonly (ReturnType<TokenCustodian['states']>[number] & { readonly toDestroy: number })[] {
    const places = this.#sweep.places()
    return this.#tokens.states().map((token) => {
      const toDestroy = places.filter((place) => isSameToken(parseKeyUri(place), parseTokenUri(token.uri))).length
      return { ...token, toDestroy }
    })
  }

  close(): void {
    this.#tokens.close()
  }
}

/** The label of the token that a key is in. */
export function tokenLabelOf(custody: Exclude<KeyCustody, 'sealed'>): string {
  return parseKeyUri(custody).token
}

const TROUBLES: ReadonlyMap<TokenState, string> = new Map<TokenState, string>([
  ['unknown', 'not seen yet'],
  ['CUSTODY_UNAVAILABLE', 'not there'],
  ['CUSTODY_PIN_INCORRECT', 'PIN refused'],
  ['CUSTODY_PIN_LOCKED', 'PIN locked'],
  ['CUSTODY_PIN_UNREADABLE', 'PIN file unreadable'],
  ['CUSTODY_NOT_INSTALLED', 'pkcs11js not installed'],
  ['CUSTODY_NOT_CONFIGURED', 'not configured'],
])
