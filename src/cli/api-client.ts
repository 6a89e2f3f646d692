// Calls the HTTP API: one request at a time, each with limits on time and size, no redirects.
// Turns an answer into a checked value, a problem document into ApiProblem, and a failed connection into a CliError that says which kind.
import type { IncomingMessage } from 'node:http'
import * as z from 'zod'
import type { Secret } from '../config/secret.ts'
import type { ClientCertificate } from './client-certificate.ts'
import { ApiProblem, CliError } from './errors.ts'
import { HttpCaller } from './http-caller.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** How long the server may take to answer, beyond the time that it was asked to wait. */
const READ_TIMEOUT_MS = 30_000
/** A change asks registries, trust servers and the key holder before it is acknowledged. */
const CHANGE_TIMEOUT_MS = 180_000
/** The largest answer, in bytes. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024

export interface ApiCall<T> {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below the server's address, without a leading slash; parts must be encoded already (`encodeURIComponent`). */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
  /** In place of `body`: sent as a form. */
  readonly form?: Readonly<Record<string, string>>
  /** Checks the answer; members that it does not name are kept where it is loose. */
  readonly answer: z.ZodType<T>
  /** Asks the server to hold its answer back for up to this many milliseconds. */
  readonly waitMs?: number
  readonly idempotencyKey?: string
  /** For what is larger than any resource. */
  readonly maxAnswerBytes?: number
}

const problemSchema = z.looseObject({
  title: z.string().max(1000).optional(),
  detail: z.string().max(10_000).optional(),
  code: z.string().regex(/^[A-Z][A-Z0-9_]{1,63}$/),
  next: z.string().max(10_000).optional(),
  requestId: z.string().max(200).optional(),
  retry: z.boolean().optional(),
  errors: z
    .array(z.looseObject({ path: z.string().max(1000), message: z.string().max(1000) }))
    .max(1000)
    .optional(),
})

/** Where the calls go, and as whom. */
export interface ApiAccess {
  readonly server: URL
  /** PEM of the only certificate authorities to trust, or undefined for the usual ones. */
  readonly ca: string | undefined
  /** What a machine proves itself with, in place of a token or beside it. */
  readonly certificate?: ClientCertificate
  /** Absent: nobody, or who the certificate says. */
  readonly token?: () => Promise<Secret>
}

export class ApiClient {
  readonly #access: ApiAccess
  readonly #interrupted: AbortSignal
  readonly #caller: HttpCaller

