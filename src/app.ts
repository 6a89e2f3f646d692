// Builds every part of the daemon once from its configuration, starts them in order and stops them in order. It holds no rules.
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CheckpointLog } from './app/checkpoint-log.ts'
import { DriftPoll } from './app/drift-poll.ts'
import { ExpiryWatch } from './app/expiry-watch.ts'
import { writeFirstToken } from './app/first-token.ts'
import { ForeignPoll } from './app/foreign-poll.ts'
import { Health } from './app/health.ts'
import { connectIssuers } from './app/identity.ts'
import { observe, pushSources, queueSources } from './app/observation.ts'
import { PushPoll } from './app/push-poll.ts'
import { connectPushSecrets } from './app/push-secrets.ts'
import { PolicyFolderSource } from './app/policy-source.ts'
import { connectRegistries, connectTrustServers } from './app/remotes.ts'
import { systemClock, systemPause, systemRandom, timeSortedIdentifiers } from './app/system.ts'
import type { TrustServerProbe } from './app/trust-server-probe.ts'
import { connectWebhooks } from './app/webhooks.ts'
import { certificateRules } from './config/identity-settings.ts'
import { pushSource } from './config/push-settings.ts'
import { readPublicFile } from './config/public-file.ts'
import { readSecretBytes } from './config/secret-file.ts'
import { renewalOf } from './config/renewal-settings.ts'
import type { Config } from './config/schema.ts'
import { grantsPolicy } from './domain/policy.ts'

import { KeyHolderClient } from './holder/client.ts'
import { Metrics } from './http/metrics.ts'
import { HttpServer } from './http/server.ts'
import type { Log } from './log.ts'
import { createServices } from './service/create-services.ts'
import type { Services } from './service/services.ts'
import type { PublicationStep } from './service/steps.ts'
import type { StoreDatabase } from './store/database.ts'
import { SqliteRepositoryStore } from './store/repositories.ts'
import { SqliteRequestStore } from './store/requests.ts'
import { SqlitePushedTags } from './store/pushed-tags.ts'
import { SqliteSeenVersions } from './store/seen-versions.ts'
import { SqliteSignedTags } from './store/signed-tags.ts'
import { SqliteTokenStore } from './store/tokens.ts'
import { programVersion } from './version.ts'

export interface AppOptions {
  readonly config: Config
  readonly log: Log
  /** Open; the app closes it. */
  readonly database: StoreDatabase
  /** Where the first administrator's token is written, where there is no token at all. */
  readonly firstTokenFile: string
  /** The embedded trust server; the app closes it. Absent where there is none. */
  readonly trustServer?: TrustServerProbe
  /** Tells a person at the terminal; never a secret. */
  readonly tell: (line: string) => void
  /** For tests: hears each step of a publication when it is done. */
  readonly onStep?: (step: PublicationStep) => void
}

export interface RunningApp {
  /** Where the API listens. */
  readonly url: string
  /** No new work; resolves when the steps at hand are finished and everything is closed. */
  stop(): Promise<void>
}

/** The first pause before a change is tried again, in milliseconds; it doubles. */
const BACKOFF_MS = 500
/** How often unfinished requests are taken up, in milliseconds. */
const RECONCILE_EVERY_MS = 5_000
/** How often every repository is looked at, in milliseconds. */
const LOOK_EVERY_MS = 3_600_000
/** How often a new checkpoint of the audit log goes to the log stream, in milliseconds. */
const CHECKPOINT_EVERY_MS = 300_000
/** How often the policy folder is looked at, in milliseconds. */
const POLICY_LOOK_EVERY_MS = 2_000
/** How often it is looked what webhooks are to tell that no request is about, in milliseconds. */
const LOOK_FOR_WEBHOOKS_EVERY_MS = 300_000
/** How often it is looked for pushed tags that have been unsigned for too long, in milliseconds. */
const TELL_UNSIGNED_EVERY_MS = 10_000
/** How often events that are too old are forgotten, in milliseconds. */
const PRUNE_EVERY_MS = 3_600_000
/** How often the first token is tried, in milliseconds, while the key holder cannot record it. */
const FIRST_TOKEN_EVERY_MS = 500

