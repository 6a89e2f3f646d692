// The resource webhooks: the endpoints of the configuration, their deliveries, and an operator's demands.
import * as z from 'zod'
import { type Attempt, type Delivery, DELIVERY_STATES } from '../domain/webhook-delivery.ts'
import { WEBHOOK_EVENT_TYPES } from '../domain/webhook-event.ts'
import type { WebhookReport, WebhookService } from '../service/webhooks.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, nextCursorText, text, limitQuery } from './shapes.ts'

const endpointName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'must be the name of an endpoint')
const endpointParams = z.strictObject({ name: endpointName })
const deliveryParams = z.strictObject({
  name: endpointName,
  id: z.string().regex(/^[a-z0-9_-]{1,64}$/, 'must be the id of a delivery'),
})

const endpointShape = z
  .strictObject({
    name: z.string(),
    origin: z.string().meta({ description: 'Scheme, host and port of its address.' }),
    state: z.enum(['active', 'gone']).meta({ description: 'gone: it answered 410, and nothing is sent.' }),
    since: dateText.meta({ description: 'Since when it is in this state.' }),
    events: z.array(z.enum(WEBHOOK_EVENT_TYPES)),
    repositories: z.array(z.string()),
    pending: z.int(),
    delivered: z.int(),
    dead: z.int(),
  })
  .meta({ id: 'WebhookEndpoint' })

const deliveryShape = z
  .strictObject({
    id: z.string().meta({ description: 'The webhook-id of the event.' }),
    type: z.enum(WEBHOOK_EVENT_TYPES),
    subject: z.string().meta({ description: 'The request, the repository, or the size of the log.' }),
    state: z.enum(DELIVERY_STATES),
    attempts: z.int(),
    createdAt: dateText,
    nextTryAt: dateText.optional(),
    lastTryAt: dateText.optional(),
    lastStatus: z.int().optional().meta({ description: 'The HTTP status of the last attempt.' }),
    lastCode: z.string().optional().meta({ description: 'Why the last attempt failed.' }),
  })
  .meta({ id: 'WebhookDelivery' })

const attemptShape = z
  .strictObject({
    id: z.string().meta({ description: 'The webhook-id of the ping.' }),
    accepted: z.boolean(),
    status: z.int().optional(),
    code: z.string().optional(),
  })
  .meta({ id: 'WebhookTest' })

/** Items of a page where the client does not say. */
const DEFAULT_LIMIT = 50

