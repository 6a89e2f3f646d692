// The webhook service over a world, with one endpoint that takes everything; nothing is sent anywhere.
import { parsePattern } from '../../../src/domain/pattern.ts'
import { Webhooks } from '../../../src/service/webhooks.ts'
import { SqliteWebhookStore } from '../../../src/store/webhooks.ts'
import type { World } from './world.ts'

export function webhooksOf({ database, dependencies }: World): Webhooks {
  const { clock, identifiers, keyHolder } = dependencies
  const endpoints = [
    {
      name: 'chat',
      origin: 'https://hooks.example.com',
      events: ['request.published' as const],
      repositories: [parsePattern('*')],
      configuration: 'c'.repeat(64),
    },
  ]
  const wake = (): void => undefined
  const store = new SqliteWebhookStore({ database, endpoints, identifiers, onRecorded: wake })
  store.takeConfiguration(clock.now())
  const sender = {
    send: () => Promise.resolve({ outcome: 'accepted' as const, status: 200 }),
    close: () => Promise.resolve(),
  }
  return new Webhooks({ store, sender, keyHolder, clock, identifiers, endpoints, wake })
}
