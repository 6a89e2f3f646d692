// Secrets for webhooks, and what a receiver makes of what it heard: checked by the public library of Standard Webhooks.
import { randomBytes } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import type { Heard } from './scripted-server.ts'

export function newWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`
}

/** A file with a secret, mode 0600. */
export function webhookSecretFile(folder: string, name: string, secret: string = newWebhookSecret()): string {
  const path = join(folder, name)
  writeFileSync(path, `${secret}\n`)
  chmodSync(path, 0o600)
  return path
}

export interface ReceivedEvent {
  readonly id: string
  readonly type: string
  readonly timestamp: string
  readonly data: Readonly<Record<string, unknown>>
}

/** The event, verified. @throws Error where its signature, its time or its form is wrong */
export function receive(secret: string, { headers, body }: Pick<Heard, 'headers' | 'body'>): ReceivedEvent {
  const event = new Webhook(secret).verify(body, headers as Record<string, string>) as Omit<ReceivedEvent, 'id'>
  return { id: String(headers['webhook-id']), ...event }
}
