// What the services tell as they go, as lines of the log and as metrics. It decides nothing and changes nothing.
import type { Clock, Observer, RequestStore } from '../domain/ports.ts'
import { isFinal } from '../domain/signing-request.ts'
import type { Metrics, MetricSources } from '../http/metrics.ts'
import type { Log } from '../log.ts'

/** Notes every event. IDs, codes, versions: never the contents of a request. */
export function observe(log: Log, metrics: Metrics): Observer {
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
