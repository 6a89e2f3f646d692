// The settings of webhooks. Pure.
import * as z from 'zod'
import { WEBHOOK_EVENT_TYPES } from '../domain/webhook-event.ts'
import { configPath as path, pattern, serverUrl } from './fields.ts'
import { duration } from './units.ts'

const endpoint = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'must be a name: a-z, 0-9, _ and -')
      .meta({ description: 'What operators call it; its events are kept under this name.' }),
    url: serverUrl.meta({ description: 'Where events are sent. https; http only to this machine.' }),
    secretFile: path.meta({ description: 'A file, mode 0600, with the secret: whsec_ and 24 to 64 bytes in base64.' }),
    previousSecretFile: path.optional().meta({
      description: 'The secret before, while it is changed: events are signed with both.',
    }),
    events: z
      .array(z.enum(WEBHOOK_EVENT_TYPES))
      .min(1)
      .default([...WEBHOOK_EVENT_TYPES])
      .meta({ description: 'What it is told of.' }),
    repositories: z
      .array(pattern)
      .min(1)
      .max(256)
      .default(['*'])
      .meta({ description: 'Of which repositories; an event about several goes where one of them matches.' }),
    caFile: path
      .optional()
      .meta({ description: 'CA certificates (PEM) that the receiver is checked with, in place of the system.' }),
    timeout: duration('100ms', '30s').default(15_000).meta({ description: 'Time for one attempt.' }),
    allowPrivateAddresses: z.boolean().default(false).meta({
      description: 'Whether its name may lead to this machine or to a private network. Link-local addresses: never.',
    }),
  })
  .refine((o) => o.allowPrivateAddresses || !o.url.startsWith('http:'), {
    path: ['url'],
    message: 'is on this machine, which needs allowPrivateAddresses: true',
  })

export const webhookSettings = z
  .strictObject({
    endpoints: z.array(endpoint).max(32).default([]).meta({ description: 'Who is told of events.' }),
    checkpointEvery: duration('5m', '7d').default(3_600_000).meta({
      description: 'How often the checkpoint of the audit log is sent, where it has changed.',
    }),
  })
  .superRefine(({ endpoints }, context) => {
    endpoints.forEach(({ name }, index) => {
      if (endpoints.findIndex((one) => one.name === name) === index) return
      context.addIssue({ code: 'custom', path: ['endpoints', index, 'name'], message: 'stands in the list twice' })
    })
  })
  .prefault({})
  .meta({ description: 'Events for other systems, in the form of Standard Webhooks.' })
