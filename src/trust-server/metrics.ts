// What Prometheus reads of the trust server. Labels have few values: never a repository.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

export interface MetricSources {
  readonly repositories: () => number
  readonly isKeyHolderUp: () => Promise<boolean>
  readonly uploadBytes: () => number
}

const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export class Metrics {
  readonly #registry = new Registry()
  readonly #requests: Histogram<'route' | 'status'>
  readonly #refusals: Counter<'code'>
  readonly #removedFiles: Counter
  readonly #removedBytes: Counter

  constructor(version: string, sources: MetricSources) {
    const registers = [this.#registry]
    this.#requests = new Histogram({
      name: 'countersign_trust_server_request_duration_seconds',
      help: 'Time to answer requests.',
      labelNames: ['route', 'status'],
      buckets: BUCKETS_SECONDS,
      registers,
    })
    this.#refusals = new Counter({
      name: 'countersign_trust_server_refusals_total',
      help: 'Requests that were refused, by the code of the protocol.',
      labelNames: ['code'],
      registers,
    })
    this.#removedFiles = new Counter({
      name: 'countersign_trust_server_removed_files_total',
      help: 'Old versions that retention removed.',
      registers,
    })
    this.#removedBytes = new Counter({
      name: 'countersign_trust_server_removed_bytes_total',
      help: 'Their bytes.',
      registers,
    })
    new Gauge({ name: 'countersign_info', help: 'The version.', labelNames: ['version'], registers }).set(
      { version },
      1,
    )
    new Gauge({
      name: 'countersign_trust_server_repositories',
      help: 'Repositories that are served.',
      registers,
      collect() {
        this.set(sources.repositories())
      },
    })
    new Gauge({
      name: 'countersign_trust_server_upload_bytes',
      help: 'Memory that uploads hold.',
      registers,
      collect() {
        this.set(sources.uploadBytes())
      },
    })
    new Gauge({
      name: 'countersign_key_holder_up',
      help: '1: the key holder answers and is unsealed.',
      registers,
      async collect() {
        this.set((await sources.isKeyHolderUp()) ? 1 : 0)
      },
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  print(): Promise<string> {
    return this.#registry.metrics()
  }

  answered(route: string, status: number, seconds: number): void {
    this.#requests.observe({ route, status: String(status) }, seconds)
  }

  removed({ files, bytes }: { readonly files: number; readonly bytes: number }): void {
    this.#removedFiles.inc(files)
    this.#removedBytes.inc(bytes)
  }

  refused(code: string): void {
    this.#refusals.inc({ code })
  }
}
