// From the configuration to clients of trust servers and registries. Files are read here, so that a missing one shows at the start.
import { readFileSync } from 'node:fs'
import type { Gun } from '@countersign/tuf'
import { readPublicFile } from '../config/public-file.ts'
import { readSecretBytes, readSecretFile } from '../config/secret-file.ts'
import {
  registrySchema,
  type CredentialsConfig,
  type RegistryConfig,
  type TrustServerConfig,
} from '../config/schema.ts'
import { parsePattern } from '../domain/pattern.ts'
import type { RemoteOptions } from '../net/authenticated-client.ts'
import { ANONYMOUS, type CredentialSource, passwordSource } from '../net/credentials.ts'
import { defaultDockerConfigFile, dockerConfigSource } from '../net/docker-config.ts'
import { NotaryClient } from '../notary/client.ts'
import { TrustServers } from '../notary/trust-servers.ts'
import { RegistryClient } from '../registry/client.ts'
import { Registries, unconfiguredRegistryUrl, wellKnownRegistry } from '../registry/registries.ts'

type RemoteConfig = Pick<
  TrustServerConfig,
  'caFile' | 'clientCertFile' | 'clientKeyFile' | 'tokenRealms' | 'credentials' | 'timeouts'
>

/**
 * @param placeOf the server to which a repository has moved
 * @throws ConfigError where a file cannot be used
 */
export function connectTrustServers(
  servers: readonly TrustServerConfig[],
  placeOf?: (gun: Gun) => string | undefined,
): TrustServers {
  return new TrustServers(
    servers.map((server) => ({
      name: server.name ?? server.url,
      url: server.url,
      guns: server.guns.map(parsePattern),
      client: new NotaryClient(remoteOptions(server, server.url, [])),
    })),
    placeOf,
  )
}

/**
 * With an empty list every registry is reached where its name says, and without credentials: nothing is asked of it but for repositories
 * that an administrator registered.
 * @throws ConfigError where a file cannot be used
 */
export function connectRegistries(registries: readonly RegistryConfig[]): Registries {
  const connected = registries.map((registry) => ({ host: registry.host, client: registryClient(registry) }))
  if (registries.length > 0) return new Registries(connected)
  return new Registries([], (host) => {
    const registry = registrySchema.safeParse({ host, url: unconfiguredRegistryUrl(host) })
    return registry.success ? registryClient(registry.data) : undefined
  })
}

function registryClient(registry: RegistryConfig): RegistryClient {
  const known = wellKnownRegistry(registry.host)
  const options = remoteOptions(registry, registry.url ?? known.url, known.tokenRealms)
  return new RegistryClient({ ...options, host: registry.host, maxManifestBytes: registry.limits.manifest })
}

function remoteOptions(config: RemoteConfig, url: string, realms: readonly string[]): RemoteOptions {
  return {
    url,
    tls: tlsOptions(config),
    timeouts: {
      connectMs: config.timeouts.connect,
      headersMs: config.timeouts.headers,
      totalMs: config.timeouts.total,
    },
    tokenRealms: [...realms, ...config.tokenRealms],
    credentials: credentialSource(config.credentials),
  }
}

function tlsOptions({ caFile, clientCertFile, clientKeyFile }: RemoteConfig): RemoteOptions['tls'] {
  return {
    ...(caFile !== undefined && { caPem: readPublicFile(caFile).toString('utf8') }),
    ...(clientCertFile !== undefined && { clientCertificatePem: readPublicFile(clientCertFile).toString('utf8') }),
    ...(clientKeyFile !== undefined && { clientKeyPem: readSecretBytes(clientKeyFile).toString('utf8') }),
  }
}

/** Files are checked now and read again at each use, so that a rotated password counts at once. */
function credentialSource(config: CredentialsConfig): CredentialSource {
  switch (config.kind) {
    case 'anonymous':
      return ANONYMOUS
    case 'docker-config':
      return dockerConfigSource(config.file ?? defaultDockerConfigFile(process.env))
    case 'file': {
      const { username, usernameFile, passwordFile } = config
      const readUsername = () => username ?? readFileSync(usernameFile ?? '', 'utf8').trim()
      const readPassword = () => readSecretFile(passwordFile).reveal()
      readPassword()
      if (usernameFile !== undefined) readPublicFile(usernameFile)
      return passwordSource(readUsername, readPassword)
    }
  }
}
