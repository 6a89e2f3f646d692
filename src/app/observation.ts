// What the services tell as they go, as lines of the log and as metrics. It decides nothing and changes nothing.
import type { Clock, Observer, RequestStore } from '../domain/ports.ts'
import type { PushCounts } from '../domain/push-event.ts'
import { isFinal } from '../domain/signing-request.ts'
import type { Metrics, MetricSources } from '../http/metrics.ts'
import type { Log } from '../log.ts'

/** Refused tokens that the log names; the metric counts them all, and each answer has its own line. */
const REFUSALS_PER_MINUTE = 60

/** Notes every event. IDs, codes, versions: never the contents of a request. */
export function observe(log: Log, metrics: Metrics): Observer {
  const lines = new LineLimit(REFUSALS_PER_MINUTE)
  return {
    requestChanged: (event) => {
      if (isFinal(event.to)) metrics.imageEnded(event.kind, event.to)
      log.info(event, 'a request moved')
    },
    publicationFinished: (event) => {
      metrics.publicationEnded(event.outcome, event.durationMs / 1_000)
      if (event.outcome === 'failed') log.error(event, 'a publication failed')
      else log.info(event, 'a publication ended')
    },
    publicationConflict: (event) => {
      metrics.publicationConflicted()
      log.warn(event, 'a publication was given up; it is begun again')
    },
    repositoryTroubled: (event) => {
      log.error(event, 'work on a repository stopped; it is tried again')
    },
    foreignVersion: ({ change, ...event }) => {
      metrics.foreignVersionSeen(event.isFrozen)
      const counts = change && { put: change.put.length, moved: change.moved.length, dropped: change.dropped.length }
      const line = { ...event, ...counts }
      if (event.isFrozen) log.error(line, 'somebody else signed with a key of ours: signing is frozen')
      else log.warn(line, 'somebody else published in a repository')
    },
    tokenExchanged: (event) => {
      metrics.tokenExchanged(event.issuer)
      log.info({ exchanged: event.token, identity: event.identity, issuer: event.issuer }, 'a token was exchanged')
    },
    pushesHeard: ({ source, accepted, ignored, malformed }) => {
      metrics.pushesHeard(source, { accepted, ignored, malformed })
      // Registries tell of much that is no push; only what could not be read is worth a line.
      if (malformed > 0 && lines.take()) log.warn({ source, malformed }, 'events of a registry could not be read')
    },
    pushSettled: (event) => {
      metrics.pushSettled(event.source, event.outcome)
      if (event.outcome === 'troubled') log.warn(event, 'a pushed tag could not be looked at; it is tried again')
      else log.info(event, 'a pushed tag was looked at')
    },
    exchangeRefused: ({ code, facts }) => {
      metrics.exchangeRefused(code)
      if (lines.take()) log.warn({ code, facts }, 'a token of an issuer was refused')
    },
  }
}

/** How many lines of one kind a minute may have: strangers must not fill the log. */
class LineLimit {
  readonly #perMinute: number
  #minute = 0
  #count = 0

  constructor(perMinute: number) {
    this.#perMinute = perMinute
  }

  take(): boolean {
    const minute = Math.floor(performance.now() / 60_000)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#count = 0
    }
    this.#count++
    return this.#count <= this.#perMinute
  }
}

/** What metrics tell of pushed tags that are not signed. */
export function pushSources(counts: () => PushCounts, clock: Clock): Pick<MetricSources, 'pushCounts'> {
  return {
    pushCounts: () => {
      const { unsigned, waiting, oldest } = counts()
      const age = oldest === undefined ? 0 : Math.max(0, (clock.now().getTime() - oldest.getTime()) / 1_000)
      return { unsigned, waiting, oldestSeconds: age }
    },
  }
}

/** What metrics read from the store when they are asked. */
export function queueSources(
  requests: Pick<RequestStore, 'unfinished'>,
  clock: Clock,
): Pick<MetricSources, 'unfinishedImages' | 'oldestUnfinishedSeconds'> {
  return {
    unfinishedImages: () => {
      const counts = new Map<string, number>()
      for (const { record } of requests.unfinished()) counts.set(record.status, (counts.get(record.status) ?? 0) + 1)
      return counts
    },
    oldestUnfinishedSeconds: () => {
      // What waits for people is counted, and is no sign of trouble.
      const times = requests
        .unfinished()
        .flatMap(({ record }) => (record.status === 'awaiting-approval' ? [] : [record.at.getTime()]))
      return times.length === 0 ? 0 : Math.max(0, (clock.now().getTime() - Math.min(...times)) / 1_000)
    },
  }
}