/** @throws ConfigError where a file that the configuration names cannot be used; Error where the address is taken */
export async function startApp(o: AppOptions): Promise<RunningApp> {
  const { config, log, database } = o
  const stopping = new AbortController()
  const keyHolder = new KeyHolderClient(config.keyHolder.serviceSocket, {
    timeoutMs: config.keyHolder.timeout,
    onFailure: (code) => {
      metrics.keyHolderFailed(code)
    },
  })
  const registries = connectRegistries(config.registries)
  const renewal = renewalOf(config.renewal)
  const identifiers = timeSortedIdentifiers(systemClock, systemRandom)
  const pause = systemPause(stopping.signal)
  const repositories = new SqliteRepositoryStore(database)
  const trustServers = connectTrustServers(config.trustServers, (gun) => repositories.find(gun)?.trustServer)
  const webhooks = connectWebhooks({
    config: config.webhooks,
    database,
    repositories,
    keyHolder,
    clock: systemClock,
    identifiers,
    pause,
    random: systemRandom,
    log,
    metrics: () => metrics,
  })
  const stores = {
    requests: new SqliteRequestStore(database, webhooks.store),
    repositories,
    tokens: new SqliteTokenStore(database),
  }
  const policyFolder =
    config.policies.folder === undefined ? undefined : new PolicyFolderSource(config.policies.folder, log, keyHolder)
  const policies = policyFolder ?? { current: () => grantsPolicy }
  const health = new Health({
    keyHolder,
    database,
    clock: systemClock,
    log,
    ...(o.trustServer !== undefined && { trustServer: o.trustServer }),
  })
  const metrics = new Metrics(programVersion(), {
    ...queueSources(stores.requests, systemClock),
    ...(policyFolder !== undefined && { isPolicyFolderFaulty: () => policyFolder.state.faults.length > 0 }),
    isKeyHolderUp: async () => (await health.keyHolder()) === 'ok',
    tokens: () => health.tokens(),
    daysToNextExpiry: () => watch.daysToNextExpiry(),
    daysToNextExpiryByClass: () => watch.daysToNextExpiryByClass(),
    driftCounts: () => services.drift.counts(),
    ...(config.signOnPush.sources.length > 0 && pushSources(() => services.pushes.counts(), systemClock)),
    webhookCounts: () => webhooks.counts(),
  })
  const issuers = connectIssuers(config.identity.issuers, { clock: systemClock, log, metrics })
  const seen = new SqliteSeenVersions(database, webhooks.store)
  const services = createServices({
    ...stores,
    verifier: issuers.verifier,
    source: trustServers,
    feeds: trustServers,
    publisher: trustServers,
    trustServers,
    resolver: registries,
    keyHolder,
    policies,
    clock: systemClock,
    identifiers,
    pause,
    freezes: webhooks.store,
    seen,
    signedTags: new SqliteSignedTags(database, webhooks.store),
    pushedTags: new SqlitePushedTags(database, webhooks.store),
    pushSecrets: connectPushSecrets(config.signOnPush.sources),
    random: systemRandom,
    observer: observe(log, metrics),
    settings: {
      signerName: config.signerName,
      attempts: config.requests.attempts,
      patienceMs: config.requests.patience,
      contentionMs: config.requests.contention,
      renewal,
      drift: { everyMs: config.drift.every, graceMs: config.drift.grace },
      signOnPush: {
        sources: config.signOnPush.sources.map(pushSource),
        queue: config.signOnPush.queue,
        alertAfterMs: config.signOnPush.alertAfter,
      },
      backoffMs: BACKOFF_MS,
      maxImages: config.limits.imagesPerRequest,
      ...(process.getuid !== undefined && { uid: process.getuid() }),
    },
    ...(o.onStep !== undefined && { onStep: o.onStep }),
  })
  const watch = new ExpiryWatch({ services, clock: systemClock, log, renewal, notices: webhooks.store })
  const foreign = new ForeignPoll({
    watch: services.foreignWatch,
    repositories,
    feeds: trustServers,
    positions: seen,
    clock: systemClock,
    log,
    fullEveryMs: config.watch.fullEvery,
  })
  const drift = new DriftPoll(services.drift, log)
  const pushes = new PushPoll(services.pushes, log, config.signOnPush)
  const checkpoints = new CheckpointLog(keyHolder, log)
  const { tls } = config.http
  const server = new HttpServer({
    services: { ...services, webhooks: webhooks.service },
    probes: health,
    metrics,
    log,
    settings: config,
    version: programVersion(),
    ...(tls !== undefined && {
      tls: {
        cert: readPublicFile(tls.certFile),
        key: readSecretBytes(tls.keyFile),
        ...(tls.clientCaFile !== undefined && { clientCa: readPublicFile(tls.clientCaFile) }),
      },
      certificates: certificateRules(config.identity.certificates),
    }),
  })
  const { url } = await server.start()
  log.info({ url }, 'listening')
  // What the last daemon left.
  webhooks.dispatcher.wake()
  const background = Promise.all([
    bringUp(o, services, health, stopping.signal),
    repeat(RECONCILE_EVERY_MS, stopping.signal, log, () => {
      // Not waited for: one repository whose server hangs must not keep the others from being taken up.
      services.reconciler.run().catch((error: unknown) => {
        log.error({ error }, 'unfinished requests cannot be taken up; it is tried again')
      })
      return Promise.resolve()
    }),
    ...(policyFolder === undefined
      ? []
      : [repeat(POLICY_LOOK_EVERY_MS, stopping.signal, log, () => policyFolder.look())]),
    repeat(LOOK_EVERY_MS, stopping.signal, log, () => watch.look(stopping.signal)),
    ...(config.watch.every === 0
      ? []
      : [repeat(config.watch.every, stopping.signal, log, () => foreign.look(stopping.signal))]),
    ...(config.drift.every === 0
      ? []
      : [repeat(60_000 / config.drift.requestsPerMinute, stopping.signal, log, () => drift.look())]),
    untilStopped(stopping.signal, async () => rest(await pushes.look(), stopping.signal)),
    ...(config.signOnPush.sources.length === 0
      ? []
      : [repeat(TELL_UNSIGNED_EVERY_MS, stopping.signal, log, () => pushes.tellOverdue())]),
    repeat(CHECKPOINT_EVERY_MS, stopping.signal, log, () => checkpoints.look()),
    repeat(LOOK_FOR_WEBHOOKS_EVERY_MS, stopping.signal, log, () => webhooks.watch.look(stopping.signal)),
    repeat(PRUNE_EVERY_MS, stopping.signal, log, () => webhooks.dispatcher.prune(stopping.signal)),
  ])
  return {
    url,
    stop: once(async () => {
      await server.stop()
      const finished = services.reconciler.stop()
      // Pauses between attempts end now; the steps at hand do not.
      stopping.abort()
      await finished
      await background
      await webhooks.dispatcher.stop()
      keyHolder.close()
      await Promise.all([trustServers.close(), registries.close(), issuers.close(), o.trustServer?.close()])
      database.close()
      log.info({}, 'stopped')
    }),
  }
}

