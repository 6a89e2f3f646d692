// Where the keys of an issuer come from: where its discovery document says, an address of the configuration, or a file.
import { open } from 'node:fs/promises'
import { OidcError } from '../domain/oidc-errors.ts'
import { isPassing, NetError } from '../net/errors.ts'
import type { HttpClient } from '../net/http-client.ts'
import { invalidProvider, MAX_KEY_SET_BYTES, readObject } from './key-set.ts'

/** Brings the bytes of a key set. @throws OidcError OIDC_PROVIDER_UNREACHABLE, OIDC_PROVIDER_INVALID */
export type KeyLoader = () => Promise<Uint8Array>

/** OpenID Connect Discovery 1.0, 4: the document must name the issuer that was asked for, or somebody else answers in its place. */
export function discoveredKeys(client: HttpClient, issuer: string): KeyLoader {
  return async () => {
    const path = `${new URL(issuer).pathname.replace(/\/$/, '')}/.well-known/openid-configuration`
    const document = readObject(await get(client, path), 'discovery document')
    if (document.get('issuer') !== issuer) throw invalidProvider('its discovery document names another issuer')
    const address = document.get('jwks_uri')
    const url = typeof address === 'string' ? URL.parse(address) : null
    // An issuer could name any host inside this network; where its keys do stand elsewhere, the operator says so.
    if (url === null || url.origin !== client.origin) {
      throw invalidProvider('its keys stand on another host; if that is right, name jwksUrl')
    }
    return get(client, url.pathname + url.search)
  }
}

export function keysAt(client: HttpClient, url: string): KeyLoader {
  const { pathname, search } = new URL(url)
  return () => get(client, pathname + search)
}

/** Read again like any other source, so that new keys need no restart. */
export function keysInFile(path: string): KeyLoader {
  return async () => {
    try {
      const file = await open(path)
      try {
        const buffer = Buffer.alloc(MAX_KEY_SET_BYTES + 1)
        const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, 0)
        return buffer.subarray(0, bytesRead)
      } finally {
        await file.close()
      }
    } catch (cause) {
      throw new OidcError(
        'OIDC_PROVIDER_UNREACHABLE',
        'The file with the keys of the issuer cannot be read.',
        {},
        { cause },
      )
    }
  }
}

async function get(client: HttpClient, path: string): Promise<Uint8Array> {
  const facts = { server: client.origin }
  try {
    const { status, body } = await client.request({
      method: 'GET',
      path,
      headers: { accept: 'application/json' },
      maxBytes: MAX_KEY_SET_BYTES,
    })
    if (status === 200) return body
    if (status === 429 || status >= 500) {
      throw new OidcError('OIDC_PROVIDER_UNREACHABLE', 'The issuer is not able to answer now.', { ...facts, status })
    }
    throw invalidProvider(`it answers with HTTP ${status}; redirects are not followed`)
  } catch (cause) {
    if (!(cause instanceof NetError)) throw cause
    if (!isPassing(cause)) throw invalidProvider(cause.code, cause)
    const message = 'The issuer cannot be reached now.'
    throw new OidcError('OIDC_PROVIDER_UNREACHABLE', message, { ...facts, failure: cause.code }, { cause })
  }
}
