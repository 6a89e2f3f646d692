// How others are told of an expiry. Pure.
import type { Gun } from '@countersign/tuf'
import { planOf } from './expiry-forecast.ts'
import type { RoleOutlook } from './expiry-outlook.ts'
import type { WebhookNews } from './webhook-event.ts'

/** An expiry that nobody here will prevent, `days` or less before it. */
export function expiryNews(gun: Gun, role: RoleOutlook, days: number, at: Date): WebhookNews {
  const data = {
    gun,
    role: role.role,
    version: role.version,
    expiresAt: role.expiresAt.toISOString(),
    days,
    by: role.by,
    plan: planOf(gun, role),
  }
  return { type: 'repository.expiring', at, subject: gun, guns: [gun], data }
}