/** Makes the first token as soon as the key holder can record it, then declares the start complete. */
async function bringUp(o: AppOptions, services: Services, health: Health, stopping: AbortSignal): Promise<void> {
  const hasToken = new SqliteTokenStore(o.database).list().length > 0
  if (hasToken && isEmptyFile(o.firstTokenFile)) {
    o.log.error(
      { file: o.firstTokenFile },
      'the secret of the first token was lost in a crash: stop, remove the database and this file, and start again',
    )
  }
  for (let attempt = 1; !hasToken && !stopping.aborted; attempt++) {
    try {
      if (await writeFirstToken(services.tokens, o.firstTokenFile)) {
        o.log.info({ file: o.firstTokenFile }, 'wrote the first administrator token')
        o.tell(`The first administrator's token is in ${o.firstTokenFile}`)
      }
      break
    } catch (error) {
      if (attempt === 1) o.log.warn({ error }, 'the first token cannot be made yet; it is tried again')
    }
    await rest(FIRST_TOKEN_EVERY_MS, stopping)
  }
  health.started()
  o.log.info(
    { keyHolder: await health.keyHolder(), trustServer: await health.trustServer?.(), database: health.database() },
    'started',
  )
}

function isEmptyFile(path: string): boolean {
  return existsSync(path) && readFileSync(path).byteLength === 0
}

async function repeat(everyMs: number, stopping: AbortSignal, log: Log, work: () => Promise<void>): Promise<void> {
  while (!stopping.aborted) {
    try {
      await work()
    } catch (error) {
      log.error({ error }, 'background work failed; it is tried again')
    }
    await rest(everyMs, stopping)
  }
}

async function untilStopped(stopping: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!stopping.aborted) await work()
}

async function rest(milliseconds: number, stopping: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal: stopping }).catch(() => undefined)
}

function once(work: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined
  return () => (result ??= work())
}
