// From the configuration to a verifier of the issuers' tokens. Files are read here, so that a missing one shows at the start.
import { readPublicFile } from '../config/public-file.ts'
import { ConfigError } from '../config/errors.ts'
import { workloadIssuer, type IssuerConfig } from '../config/identity-settings.ts'
import type { OidcError } from '../domain/oidc-errors.ts'
import type { Clock, TokenVerifier } from '../domain/ports.ts'
import type { Metrics } from '../http/metrics.ts'
import { discoveredKeys, keysAt, keysInFile, type KeyLoader } from '../identity/key-loaders.ts'
import { readKeySet } from '../identity/key-set.ts'
import { IdTokenVerifier } from '../identity/verifier.ts'
import type { Log } from '../log.ts'
import { HttpClient, type TlsOptions } from '../net/http-client.ts'

const TIMEOUTS = { connectMs: 5_000, headersMs: 5_000, totalMs: 10_000 }

export interface ConnectedIssuers {
  readonly verifier: TokenVerifier
  close(): Promise<void>
}

/** No issuer is asked before the first token comes: one that is down holds up no start. @throws ConfigError */
export function connectIssuers(
  issuers: readonly IssuerConfig[],
  o: { readonly clock: Clock; readonly log: Log; readonly metrics: Pick<Metrics, 'issuerAsked'> },
): ConnectedIssuers {
  const clients: HttpClient[] = []
  const connect = (url: string, tls: TlsOptions): HttpClient => {
    const client = new HttpClient(new URL(url).origin, tls, TIMEOUTS)
    clients.push(client)
    return client
  }
  const known = issuers.map((config) => ({
    issuer: workloadIssuer(config),
    load: loaderOf(config, connect),
    observe: (failure: OidcError | undefined) => {
      o.metrics.issuerAsked(config.name, failure === undefined ? 'ok' : failure.code)
      if (failure === undefined) o.log.debug({ issuer: config.name }, 'read the keys of an issuer')
      else o.log.warn({ issuer: config.name, error: failure }, 'the keys of an issuer cannot be read')
    },
  }))
  return {
    verifier: new IdTokenVerifier(known, o.clock),
    close: async () => {
      await Promise.all(clients.map((client) => client.close()))
    },
  }
}

function loaderOf(config: IssuerConfig, connect: (url: string, tls: TlsOptions) => HttpClient): KeyLoader {
  const { issuer, jwksUrl, jwksFile, caFile } = config
  if (jwksFile !== undefined) {
    checkKeyFile(jwksFile)
    return keysInFile(jwksFile)
  }
  const tls = caFile === undefined ? {} : { caPem: readPublicFile(caFile).toString('utf8') }
  return jwksUrl === undefined ? discoveredKeys(connect(issuer, tls), issuer) : keysAt(connect(jwksUrl, tls), jwksUrl)
}

/** @throws ConfigError CONFIG_UNREADABLE */
function checkKeyFile(path: string): void {
  try {
    if (readKeySet(readPublicFile(path)).size > 0) return
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError('CONFIG_UNREADABLE', `The file ${path} is no JSON Web Key Set.`, [], { cause })
  }
  throw new ConfigError('CONFIG_UNREADABLE', `The file ${path} holds no key that can verify tokens here.`)
}
