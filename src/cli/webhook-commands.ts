// `webhook`: who is told of events, what became of them, and an operator's demands. Endpoints are made in the server's configuration.
import { InvalidArgumentError, type Command } from 'commander'
import { EXIT, type ExitStatus } from './errors.ts'
import {
  webhookDeliveryPageSchema,
  webhookDeliverySchema,
  webhookListSchema,
  webhookSchema,
  webhookTestSchema,
  type WebhookDeliveryResource,
} from './resources.ts'
import type { Perform, Session } from './session.ts'

/** What the server gives at most in one answer; longer lists are fetched in several. */
const PAGE_SIZE = 100

interface DeliveriesOptions {
  readonly limit: number
  readonly state?: string
  readonly cursor?: string
}

export function addWebhookCommands(program: Command, perform: Perform): void {
  const group = program
    .command('webhook')
    .summary('see webhooks and their deliveries')
    .description('Webhook endpoints of the server, and the events for them. Grant: operator on all repositories.')

  group
    .command('list')
    .description('Lists the endpoints, their state, and how many events wait or were given up.')
    .addHelpText('after', '\nExamples:\n  $ countersign webhook list\n  $ countersign webhook list --json')
    .action((_options: object, command: Command) => perform(command, list))

  group
    .command('deliveries')
    .description('Lists the events for an endpoint, newest first.')
    .argument('<name>', 'the endpoint', nameArgument)
    .option('--state <state>', 'only those that are pending, delivered or dead')
    .option('--limit <count>', 'how many at most', countOption, 20)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .addHelpText('after', '\nExamples:\n  $ countersign webhook deliveries chat --state dead')
    .action((name: string, options: DeliveriesOptions, command: Command) =>
      perform(command, (session) => listDeliveries(session, name, options)),
    )

  group
    .command('redeliver')
    .description('Sends an event again, under the same webhook-id.')
    .argument('<name>', 'the endpoint', nameArgument)
    .argument('<id>', 'ID of the delivery, as `webhook deliveries` shows it', idArgument)
    .addHelpText('after', '\nExamples:\n  $ countersign webhook redeliver chat event-01j9')
    .action((name: string, id: string, _options: object, command: Command) =>
      perform(command, (session) => redeliver(session, name, id)),
    )

  group
    .command('enable')
    .description('Lets an endpoint that answered 410 have events again, first those that wait.')
    .argument('<name>', 'the endpoint', nameArgument)
    .addHelpText('after', '\nExamples:\n  $ countersign webhook enable chat')
    .action((name: string, _options: object, command: Command) => perform(command, (session) => enable(session, name)))

  group
    .command('test')
    .description('Sends a ping to an endpoint, once, and tells how it answered.')
    .argument('<name>', 'the endpoint', nameArgument)
    .addHelpText('after', '\nExamples:\n  $ countersign webhook test chat')
    .action((name: string, _options: object, command: Command) => perform(command, (session) => test(session, name)))
}

async function list(session: Session): Promise<ExitStatus> {
  const api = await session.api()
  const answer = await api.call({ method: 'GET', path: 'v1/webhooks', answer: webhookListSchema })
  session.output.document(answer)
  session.output.table(
    ['NAME', 'STATE', 'SINCE', 'PENDING', 'DEAD', 'ADDRESS', 'EVENTS'],
    answer.endpoints.map((endpoint) => [
      endpoint.name,
      endpoint.state,
      endpoint.since,
      String(endpoint.pending),
      String(endpoint.dead),
      endpoint.origin,
      endpoint.events.join(','),
    ]),
    ([, state, , , dead]) => (state === 'gone' || dead !== '0' ? 'red' : undefined),
  )
  return EXIT.done
}

async function listDeliveries(session: Session, name: string, options: DeliveriesOptions): Promise<ExitStatus> {
  const api = await session.api()
  const deliveries: WebhookDeliveryResource[] = []
  let cursor = options.cursor
  do {
    const page = await api.call({
      method: 'GET',
      path: `v1/webhooks/${encodeURIComponent(name)}/deliveries`,
      query: { limit: String(Math.min(options.limit - deliveries.length, PAGE_SIZE)), cursor, state: options.state },
      answer: webhookDeliveryPageSchema,
    })
    deliveries.push(...page.deliveries)
    cursor = page.deliveries.length === 0 ? undefined : (page.nextCursor ?? undefined)
  } while (cursor !== undefined && deliveries.length < options.limit)
  const { output } = session
  output.document({ deliveries, ...(cursor !== undefined && { nextCursor: cursor }) })
  output.table(
    ['ID', 'TYPE', 'SUBJECT', 'STATE', 'ATTEMPTS', 'CREATED', 'NEXT TRY', 'LAST ANSWER'],
    deliveries.map((delivery) => [
      delivery.id,
      delivery.type,
      delivery.subject,
      delivery.state,
      String(delivery.attempts),
      delivery.createdAt,
      delivery.nextTryAt ?? '-',
      lastAnswer(delivery),
    ]),
    ([, , , state]) => (state === 'dead' ? 'red' : undefined),
  )
  if (cursor !== undefined) output.progress(`There are more: --cursor ${cursor}`)
  return EXIT.done
}

async function redeliver(session: Session, name: string, id: string): Promise<ExitStatus> {
  const api = await session.api()
  const path = `v1/webhooks/${encodeURIComponent(name)}/deliveries/${encodeURIComponent(id)}/redeliver`
  const delivery = await api.call({ method: 'POST', path, answer: webhookDeliverySchema })
  session.output.document(delivery)
  session.output.line(`${id} is sent to ${name} again.`)
  return EXIT.done
}

async function enable(session: Session, name: string): Promise<ExitStatus> {
  const api = await session.api()
  const path = `v1/webhooks/${encodeURIComponent(name)}/enable`
  const endpoint = await api.call({ method: 'POST', path, answer: webhookSchema })
  session.output.document(endpoint)
  session.output.line(`${name} is ${endpoint.state}; ${endpoint.pending} events wait for it.`)
  return EXIT.done
}

async function test(session: Session, name: string): Promise<ExitStatus> {
  const api = await session.api()
  const path = `v1/webhooks/${encodeURIComponent(name)}/test`
  const answer = await api.call({ method: 'POST', path, answer: webhookTestSchema })
  session.output.document(answer)
  const { accepted, status, code } = answer
  if (accepted) {
    session.output.line(`${name} took ${answer.id}: ${status ?? ''}`)
    return EXIT.done
  }
  session.output.complain(
    code ?? 'WEBHOOK_REFUSED',
    `${name} did not take the ping${status === undefined ? '' : `: it answered ${status}`}.`,
    'docs/errors.md says what this code means.',
  )
  return EXIT.failed
}

function lastAnswer({ lastStatus, lastCode }: WebhookDeliveryResource): string {
  return [lastStatus, lastCode].filter((part) => part !== undefined && part !== null).join(' ') || '-'
}

function nameArgument(text: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(text)) return text
  throw new InvalidArgumentError('That is not the name of an endpoint; see: countersign webhook list')
}

function idArgument(text: string): string {
  if (/^[a-z0-9_-]{1,64}$/.test(text)) return text
  throw new InvalidArgumentError('That is not the ID of a delivery; see: countersign webhook deliveries NAME')
}

function countOption(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A whole number from 1 to 99999.')
}
