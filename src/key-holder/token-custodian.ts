// The custodian whose keys were made in PKCS#11 tokens and stay there. What it stores of them is a URI; what it gets is signatures.
import { randomBytes } from 'node:crypto'
import type { Gun, RoleName } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { publicKeyIn, signIn } from '../pkcs11/token-key.ts'
import { Token, type TokenState } from '../pkcs11/token.ts'
import { formatKeyUri, formatTokenUri, isSameToken, parseKeyUri, parseTokenUri, type TokenUri } from '../pkcs11/uri.ts'
import type { TokenConfig } from './config.ts'
import type { KeyCustody, StoredKey } from './key-table.ts'
import { readPin } from './unlock.ts'

/** A key pair that a token has, and nothing here knows yet. */
export interface NewTokenKey extends Omit<StoredKey, 'sealed' | 'lastUsedAt'> {
  readonly custody: `pkcs11:${string}`
}

const ID_BYTES = 16
const CHALLENGE_BYTES = 32

export class TokenCustodian {
  readonly #tokens: readonly Token[]

  constructor(
    configured: readonly TokenConfig[],
    o: {
      /** Called when a token's state changes. */
      readonly onState: (token: string, state: TokenState, why?: string) => void
      /** See TokenOptions. */
      readonly script?: string
    },
  ) {
    this.#tokens = configured.map((token) => {
      const uri = parseTokenUri(token.uri)
      return new Token({
        uri,
        module: token.module,
        environment: token.environment,
        timeLimitMs: token.timeLimitSeconds * 1000,
        readPin: () => readPin(token.pinFile),
        onState: (state, why) => {
          o.onState(formatTokenUri(uri), state, why)
        },
        ...(o.script !== undefined && { script: o.script }),
      })
    })
  }

  /** Looks for every token, now and every few seconds, without waiting. */
  watch(): void {
    for (const token of this.#tokens) token.watch()
  }

  /** @throws KeyHolderError CUSTODY_NOT_CONFIGURED, CUSTODY_URI_INVALID */
  requireConfigured(uri: string): void {
    this.#tokenOf(parseTokenUri(uri))
  }

  /** Each configured token, and how it is. */
  states(): readonly { readonly uri: string; readonly label: string; readonly state: TokenState }[] {
    return this.#tokens.map(({ uri, state }) => ({ uri: formatTokenUri(uri), label: uri.token, state }))
  }

  /** How the token of a key is; undefined: the configuration does not name it. */
  stateOf(custody: Exclude<KeyCustody, 'sealed'>): TokenState | undefined {
    return this.#find(parseKeyUri(custody))?.state
  }

  /**
   * Where a new key would be: in this token, by its serial number, which is there now.
   * @param uri of a token
   * @throws KeyHolderError CUSTODY_*
   */
  async place(uri: string, gun: Gun, role: RoleName): Promise<NewTokenKey['custody']> {
    const token = this.#tokenOf(parseTokenUri(uri))
    const serial = await token.serial()
    const key = { id: randomBytes(ID_BYTES), object: `countersign ${gun} ${role}` }
    return formatKeyUri({ ...token.uri, ...(serial !== '' && { serial }), ...key })
  }

  /**
   * A new key in a token, which has signed a challenge and whose public half was read from the token. Nothing here knows it yet; where this
   * throws, there may be one nevertheless.
   * @param o.custody its place, see `place`
   * @throws KeyHolderError CUSTODY_*
   */
  async make(o: {
    readonly gun: Gun
    readonly role: RoleName
    readonly custody: NewTokenKey['custody']
    readonly createdAt: string
  }): Promise<NewTokenKey> {
    const { gun, role, createdAt, custody } = o
    const key = parseKeyUri(custody)
    const { id, object, serial = '' } = key
    const token = this.#tokenOf(key)
    const publicKey = publicKeyIn(await token.generate({ keyId: id, label: object, serial }), token.uri)
    // No metadata looks like what is signed.
    const challenge = randomBytes(CHALLENGE_BYTES).toString('base64')
    const proof = Buffer.from(['countersign new key v1', gun, publicKey.canonicalKeyId, challenge].join('\0'))
    await signIn(token, id, proof, publicKey)
    return { gun, role, publicKey, createdAt, custody, state: 'active', origin: 'made' }
  }

  /** Signs exactly `message`, and verifies the result. @throws KeyHolderError CUSTODY_* */
  sign(
    { custody, publicKey }: Pick<StoredKey, 'custody' | 'publicKey'>,
    message: Uint8Array,
  ): Promise<{ method: string; signature: Uint8Array }> {
    const key = parseKeyUri(custody)
    return signIn(this.#tokenOf(key), key.id, message, publicKey)
  }

  /** Throws where the token of a key was away, and still is. @throws KeyHolderError CUSTODY_* */
  async requireThere(custody: Exclude<KeyCustody, 'sealed'>): Promise<void> {
    const token = this.#tokenOf(parseKeyUri(custody))
    if (token.state !== 'ready') await token.serial()
  }

  /** Destroys it in its token. @returns whether it was there. @throws KeyHolderError CUSTODY_* */
  async destroy(custody: Exclude<KeyCustody, 'sealed'>): Promise<boolean> {
    const key = parseKeyUri(custody)
    return this.#tokenOf(key).destroy(key.id, key.serial)
  }

  close(): void {
    for (const token of this.#tokens) token.close()
  }

  /** Undefined: the configuration names none, or several with this label, and the URI has no serial number. */
  #find(uri: TokenUri): Token | undefined {
    const [token, ...others] = this.#tokens.filter((configured) => isSameToken(configured.uri, uri))
    return others.length === 0 ? token : undefined
  }

  /** @throws KeyHolderError CUSTODY_NOT_CONFIGURED */
  #tokenOf(uri: TokenUri): Token {
    const token = this.#find(uri)
    if (token !== undefined) return token
    throw new KeyHolderError(
      'CUSTODY_NOT_CONFIGURED',
      "The key holder's configuration does not name this token, or several that may be it.",
      { token: formatTokenUri(uri) },
    )
  }
}
