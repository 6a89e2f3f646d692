// Starts and stops the trust server: database, key holder's socket, HTTP, background, in this order.
import { resolve } from 'node:path'
import { ConfigError } from '../config/errors.ts'
import { readPublicFile } from '../config/public-file.ts'
import { readSecretBytes } from '../config/secret-file.ts'
import { openDatabaseFolder } from '../data-folder.ts'
import { parsePattern } from '../domain/pattern.ts'
import { listen, type ListenerSettings } from '../http-listener.ts'
import { createLog, type Log } from '../log.ts'
import type { SqliteDatabase } from '../sqlite/database.ts'
import { programVersion } from '../version.ts'
import { Access, type AccessOptions } from './access.ts'
import { buildApplication } from './application.ts'
import { answerBrokenRequest } from './broken-request.ts'
import type { TrustServerConfig } from './config.ts'
import { CredentialList } from './credential-list.ts'
import { HolderSigner } from './holder-signer.ts'
import { MemoryBudget } from './memory-budget.ts'
import { MetadataStore } from './metadata-store.ts'
import { Metrics } from './metrics.ts'
import { OwnTokens } from './own-tokens.ts'
import { Publications, type PublicationStep } from './publications.ts'
import { RegistryTokens } from './registry-tokens.ts'
import { Renewals } from './renewals.ts'
import { SCHEMA } from './schema.ts'
import { Retention, type RetentionSettings } from './retention.ts'
import type { ServerSigner } from './signer.ts'
import { SupersededVersions } from './superseded-versions.ts'

const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 100

export { parseTrustServerConfig, type TrustServerConfig } from './config.ts'

const DATABASE_FILE = 'trust-server.db'

/** For tests: a clock, another key holder, a look at each step, a log. */
export interface TrustServerOptions {
  readonly now?: () => Date
  readonly signer?: ServerSigner & { close?(): void }
  readonly step?: (step: PublicationStep) => void
  readonly log?: Log
  /** Opened already; closed here. */
  readonly database?: SqliteDatabase
}

export interface RunningTrustServer {
  readonly url: string
  /** No new requests; resolves when those under way are answered and everything is closed. */
  stop(): Promise<void>
}

/** @throws ConfigError where a file that the configuration names cannot be used; StoreError; Error where the address is taken */
export async function startTrustServer(
  config: TrustServerConfig,
  options: TrustServerOptions = {},
): Promise<RunningTrustServer> {
  const log = options.log ?? createLog(config.log.level)
  const now = options.now ?? (() => new Date())
  const access = new Access(accessOptions(config, now))
  const listener = listenerSettings(config)
  const database =
    options.database ?? openDatabaseFolder(resolve(config.dataFolder), { database: DATABASE_FILE, schema: SCHEMA })
  const signer = options.signer ?? new HolderSigner(config.keyHolderSocket, config.keyHolderTimeout)
  const store = new MetadataStore(database, now)
  const publications = new Publications({
    store,
    signer,
    log,
    ...(options.step !== undefined && { step: options.step }),
  })
  const { timestampBefore, snapshotBefore, every } = config.renewal
  const settings = { timestampBeforeMs: timestampBefore, snapshotBeforeMs: snapshotBefore, everyMs: every }
  const renewals = new Renewals({ store, publications, settings, log, now })
  const metrics = new Metrics(programVersion(), {
    repositories: () => store.count(),
    isKeyHolderUp: async () => (await signer.fault()) === undefined,
    uploadBytes: () => budget.used,
  })
  const retention = new Retention({
    superseded: new SupersededVersions(database, now),
    settings: retentionSettings(config),
    log,
    now,
    removed: (removal) => {
      metrics.removed(removal)
    },
  })
  const budget = new MemoryBudget(config.limits.memory)
  const app = buildApplication({
    store,
    publications,
    renewals,
    signer,
    access,
    budget,
    metrics,
    log,
    limits: { fileBytes: config.limits.fileBytes, bodyBytes: config.limits.updateBytes, parts: config.limits.parts },
    maxAge: { current: seconds(config.caching.current), fixed: seconds(config.caching.fixed) },
    areMetricsOpen: config.metrics.open,
  })
  const close = (): void => {
    signer.close?.()
    database.close()
  }
  const handle = app.callback()
  const server = await listen(
    (request, response) => void handle(request, response),
    listener,
    (error, socket) => {
      log.info({ code: error.code }, 'refused a request that could not be parsed, or did not come in time')
      answerBrokenRequest(error, socket)
    },
  ).catch((error: unknown) => {
    close()
    throw error
  })
  const stopping = new AbortController()
  const background = Promise.all([renewals.run(stopping.signal), retention.run(stopping.signal)])
  log.info({ url: server.url, version: programVersion() }, 'the trust server listens')
  return {
    url: server.url,
    stop: once(async () => {
      stopping.abort()
      await server.stop()
      await publications.idle()
      await background
      close()
      log.info({}, 'the trust server stopped')
    }),
  }
}

function accessOptions({ access, http }: TrustServerConfig, now: () => Date): AccessOptions {
  const withPatterns = <T extends { readonly repositories: readonly string[] }>(one: T) => ({
    ...one,
    repositories: one.repositories.map(parsePattern),
  })
  const tokens = access.tokens.map(({ expiresAt, ...token }) => ({
    ...withPatterns(token),
    ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt) }),
  }))
  return {
    credentials: new CredentialList({ tokens, certificates: access.clientCertificates.map(withPatterns), now }),
    tokens:
      access.tokenServer === undefined
        ? { kind: 'own', own: new OwnTokens(now) }
        : { kind: 'registry', registry: registryTokens(access.tokenServer, now) },
    isReadingOpen: access.reads === 'open',
    ...(http.publicUrl !== undefined && { publicUrl: http.publicUrl }),
  }
}

function registryTokens(
  { realm, service, issuer, rootCertBundle }: NonNullable<TrustServerConfig['access']['tokenServer']>,
  now: () => Date,
): RegistryTokens {
  const rootCertificatesPem = readPublicFile(rootCertBundle).toString('latin1')
  try {
    return new RegistryTokens({ realm, service, issuer, rootCertificatesPem }, now)
  } catch (cause) {
    throw new ConfigError('CONFIG_UNREADABLE', `The file ${rootCertBundle} holds no certificates.`, [], { cause })
  }
}

function listenerSettings({ http }: TrustServerConfig): ListenerSettings {
  const { tls } = http
  return {
    listen: http.listen,
    headersTimeoutMs: http.headersTimeout,
    requestTimeoutMs: http.requestTimeout,
    shutdownTimeoutMs: http.shutdownTimeout,
    maxConnections: http.maxConnections,
    maxHeaderBytes: MAX_HEADER_BYTES,
    maxHeaders: MAX_HEADERS,
    maxRequestsPerConnection: 0,
    ...(tls !== undefined && {
      tls: {
        cert: readPublicFile(tls.certFile),
        key: readSecretBytes(tls.keyFile),
        ...(tls.clientCaFile !== undefined && { clientCa: readPublicFile(tls.clientCaFile) }),
      },
    }),
  }
}

function retentionSettings({ retention: { versions, age, every } }: TrustServerConfig): RetentionSettings {
  return { everyMs: every, ...(versions !== undefined && { versions }), ...(age !== undefined && { ageMs: age }) }
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}

function once(work: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined
  return () => (result ??= work())
}
