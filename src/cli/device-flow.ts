// Signing in on another device (RFC 8628): a code is shown here, entered in a browser anywhere, and an ID token comes of it.
import * as z from 'zod'
import { Secret } from '../config/secret.ts'
import { CliError } from './errors.ts'
import { foreignUrl, requestJson, type ForeignAnswer } from './foreign-request.ts'
import type { Terminal } from './terminal.ts'

export interface LoginProvider {
  readonly issuer: string
  readonly clientId: string
  readonly scopes: readonly string[]
}

/** What a person is told. */
export interface DevicePrompt {
  readonly address: string
  readonly code: string
}

/** Seconds. */
const USUAL_INTERVAL = 5
const MAX_INTERVAL = 60
const MAX_LIFETIME = 1800

const address = z.string().max(2048).transform(foreignUrl).pipe(z.instanceof(URL))
const discovery = z.looseObject({
  issuer: z.string(),
  device_authorization_endpoint: address,
  token_endpoint: address,
})
const authorization = z.looseObject({
  device_code: z.string().min(1).max(4096),
  user_code: z.string().min(1).max(100),
  verification_uri: address,
  verification_uri_complete: address.optional(),
  expires_in: z.number().int().min(1),
  interval: z.number().int().min(1).max(MAX_INTERVAL).default(USUAL_INTERVAL),
})
const granted = z.looseObject({ id_token: z.string().regex(/^[\x21-\x7e]{1,32768}$/) })
const refused = z.looseObject({ error: z.string().max(100) })

/** The ID token of whoever enters the code. @throws CliError LOGIN_FAILED, INTERRUPTED */
export async function signInOnDevice(
  provider: LoginProvider,
  terminal: Terminal,
  show: (prompt: DevicePrompt) => void,
): Promise<Secret> {
  const { interrupted, now, pause } = terminal
  const ask = (url: URL, form?: Readonly<Record<string, string>>) =>
    requestJson(url, { interrupted, ...(form !== undefined && { form }) }).catch((cause: unknown): never => {
      if (interrupted.aborted) throw new CliError('INTERRUPTED', 'Interrupted before anybody signed in.', { cause })
      throw failed(`${url.host} does not answer`, cause)
    })
  const endpoints = await discover(provider.issuer, ask)
  const begun = read(
    authorization,
    await ask(endpoints.device_authorization_endpoint, {
      client_id: provider.clientId,
      scope: provider.scopes.join(' '),
    }),
    'the device authorization',
  )
  show({ address: (begun.verification_uri_complete ?? begun.verification_uri).href, code: begun.user_code })
  const end = now().getTime() + Math.min(begun.expires_in, MAX_LIFETIME) * 1000
  let interval = begun.interval
  for (;;) {
    await pause(interval * 1000, interrupted)
    if (interrupted.aborted) throw new CliError('INTERRUPTED', 'Interrupted before anybody signed in.')
    if (now().getTime() >= end) throw failed('nobody entered the code in time')
    const answer = await ask(endpoints.token_endpoint, {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: begun.device_code,
      client_id: provider.clientId,
    })
    if (answer.status === 200) return new Secret(read(granted, answer, 'the token').id_token)
    const { error } = refused.safeParse(answer.json).data ?? { error: `HTTP ${answer.status}` }
    if (error === 'slow_down') interval = Math.min(interval + USUAL_INTERVAL, MAX_INTERVAL)
    else if (error !== 'authorization_pending') throw failed(error)
  }
}

async function discover(
  issuer: string,
  ask: (url: URL) => Promise<ForeignAnswer>,
): Promise<z.output<typeof discovery>> {
  const url = foreignUrl(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  if (url === undefined) throw failed('its address is no https:// address')
  const document = read(discovery, await ask(url), 'the discovery document')
  if (document.issuer !== issuer) throw failed('the discovery document names another issuer')
  return document
}

function read<T>(schema: z.ZodType<T>, { status, json }: ForeignAnswer, what: string): T {
  const parsed = schema.safeParse(json)
  if (status === 200 && parsed.success) return parsed.data
  const { error } = refused.safeParse(json).data ?? { error: `HTTP ${status}` }
  throw failed(status === 200 ? `${what} is not as expected` : `${what}: ${error}`)
}

function failed(what: string, cause?: unknown): CliError {
  return new CliError('LOGIN_FAILED', `Nobody is signed in: ${what}.`, {
    next: 'Run it again; ask an operator whether identity.issuers[].login is as the provider wants it.',
    cause,
  })
}
