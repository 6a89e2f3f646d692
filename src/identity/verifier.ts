// Verifies tokens of the configured issuers: first what needs no key, then the signature by the key that its issuer publishes under this
// name, with the one algorithm that this key is for.
import { compactVerify, errors } from 'jose'
import { readIdToken } from '../domain/id-token.ts'
import { OidcError } from '../domain/oidc-errors.ts'
import type { Clock } from '../domain/ports.ts'
import type { WorkloadIssuer } from '../domain/workload-identity.ts'
import type { TokenVerifier, VerifiedToken } from '../domain/workload-ports.ts'
import { KeyCache, type KeyObserver } from './key-cache.ts'
import type { KeyLoader } from './key-loaders.ts'

export interface KnownIssuer {
  readonly issuer: WorkloadIssuer
  readonly load: KeyLoader
  readonly observe: KeyObserver
}

export class IdTokenVerifier implements TokenVerifier {
  readonly #issuers: readonly WorkloadIssuer[]
  readonly #keys: ReadonlyMap<string, KeyCache>
  readonly #clock: Clock

  constructor(known: readonly KnownIssuer[], clock: Clock) {
    this.#issuers = known.map(({ issuer }) => issuer)
    this.#keys = new Map(
      known.map(({ issuer, load, observe }) => [issuer.name, new KeyCache(load, () => clock.now().getTime(), observe)]),
    )
    this.#clock = clock
  }

  knows(issuerName: string): boolean {
    return this.#keys.has(issuerName)
  }

  async verify(text: string): Promise<VerifiedToken> {
    const { issuer, algorithm, keyId, ...token } = readIdToken(text, this.#issuers, this.#clock.now())
    const found = await this.#keys.get(issuer.name)?.find(keyId)
    if (found?.algorithm !== algorithm) {
      throw new OidcError('OIDC_ALGORITHM_REFUSED', 'The key of this token is for another algorithm.', {
        issuer: issuer.name,
      })
    }
    try {
      await compactVerify(text, found.key, { algorithms: algorithm === 'EdDSA' ? ['EdDSA', 'Ed25519'] : [algorithm] })
    } catch (cause) {
      if (!(cause instanceof errors.JOSEError)) throw cause
      throw new OidcError(
        'OIDC_SIGNATURE_INVALID',
        'The signature is not by the key that it names.',
        { issuer: issuer.name },
        { cause },
      )
    }
    return { issuer, ...token }
  }
}
