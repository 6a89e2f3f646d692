// Webhooks put together: from the configuration to a store that fans events out, a sender, a dispatcher and the operators' service.
import { createHash } from 'node:crypto'
import { ConfigError } from '../config/errors.ts'
import { readPublicFile } from '../config/public-file.ts'
import type { Config, WebhookEndpointConfig } from '../config/schema.ts'
import { readSecretFile } from '../config/secret-file.ts'
import { parsePattern } from '../domain/pattern.ts'
import { codeOf } from '../domain/port-faults.ts'
import type { Clock, IdentifierSource, KeyHolder, Pause, RandomSource, RepositoryStore } from '../domain/ports.ts'
import type { Metrics } from '../http/metrics.ts'
import type { Log } from '../log.ts'
import { type DeliveryObserver, WebhookDispatcher } from '../service/webhook-dispatcher.ts'
import { Webhooks, type WebhookService } from '../service/webhooks.ts'
import type { StoreDatabase } from '../store/database.ts'
import { SqliteWebhookStore } from '../store/webhooks.ts'
import { type EndpointOptions, HttpWebhookSender } from '../webhook/sender.ts'
import { parseWebhookSecret } from '../webhook/signature.ts'
import { WebhookWatch } from './webhook-watch.ts'

export interface WebhookOptions {
  readonly config: Config['webhooks']
  readonly database: StoreDatabase
  readonly repositories: Pick<RepositoryStore, 'list'>
  readonly keyHolder: KeyHolder
  readonly clock: Clock
  readonly identifiers: IdentifierSource
  readonly pause: Pause
  readonly random: RandomSource
  readonly log: Log
  /** Asked when the first attempt has ended. */
  readonly metrics: () => Metrics
}

export interface AppWebhooks {
  readonly store: SqliteWebhookStore
  readonly dispatcher: WebhookDispatcher
  readonly watch: WebhookWatch
  readonly service: WebhookService
  /** Deliveries that wait, and that were given up, by endpoint. */
  counts(): ReadonlyMap<string, { readonly pending: number; readonly dead: number }>
}

/** @throws ConfigError where a secret or certificate file cannot be used; StoreError */
export function connectWebhooks(o: WebhookOptions): AppWebhooks {
  const { config, database, repositories, keyHolder, clock, identifiers, pause, random, log } = o
  const endpoints = config.endpoints.map((endpoint) => ({
    name: endpoint.name,
    origin: new URL(endpoint.url).origin,
    events: endpoint.events,
    repositories: endpoint.repositories.map(parsePattern),
    configuration: createHash('sha256').update(JSON.stringify(endpoint)).digest('hex'),
  }))
  const wake = (): void => {
    dispatcher.wake()
  }
  const store = new SqliteWebhookStore({ database, endpoints, identifiers, onRecorded: wake })
  store.takeConfiguration(clock.now())
  const sender = new HttpWebhookSender(config.endpoints.map(endpointOptions))
  const dispatcher = new WebhookDispatcher(
    { store, sender, clock, pause, random, observer: observeDeliveries(log, o.metrics) },
    endpoints.map(({ name }) => name),
  )
  return {
    store,
    dispatcher,
    watch: new WebhookWatch({
      keyHolder,
      repositories,
      store,
      clock,
      log,
      checkpointEveryMs: config.checkpointEvery,
    }),
    service: new Webhooks({ store, sender, keyHolder, clock, identifiers, endpoints, wake }),
    counts: () => new Map(endpoints.map(({ name }) => [name, store.undelivered(name)])),
  }
}

/** Files are checked now and read again at each use, so that a changed secret counts at once. */
export function endpointOptions(endpoint: WebhookEndpointConfig): EndpointOptions {
  const { name, url, secretFile, previousSecretFile, caFile, timeout, allowPrivateAddresses } = endpoint
  const files = [secretFile, ...(previousSecretFile === undefined ? [] : [previousSecretFile])]
  for (const file of files) checkSecret(file)
  return {
    name,
    url,
    tls: caFile === undefined ? {} : { caPem: readPublicFile(caFile).toString('utf8') },
    timeoutMs: timeout,
    allowPrivateAddresses,
    readSecrets: () => files.map((file) => readSecretFile(file).reveal()),
  }
}

function checkSecret(file: string): void {
  const text = readSecretFile(file).reveal()
  try {
    parseWebhookSecret(text)
  } catch (cause) {
    if (codeOf(cause) !== 'WEBHOOK_SECRET_UNUSABLE') throw cause
    const message = `The secret file ${file} is refused: it must hold whsec_ and 24 to 64 bytes in base64.`
    throw new ConfigError('SECRET_FILE_MALFORMED', message, [], { cause })
  }
}

/** IDs, codes, times: never the contents of an event. */
function observeDeliveries(log: Log, metrics: () => Metrics): DeliveryObserver {
  return {
    attempted: (event) => {
      metrics().webhookAttempted(event.endpoint, event.result)
      if (event.result === 'delivered') log.info(event, 'an event was delivered')
      else if (event.result === 'failed') log.warn(event, 'an event was not delivered; it is tried again')
      else if (event.result === 'dead') log.error(event, 'an event was given up')
      else log.error(event, 'a webhook endpoint wants no more events, and is left alone until it is enabled')
    },
    troubled: (event) => {
      log.error(event, 'events cannot be read or written; it is tried again')
    },
    lost: (event) => {
      log.error(event, 'events were forgotten before they were delivered')
    },
  }
}
