// Signatures over events, as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time and body, under a shared secret.
import { createHmac } from 'node:crypto'
import { DomainError } from '../domain/errors.ts'

const PREFIX = 'whsec_'
/** Bytes of a secret, as the specification has them. */
const MIN_BYTES = 24
const MAX_BYTES = 64

/** The bytes of `whsec_<base64>`. @throws DomainError WEBHOOK_SECRET_UNUSABLE, never with the text */
export function parseWebhookSecret(text: string): Buffer {
  const encoded = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : ''
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64') !== encoded || bytes.byteLength < MIN_BYTES || bytes.byteLength > MAX_BYTES) {
    throw new DomainError(
      'WEBHOOK_SECRET_UNUSABLE',
      `The secret of a webhook is whsec_ and ${MIN_BYTES} to ${MAX_BYTES} bytes in base64.`,
    )
  }
  return bytes
}

/** The headers of one attempt. While a secret is changed there are two, and the receiver takes either signature. */
export function signedHeaders(
  { id, body }: { readonly id: string; readonly body: string },
  secrets: readonly Uint8Array[],
  now: Date,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(now.getTime() / 1_000))
  const signatures = secrets.map((secret) => {
    const hmac = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`)
    return `v1,${hmac.digest('base64')}`
  })
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}
