// In a pipeline: the ID token that its CI system gives is exchanged for one of the server's, which is kept in memory only.
import * as z from 'zod'
import { Secret } from '../config/secret.ts'
import type { ApiClient } from './api-client.ts'
import { CliError } from './errors.ts'
import { foreignUrl, requestJson, type ForeignAnswer } from './foreign-request.ts'
import type { Terminal } from './terminal.ts'
import { isTransient, rest } from './transient.ts'

export const OIDC_PROVIDERS = ['github', 'gitlab'] as const
export type OidcProvider = (typeof OIDC_PROVIDERS)[number]

/** The variable that a GitLab job keeps its token in, unless another is named. */
export const DEFAULT_VARIABLE = 'COUNTERSIGN_ID_TOKEN'

export interface WorkloadLogin {
  readonly provider: OidcProvider
  /** Of the token that GitHub is asked for. */
  readonly audience: string
  /** The environment variable with GitLab's token. */
  readonly variable: string
}

const MAX_ATTEMPTS = 4
/** A new token is asked for when the last one has less than this left. */
const SLACK_MS = 60_000

const githubAnswer = z.looseObject({ value: z.string().regex(/^[\x21-\x7e]{1,32768}$/) })
const exchangeAnswer = z.looseObject({
  access_token: z.string().regex(/^[\x21-\x7e]{16,512}$/),
  token_type: z.literal('Bearer'),
  expires_in: z.number().int().min(0),
  identity: z.string().max(1000).default('unknown'),
})

/** What an ID token was exchanged for. */
export interface Exchanged {
  readonly token: Secret
  readonly identity: string
  readonly expiresInMs: number
}

/** @param api calls without a token @throws ApiProblem, CliError SERVER_* */
export async function exchangeIdToken(api: ApiClient, idToken: Secret): Promise<Exchanged> {
  const answer = await api.call({
    method: 'POST',
    path: 'v1/token-exchange',
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: idToken.reveal(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
    },
    answer: exchangeAnswer,
  })
  return {
    token: new Secret(answer.access_token),
    identity: answer.identity,
    expiresInMs: answer.expires_in * 1000,
  }
}

/** The token of one run. Where GitHub can be asked again, it is renewed before it ends; GitLab's can be exchanged only once. */
export class WorkloadToken {
  readonly #api: ApiClient
  readonly #login: WorkloadLogin
  readonly #terminal: Terminal
  readonly #tell: (identity: string) => void
  #kept: { readonly token: Secret; readonly until: number } | undefined
  #asking: Promise<Secret> | undefined

  /** @param api calls without a token */
  constructor(api: ApiClient, login: WorkloadLogin, terminal: Terminal, tell: (identity: string) => void) {
    this.#api = api
    this.#login = login
    this.#terminal = terminal
    this.#tell = tell
  }

  /** @throws ApiProblem, CliError ID_TOKEN_NOT_CONFIGURED, ID_TOKEN_UNAVAILABLE, SERVER_* */
  async current(): Promise<Secret> {
    const kept = this.#kept
    const isFresh = kept !== undefined && this.#terminal.now().getTime() < kept.until - SLACK_MS
    if (kept !== undefined && (isFresh || this.#login.provider === 'gitlab')) return kept.token
    this.#asking ??= this.#exchange().finally(() => {
      this.#asking = undefined
    })
    try {
      return await this.#asking
    } catch (error) {
      // The one at hand is good for some seconds more; the next call tries again.
      if (kept !== undefined && this.#terminal.now().getTime() < kept.until) return kept.token
      throw error
    }
  }

  async #exchange(): Promise<Secret> {
    for (let attempt = 1; ; attempt++) {
      try {
        const subject = await readIdToken(this.#login, this.#terminal)
        const { token, identity, expiresInMs } = await exchangeIdToken(this.#api, subject)
        if (this.#kept === undefined) this.#tell(identity)
        this.#kept = { token, until: this.#terminal.now().getTime() + expiresInMs }
        return token
      } catch (error) {
        if (!isTransient(error) || attempt >= MAX_ATTEMPTS || this.#terminal.interrupted.aborted) throw error
        await rest(this.#terminal, attempt, error)
      }
    }
  }
}

async function readIdToken(login: WorkloadLogin, terminal: Terminal): Promise<Secret> {
  if (login.provider === 'github') return askGithub(login.audience, terminal)
  const token = terminal.env[login.variable] ?? ''
  if (/^[\x21-\x7e]{1,32768}$/.test(token)) return new Secret(token)
  throw new CliError('ID_TOKEN_NOT_CONFIGURED', `The variable ${login.variable} holds no ID token.`, {
    facts: { variable: login.variable },
    next: `Give the job id_tokens: { ${login.variable}: { aud: ${login.audience} } }, or name another variable with COUNTERSIGN_OIDC_VARIABLE.`,
  })
}

async function askGithub(audience: string, { env, interrupted }: Terminal): Promise<Secret> {
  const [address, token] = [env['ACTIONS_ID_TOKEN_REQUEST_URL'] ?? '', env['ACTIONS_ID_TOKEN_REQUEST_TOKEN'] ?? '']
  const url = foreignUrl(address)
  if (url === undefined || !/^[\x21-\x7e]{1,32768}$/.test(token)) {
    throw new CliError('ID_TOKEN_NOT_CONFIGURED', 'This is no job of GitHub Actions that may ask for an ID token.', {
      next: 'Give the job permissions: { id-token: write }. A pull request of a fork never has it.',
    })
  }
  url.searchParams.set('audience', audience)
  let answer: ForeignAnswer
  try {
    answer = await requestJson(url, { interrupted, headers: { authorization: `Bearer ${token}` } })
  } catch (cause) {
    if (interrupted.aborted) throw new CliError('INTERRUPTED', 'Interrupted before GitHub answered.', { cause })
    throw unavailable('it does not answer', cause)
  }
  const parsed = githubAnswer.safeParse(answer.json)
  if (answer.status !== 200) throw unavailable(`HTTP ${answer.status}`)
  if (!parsed.success) throw unavailable('its answer holds no token')
  return new Secret(parsed.data.value)
}

function unavailable(what: string, cause?: unknown): CliError {
  return new CliError('ID_TOKEN_UNAVAILABLE', `GitHub gave no ID token: ${what}.`, {
    next: 'A retry can help. Check the permissions of the job.',
    cause,
  })
}
