// Submits a signing request once, whatever happens to the connection, and follows it to its end.
// Decides nothing about the outcome: see outcome.ts.
import { CliError } from './errors.ts'
import { type ImageResource, signingRequestSchema, type SigningRequestResource } from './resources.ts'
import type { Session } from './session.ts'
import { isTransient, PAUSES_MS, rest } from './transient.ts'

/** How long the server is asked to hold an answer back: short while things happen, so that progress shows, then longer. */
const FIRST_WAIT_MS = 2000
const LONGEST_WAIT_MS = 30_000
/** Images of a request that are told one by one; of more only how many have come how far. */
const MAX_TOLD = 50
/** Submissions whose answer was lost are repeated this often; the idempotency key makes that harmless. */
const MAX_SUBMISSIONS = 4
export interface Submission {
  readonly kind: 'sign' | 'unsign'
  readonly images: readonly string[]
  readonly mode?: 'each'
  readonly promotedFrom?: string
  readonly policy?: string
  readonly description?: string
}

/** @throws ApiProblem, CliError */
export async function submitRequest(
  session: Session,
  submission: Submission,
  idempotencyKey: string,
): Promise<SigningRequestResource> {
  const api = await session.api()
  for (let attempt = 1; ; attempt++) {
    try {
      return await api.call({
        method: 'POST',
        path: 'v1/signing-requests',
        body: submission,
        idempotencyKey,
        answer: signingRequestSchema,
      })
    } catch (error) {
      if (!isTransient(error) || attempt >= MAX_SUBMISSIONS) throw error
      await rest(session.terminal, attempt, error)
      if (session.isInterrupted()) throw new CliError('INTERRUPTED', 'Interrupted before the server answered.')
    }
  }
}

/**
 * The request as it is at its end, or as it was last seen when the time was over or Ctrl-C was pressed. Says each change of state on
 * standard error.
 * @throws ApiProblem where the server refuses to tell, CliError SERVER_*
 */
export async function followRequest(
  session: Session,
  first: SigningRequestResource,
  timeoutMs: number,
): Promise<SigningRequestResource> {
  const { terminal } = session
  const deadline = terminal.now().getTime() + timeoutMs
  const journal = new Journal(session)
  let request = first
  let failures = 0
  let waitMs = FIRST_WAIT_MS
  for (;;) {
    journal.tell(request)
    const leftMs = deadline - terminal.now().getTime()
    if (request.isFinal || leftMs <= 0 || session.isInterrupted()) return request
    const askedAt = terminal.now().getTime()
    try {
      const latest = await showRequest(session, request.id, Math.min(leftMs, waitMs))
      failures = 0
      const isNews = journal.isNews(latest)
      waitMs = isNews ? FIRST_WAIT_MS : Math.min(2 * waitMs, LONGEST_WAIT_MS)
      request = latest
      // A server that does not hold its answers back must not be asked in a tight loop.
      if (!isNews && terminal.now().getTime() - askedAt < PAUSES_MS[0]) {
        await terminal.pause(Math.min(leftMs, PAUSES_MS[1]), terminal.interrupted)
      }
    } catch (error) {
      if (session.isInterrupted()) return request
      if (!isTransient(error)) throw error
      failures += 1
      if (failures === 1) session.output.progress(`${request.id}: no answer (${error.code}), asking again`)
      await rest(session.terminal, failures, error, leftMs)
    }
  }
}

/** One request by its ID. @throws ApiProblem, CliError */
export async function showRequest(session: Session, id: string, waitMs?: number): Promise<SigningRequestResource> {
  const api = await session.api()
  const request = await api.call({
    method: 'GET',
    path: `v1/signing-requests/${encodeURIComponent(id)}`,
    answer: signingRequestSchema,
    ...(waitMs !== undefined && { waitMs }),
  })
  if (request.id === id) return request
  throw new CliError('SERVER_ANSWER_MALFORMED', 'The server answered with another request than the one asked for.')
}

/** Tells each change of state once, and why nothing changes. */
class Journal {
  readonly #session: Session
  readonly #told = new Map<string, string>()
  #counts = ''

  constructor(session: Session) {
    this.#session = session
  }

  isNews(request: SigningRequestResource): boolean {
    return request.isFinal || request.images.some((image) => this.#told.get(keyOf(image)) !== stateOf(image))
  }

  tell(request: SigningRequestResource): void {
    if (request.images.length > MAX_TOLD) {
      this.#tellCounts(request)
      return
    }
    for (const image of request.images) {
      const state = stateOf(image)
      if (this.#told.get(keyOf(image)) === state) continue
      this.#told.set(keyOf(image), state)
      this.#session.output.progress(`${request.id}: ${image.reference}: ${state}`)
    }
  }

  #tellCounts({ id, images }: SigningRequestResource): void {
    const counts = new Map<string, number>()
    for (const image of images) {
      const state = stateOf(image)
      this.#told.set(keyOf(image), state)
      counts.set(state, (counts.get(state) ?? 0) + 1)
    }
    const line = [...counts].map(([state, count]) => `${count} ${state}`).join(', ')
    if (line !== this.#counts) this.#session.output.progress(`${id}: ${line}`)
    this.#counts = line
  }
}

function keyOf(image: { readonly gun: string; readonly tag?: string | undefined }): string {
  return `${image.gun}:${image.tag ?? ''}`
}

function stateOf({ status, waiting }: ImageResource): string {
  if (waiting === undefined) return status
  return `${status}, waiting (${waiting.code}): ${waiting.detail ?? ''} It goes on by itself when this has passed.`
}