  constructor(access: ApiAccess, interrupted: AbortSignal) {
    this.#access = access
    this.#interrupted = interrupted
    this.#caller = new HttpCaller({
      ca: access.ca,
      certificate: access.certificate,
      connectMs: CONNECT_TIMEOUT_MS,
      idleMs: READ_TIMEOUT_MS,
    })
  }

  /** Where the calls go, for messages. */
  get origin(): string {
    return this.#access.server.origin
  }

  /** @throws ApiProblem, CliError SERVER_*, INTERRUPTED */
  async call<T>(call: ApiCall<T>): Promise<T> {
    const response = await this.#send(call)
    const bytes = await this.#read(response, call.maxAnswerBytes ?? MAX_ANSWER_BYTES)
    if (statusOf(response) >= 200 && statusOf(response) < 300) {
      const parsed = call.answer.safeParse(bytes.byteLength === 0 ? undefined : parseJsonText(bytes))
      if (parsed.success) return parsed.data
      throw this.#malformed(statusOf(response), `${parsed.error.issues[0]?.path.join('.') ?? ''} is not as expected`)
    }
    throw this.#refusal(response, bytes)
  }

  close(): Promise<void> {
    this.#caller.close()
    return Promise.resolve()
  }

  async #send(call: ApiCall<unknown>): Promise<IncomingMessage> {
    const url = new URL(call.path, this.#access.server)
    const query: Record<string, string | undefined> = {
      ...call.query,
      ...(call.waitMs !== undefined && { wait: `${Math.ceil(call.waitMs / 1000)}s` }),
    }
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
    const token = await this.#access.token?.()
    const content =
      call.form !== undefined
        ? { type: 'application/x-www-form-urlencoded', text: new URLSearchParams(call.form).toString() }
        : call.body !== undefined
          ? { type: 'application/json', text: JSON.stringify(call.body) }
          : undefined
    try {
      return await this.#caller.send(url, {
        method: call.method,
        headersMs: (call.method === 'GET' ? READ_TIMEOUT_MS : CHANGE_TIMEOUT_MS) + (call.waitMs ?? 0),
        signal: this.#interrupted,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token.reveal()}` }),
          accept: 'application/json, application/problem+json',
          'user-agent': 'countersign-cli',
          ...(content !== undefined && { 'content-type': content.type }),
          ...(call.idempotencyKey !== undefined && { 'idempotency-key': call.idempotencyKey }),
        },
        ...(content !== undefined && { body: content.text }),
      })
    } catch (cause) {
      throw this.#connectionError(cause)
    }
  }

  async #read(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
    const chunks: Buffer[] = []
    let length = 0
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        length += chunk.byteLength
        if (length > maxBytes) break
        chunks.push(chunk)
      }
    } catch (cause) {
      throw this.#connectionError(cause)
    }
    if (length > maxBytes) {
      throw new CliError('SERVER_ANSWER_TOO_LARGE', `The answer of ${this.origin} exceeds ${maxBytes} bytes.`)
    }
    return Buffer.concat(chunks)
  }

  #refusal(response: IncomingMessage, bytes: Buffer): Error {
    const status = statusOf(response)
    if (status >= 300 && status < 400) {
      return new CliError('SERVER_REDIRECTED', `${this.origin} redirects; redirects are not followed.`, {
        facts: { status },
        next: 'Give the final address as --server; the token is not sent anywhere else.',
      })
    }
    const problem = problemSchema.safeParse(parseJsonText(bytes))
    if (!problem.success) return this.#malformed(status, 'it is not a problem document of Countersign')
    const { code, title, detail, next, requestId, retry, errors } = problem.data
    return new ApiProblem({
      code,
      status,
      title: title ?? code,
      detail: detail ?? title ?? 'The server refused.',
      next,
      mayRetry: retry ?? false,
      faults: errors ?? [],
      retryAfter: retryAfterSeconds(response.headers['retry-after']),
      ...(requestId !== undefined && { facts: { requestId } }),
    })
  }

  #malformed(status: number, what: string): CliError {
    return new CliError(
      'SERVER_ANSWER_MALFORMED',
      `The answer of ${this.origin} (HTTP ${status}) cannot be used: ${what}.`,
      {
        facts: { status },
        next: 'Check that --server names a Countersign server, not something in front of it that answers in its place.',
      },
    )
  }

  /** Says which kind of failure it was: an operator looks in another place for each. */
  #connectionError(cause: unknown): CliError {
    if (this.#interrupted.aborted)
      return new CliError('INTERRUPTED', 'Interrupted before the server answered.', { cause })
    const reason = reasonOf(cause)
    const options = { facts: { server: this.origin, reason }, cause }
    if (reason === 'ENOTFOUND' || reason === 'EAI_AGAIN') {
      return new CliError('SERVER_NAME_UNKNOWN', `The name of ${this.origin} cannot be resolved.`, {
        ...options,
        next: 'Check the host name of --server and the DNS of this machine.',
      })
    }
    if (/CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_VERIFY/.test(reason)) {
      return new CliError('SERVER_TLS_FAILED', `No trusted TLS connection to ${this.origin}: ${reason}.`, {
        ...options,
        next: 'For a private certificate authority give --ca-file FILE.',
      })
    }
    if (/TIMEOUT|ETIMEDOUT/.test(reason)) {
      return new CliError('SERVER_TIMEOUT', `${this.origin} did not answer in time.`, {
        ...options,
        next: 'A retry can help; check that the server is running and reachable.',
      })
    }
    return new CliError('SERVER_UNREACHABLE', `No connection to ${this.origin}: ${reason}.`, {
      ...options,
      next: 'A retry can help; check that the server is running and reachable.',
    })
  }
}

/** Answers of servers always have one. */
function statusOf({ statusCode = 0 }: IncomingMessage): number {
  return statusCode
}

function parseJsonText(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

function retryAfterSeconds(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : undefined
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0])
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code
  return cause instanceof Error ? cause.name : 'unknown'
}
