// Where registries tell of pushes. What they say is a reason to look, and the answer says no more than that it was taken.
import * as z from 'zod'
import type { PushSource } from '../domain/push-event.ts'
import type { PushService } from '../service/services.ts'
import { bearerOf } from './authenticate.ts'
import { HttpError } from './errors.ts'
import { readPushes } from './push-payloads.ts'
import { type RawCall, type Reply, type Route, senderRoute } from './route.ts'

const sourceName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be the name of a source')
  .meta({ description: 'A source of signOnPush.sources.' })

const delivery = z
  .unknown()
  .refine((value) => typeof value === 'object' && value !== null, 'must be an object or a list')
  .meta({
    id: 'PushDelivery',
    description: 'What the registry sends: docs/sign-on-push.md has an example of each kind.',
  })

const receipt = z
  .strictObject({
    accepted: z.int().meta({ description: 'Pushes of tags that will be looked at.' }),
    ignored: z.int().meta({ description: 'Events about anything else.' }),
  })
  .meta({ id: 'PushReceipt' })

type Pushes = Pick<PushService, 'identify' | 'accept'>

export function pushEventRoutes(pushes: Pushes): Route[] {
  const facts = {
    method: 'POST',
    body: delivery,
    bodyType: 'events',
    replies: { 202: { description: 'Stored, and looked at soon.', schema: receipt } },
    codes: ['PUSH_QUEUE_FULL', 'PUSH_RATE_EXCEEDED'],
  } as const
  return [
    senderRoute(
      {
        ...facts,
        path: '/v1/events/:source',
        operationId: 'tellOfPush',
        summary: 'Tell of a push, as a registry with the secret of its source',
        params: z.strictObject({ source: sourceName }),
      },
      (raw) => identify(pushes, raw, bearerOf(raw.request.headers.authorization)),
      ({ sender, body }) => accept(pushes, sender, body),
    ),
    senderRoute(
      {
        ...facts,
        path: '/v1/events/:source/:secret',
        operationId: 'tellOfPushBySecretAddress',
        summary: 'The same for Docker Hub, which can send no header: the secret ends the address',
        params: z.strictObject({ source: sourceName, secret: z.string().max(256) }),
      },
      (raw) => {
        const source = identify(pushes, raw, raw.params['secret'] ?? '')
        // A secret in an address ends up in logs of proxies: only where there is no other way.
        if (source.kind !== 'docker-hub') throw invalid()
        return source
      },
      ({ sender, body }) => accept(pushes, sender, body),
    ),
  ]
}

function accept(pushes: Pushes, source: PushSource, body: unknown): Reply {
  const { claims, ...leftOut } = readPushes(source.kind, body)
  const { accepted, ignored } = pushes.accept(source, claims, leftOut)
  return { status: 202, body: { accepted, ignored } }
}

function identify(pushes: Pushes, { params }: RawCall, secret: string): PushSource {
  const source = pushes.identify(params['source'] ?? '', secret)
  if (source === undefined) throw invalid()
  return source
}

function invalid(): HttpError {
  return new HttpError('TOKEN_INVALID', 'There is no such source, or this is not its secret.')
}
