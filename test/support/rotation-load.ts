// What goes on while keys are rotated: pipelines ask for signatures at a fixed rate, consumers with cached metadata pull without a pause.
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Countersign, SigningRequestJson } from './countersign.ts'
import type { PushedImage } from './peers/images.ts'
import type { CommandResult } from './processes.ts'

/** How long a request may take, from its submission to its end. */
const PATIENCE_MS = 120_000

export interface Asked {
  readonly tag: string
  /** `published`, or what it was instead. */
  readonly outcome: string
  /** From the submission to the answer that says so. */
  readonly ms: number
  /** When it was submitted, after the start of the load. */
  readonly atMs: number
}

export interface Pulls {
  readonly name: string
  readonly count: number
  readonly failed: readonly string[]
}

export class RotationLoad {
  readonly #began = performance.now()
  readonly #running: Promise<unknown>[] = []
  readonly #asked: Asked[] = []
  readonly #pulls: { name: string; count: number; failed: string[] }[] = []
  /** The newest tag that is known to be published. */
  #newest: string
  #submitted = 0
  #isOver = false

  /** @param first a reference that is signed and stays as it is */
  constructor(first: string) {
    this.#newest = first
  }

  get newest(): string {
    return this.#newest
  }

  /** Requests that have not come to their end. */
  get waiting(): number {
    return this.#submitted - this.#asked.length
  }

  get elapsedMs(): number {
    return performance.now() - this.#began
  }

  /** Requests so many times a second, one for each of these tags until they are used up. Late ones are made up for, so that the rate holds. */
  ask(countersign: Countersign, images: readonly PushedImage[], perSecond: number): void {
    const token = readFileSync(countersign.clientEnvironment['COUNTERSIGN_TOKEN_FILE'] ?? '', 'utf8').trim()
    const one = async ({ tag, reference }: PushedImage): Promise<void> => {
      const atMs = this.elapsedMs
      this.#submitted++
      const outcome = await outcomeOf(countersign.url, token, reference).catch(String)
      if (outcome === 'published') this.#newest = reference
      this.#asked.push({ tag, outcome, ms: this.elapsedMs - atMs, atMs })
    }
    const all = async (): Promise<void> => {
      const began = performance.now()
      const requests: Promise<void>[] = []
      for (const [index, image] of images.entries()) {
        if (this.#isOver) break
        requests.push(one(image))
        await delay(Math.max(0, began + ((index + 1) * 1000) / perSecond - performance.now()))
      }
      await Promise.all(requests)
    }
    this.#running.push(all())
  }

  /** Again as soon as the one before has ended. */
  pull(name: string, pull: () => Promise<CommandResult>): void {
    const pulls = { name, count: 0, failed: [] as string[] }
    this.#pulls.push(pulls)
    const all = async (): Promise<void> => {
      while (!this.#isOver) {
        const failure = await pull().then(({ status, text }) => (status === 0 ? undefined : text), String)
        pulls.count++
        if (failure !== undefined) pulls.failed.push(`${Math.round(this.elapsedMs)} ms: ${failure}`)
      }
    }
    this.#running.push(all())
  }

  /** No more of it; resolves when everything that was begun has ended. */
  async stop(): Promise<{ readonly asked: readonly Asked[]; readonly pulls: readonly Pulls[] }> {
    this.#isOver = true
    await Promise.all(this.#running)
    return { asked: this.#asked, pulls: this.#pulls }
  }
}

/** As a release bot does: asks, and then waits for the end. */
async function outcomeOf(url: string, token: string, reference: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const end = performance.now() + PATIENCE_MS
  const body = JSON.stringify({ images: [reference] })
  let answer = await fetch(`${url}/v1/signing-requests?wait=20s`, { method: 'POST', headers, body })
  for (;;) {
    const request = (await answer.json()) as SigningRequestJson & { isFinal?: boolean; code?: string }
    if (request.isFinal === undefined) return `refused ${answer.status} ${request.code ?? ''}`
    if (request.isFinal)
      return [request.status, request.images[0]?.error?.code].filter((word) => word !== undefined).join(' ')
    if (performance.now() > end) return `${request.status} after ${PATIENCE_MS} ms`
    answer = await fetch(`${url}/v1/signing-requests/${request.id}?wait=20s`, { headers })
  }
}
