// A root key in a PKCS#11 token: made there, or there already, and used there. FILE holds its place, as a URI (RFC 7512), and no secret.
import { randomBytes } from 'node:crypto'
import {
  certificateKey,
  certificatePem,
  CodedError,
  ecdsaSignatureDer,
  keyObjectOf,
  prepareRootCertificate,
  verifyRootCertificate,
  type PublicKey,
} from '@countersign/tuf'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { readSecretFile } from '../../config/secret-file.ts'
import { Token } from '../../pkcs11/token.ts'
import { publicKeyIn, signIn } from '../../pkcs11/token-key.ts'
import { formatKeyUri, parsePlaceUri, type TokenKeyUri, type TokenUri } from '../../pkcs11/uri.ts'
import { CliError } from '../errors.ts'
import type { Terminal } from '../terminal.ts'
import {
  certificateFileOf,
  certificateTerms,
  listedCertificate,
  readCertificate,
  requireSameKey,
  withNewRootFiles,
} from './certificate.ts'
import type { TokenOpening } from './options.ts'
import type { NamedRoot, RootKey } from './root-key.ts'

/** For one call: a person may have to find the token's button. */
const TIME_LIMIT_MS = 60_000
const KEY_ID_BYTES = 16
/** Of our own and of docker's variables the module hears nothing: they name credentials. */
const WITHHELD = /^(?:COUNTERSIGN|DOCKER|NOTARY)_/

/** Whether the content of a root key file names a key in a token. */
export function isTokenReference(text: string): boolean {
  return text.startsWith('pkcs11:')
}

export interface NewTokenRoot {
  readonly commonName: string
  readonly file: string
  /** Of a token, for a new key that stays in it; or of a key that is there. */
  readonly uri: string
  readonly opening: TokenOpening
}

/**
 * A P-256 root key in a token, with its self-signed certificate. Writes FILE (its place) and FILE.crt, as `withNewRootFiles` does, and
 * destroys a new key again where there is no success; a crash on the way may leave one, unused.
 * @throws CliError FILE_EXISTS, FILE_UNWRITABLE, USAGE_INVALID; ConfigError SECRET_FILE_*; KeyHolderError CUSTODY_*
 */
export async function createTokenRoot(terminal: Terminal, o: NewTokenRoot): Promise<PublicKey> {
  const { token: uri, id } = parsePlaceUri(o.uri)
  return withNewRootFiles(o.file, (write) =>
    withToken(terminal, uri, o.opening, async (token) => {
      const serial = await token.serial()
      const object = `countersign root ${o.commonName}`
      const place = { ...uri, ...(serial !== '' && { serial }), id: id ?? randomBytes(KEY_ID_BYTES), object }
      const make = async (): Promise<PublicKey> => {
        const point = id === undefined ? token.generate({ keyId: place.id, label: object, serial }) : token.point(id)
        const publicKey = publicKeyIn(await point, uri)
        const terms = certificateTerms(o.commonName, terminal.now())
        const { message, complete } = prepareRootCertificate(terms, keyObjectOf(publicKey))
        const { signature } = await signIn(token, place.id, message, publicKey)
        const certificate = complete(ecdsaSignatureDer(signature))
        await write(`${formatKeyUri(place)}\n`, certificate)
        return certificateKey(certificate)
      }
      return id === undefined ? orForget(token, place, make) : make()
    }),
  )
}

/**
 * Opens the root key at `reference` for `use`. It must be the key of FILE.crt, or where there is no such file of one of `listed`.
 * @throws CliError ROOT_CERTIFICATE_MISMATCH, USAGE_INVALID; ConfigError SECRET_FILE_*; KeyHolderError CUSTODY_*; TufError CERTIFICATE_*;
 * what `use` throws
 */
export async function withTokenRoot<T>(
  terminal: Terminal,
  { file, opening, gun, listed = [] }: NamedRoot,
  reference: string,
  use: (root: RootKey) => Promise<T>,
): Promise<T> {
  const { id, token: uri } = parsePlaceUri(reference)
  if (id === undefined) {
    throw new CliError('ROOT_KEY_FILE_UNSUITABLE', `${file} names a token, and no key in it (id).`, { facts: { file } })
  }
  return withToken(terminal, uri, opening, async (token) => {
    const bare = publicKeyIn(await token.point(id), uri)
    const key = await certificateOf(file, bare, listed)
    verifyRootCertificate(key, gun, terminal.now())
    return use({
      certificatePem: certificatePem(key),
      key,
      sign: (message) => signIn(token, id, message, bare),
    })
  })
}

/** @throws CliError ROOT_CERTIFICATE_MISMATCH, FILE_UNREADABLE; TufError CERTIFICATE_* */
async function certificateOf(file: string, bare: PublicKey, listed: readonly PublicKey[]): Promise<PublicKey> {
  if (listed.length > 0 && !existsSync(certificateFileOf(file))) return listedCertificate(file, bare, listed)
  const key = await readCertificate(file)
  requireSameKey(file, key, bare)
  return key
}

/** What cannot be destroyed now is named, so that a person can. */
async function orForget<T>(token: Token, place: TokenKeyUri, make: () => Promise<T>): Promise<T> {
  try {
    return await make()
  } catch (cause) {
    if (await isForgotten(token, place)) throw cause
    const uri = formatKeyUri(place)
    const because = cause instanceof CodedError ? `${String(cause.code)}: ${cause.message}` : 'an unexpected error'
    throw new CliError(
      'ROOT_KEY_LEFT_IN_TOKEN',
      `The root key was not made (${because}), and something of it may be in the token: ${uri}.`,
      {
        facts: { uri },
        next: 'Destroy it with the tools of the token, and begin again.',
        cause,
      },
    )
  }
}

/** A token whose session was lost is asked in a new one, after the pause that it makes. */
async function isForgotten(token: Token, { id, serial }: TokenKeyUri): Promise<boolean> {
  for (const pauseMs of [0, 500]) {
    await sleep(pauseMs)
    try {
      await token.destroy(id, serial)
      return true
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
    }
  }
  return false
}

async function withToken<T>(
  terminal: Terminal,
  uri: TokenUri,
  { module, pinFile }: TokenOpening,
  use: (token: Token) => Promise<T>,
): Promise<T> {
  if (module === undefined) throw new CliError('USAGE_INVALID', 'A key in a token needs --module FILE.')
  const pin = pinFile === undefined ? await askedPin(terminal, uri) : readSecretFile(pinFile).reveal()
  const token = new Token({
    uri,
    module,
    environment: environmentOf(terminal),
    timeLimitMs: TIME_LIMIT_MS,
    readPin: () => Buffer.from(pin),
    givesPinToKeys: true,
  })
  try {
    return await use(token)
  } finally {
    token.close()
  }
}

/** @throws CliError USAGE_INVALID where there is nobody to ask */
async function askedPin(terminal: Terminal, { token }: TokenUri): Promise<string> {
  const pin = (await terminal.askSecret?.(`PIN of the token ${token}: `)) ?? ''
  if (pin !== '') return pin
  throw new CliError('USAGE_INVALID', 'The PIN of the token is missing: --pin-file FILE, or answer on a terminal.')
}

/** The module is the user's, and finds its own settings. */
function environmentOf({ env }: Terminal): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined || WITHHELD.test(name) ? [] : [[name, value]])),
  )
}