export function webhookRoutes(webhooks: WebhookService): Route[] {
  const list = tokenRoute(
    {
      method: 'GET',
      path: '/v1/webhooks',
      operationId: 'listWebhooks',
      summary: 'List the webhook endpoints, their state and how many events wait for them',
      replies: {
        200: { description: 'As configured.', schema: z.strictObject({ endpoints: z.array(endpointShape) }) },
      },
      codes: ['NOT_PERMITTED'],
    },
    ({ principal }) => ({ status: 200, body: { endpoints: webhooks.list(principal).map(endpointView) } }),
  )

  const deliveries = tokenRoute(
    {
      method: 'GET',
      path: '/v1/webhooks/:name/deliveries',
      operationId: 'listWebhookDeliveries',
      summary: 'List the deliveries of an endpoint, newest first',
      params: endpointParams,
      query: z.strictObject({
        limit: limitQuery,
        cursor: text(512).optional(),
        state: z.enum(DELIVERY_STATES).optional(),
      }),
      replies: {
        200: {
          description: 'Those that are remembered.',
          schema: z.strictObject({ deliveries: z.array(deliveryShape), nextCursor: nextCursorText }),
        },
      },
      codes: ['NOT_PERMITTED', 'WEBHOOK_NOT_FOUND', 'CURSOR_INVALID'],
    },
    ({ principal, params, query }) => {
      const page = webhooks.deliveries(principal, {
        endpoint: params.name,
        limit: query.limit ?? DEFAULT_LIMIT,
        ...(query.cursor !== undefined && { cursor: query.cursor }),
        ...(query.state !== undefined && { state: query.state }),
      })
      return {
        status: 200,
        body: {
          deliveries: page.deliveries.map(deliveryView),
          ...(page.nextCursor !== undefined && { nextCursor: page.nextCursor }),
        },
      }
    },
  )

  const redeliver = tokenRoute(
    {
      method: 'POST',
      path: '/v1/webhooks/:name/deliveries/:id/redeliver',
      operationId: 'redeliverWebhook',
      summary: 'Send an event again, under the same webhook-id',
      params: deliveryParams,
      body: z.strictObject({}).optional(),
      replies: { 202: { description: 'It is pending again.', schema: deliveryShape } },
      codes: ['NOT_PERMITTED', 'WEBHOOK_NOT_FOUND', 'WEBHOOK_DELIVERY_NOT_FOUND', 'KEY_HOLDER_UNREACHABLE'],
    },
    async ({ principal, params }) => ({
      status: 202,
      body: deliveryView(await webhooks.redeliver(principal, params.name, params.id)),
    }),
  )

  const enable = tokenRoute(
    {
      method: 'POST',
      path: '/v1/webhooks/:name/enable',
      operationId: 'enableWebhook',
      summary: 'Let an endpoint that answered 410 have events again',
      params: endpointParams,
      body: z.strictObject({}).optional(),
      replies: { 200: { description: 'It is active.', schema: endpointShape } },
      codes: ['NOT_PERMITTED', 'WEBHOOK_NOT_FOUND', 'KEY_HOLDER_UNREACHABLE'],
    },
    async ({ principal, params }) => ({
      status: 200,
      body: endpointView(await webhooks.enable(principal, params.name)),
    }),
  )

  const test = tokenRoute(
    {
      method: 'POST',
      path: '/v1/webhooks/:name/test',
      operationId: 'testWebhook',
      summary: 'Send a ping to an endpoint, once, and tell how it answered',
      params: endpointParams,
      body: z.strictObject({}).optional(),
      replies: { 200: { description: 'How the attempt ended.', schema: attemptShape } },
      codes: ['NOT_PERMITTED', 'WEBHOOK_NOT_FOUND'],
    },
    async ({ principal, params }) => {
      const { id, attempt } = await webhooks.test(principal, params.name)
      return { status: 200, body: attemptView(id, attempt) }
    },
  )

  return [list, deliveries, redeliver, enable, test]
}

function endpointView(report: WebhookReport): z.output<typeof endpointShape> {
  const { name, origin, state, since, events, repositories, counts } = report
  return {
    name,
    origin,
    state,
    since: since.toISOString(),
    events: [...events],
    repositories: [...repositories],
    pending: counts.pending,
    delivered: counts.delivered,
    dead: counts.dead,
  }
}

function deliveryView(delivery: Delivery): z.output<typeof deliveryShape> {
  return {
    id: delivery.id,
    type: delivery.type,
    subject: delivery.subject,
    state: delivery.state,
    attempts: delivery.attempts,
    createdAt: delivery.createdAt.toISOString(),
    ...(delivery.nextTryAt !== undefined && { nextTryAt: delivery.nextTryAt.toISOString() }),
    ...(delivery.lastTryAt !== undefined && { lastTryAt: delivery.lastTryAt.toISOString() }),
    ...(delivery.lastStatus !== undefined && { lastStatus: delivery.lastStatus }),
    ...(delivery.lastCode !== undefined && { lastCode: delivery.lastCode }),
  }
}

function attemptView(id: string, attempt: Attempt): z.output<typeof attemptShape> {
  return {
    id,
    accepted: attempt.outcome === 'accepted',
    ...(attempt.status !== undefined && { status: attempt.status }),
    ...(attempt.outcome !== 'accepted' && { code: attempt.code }),
  }
}
