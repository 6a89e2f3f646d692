// The forecast of a repository's expiries as the API shows it.
import * as z from 'zod'
import type { ExpiryForecast } from '../domain/expiry-forecast.ts'
import { RE_SIGNERS, ROLE_CLASSES } from '../domain/expiry-outlook.ts'
import { dateText } from './shapes.ts'

const by = z.enum(RE_SIGNERS).meta({
  description:
    'Who can sign it again: countersign (keys that are here), trust-server (unasked), ceremony (the offline root key), elsewhere (keys of others).',
})
const role = { role: z.string(), roleClass: z.enum(ROLE_CLASSES), by }

export const expiryForecastShape = z
  .strictObject({
    gun: z.string(),
    from: dateText,
    until: dateText.meta({ description: 'Three years later.' }),
    roles: z.array(
      z.strictObject({
        ...role,
        version: z.int(),
        expiresAt: dateText.meta({ description: 'When clients refuse it.' }),
        isOfCertificate: z.literal(true).optional().meta({
          description: 'The certificates of root end before root itself: a later date needs another root key.',
        }),
        keyIds: z.array(z.string()),
        threshold: z.int(),
      }),
    ),
    acts: z
      .array(
        z.strictObject({
          ...role,
          kind: z.enum(['renewal', 'person']).meta({ description: 'renewal: by itself. person: somebody has to.' }),
          at: dateText.meta({ description: 'When it is done by itself; for a person, from when on it is time.' }),
          expiresAt: dateText.meta({ description: 'By when it has to be done.' }),
          plan: z.string(),
        }),
      )
      .meta({ description: 'By their time.' }),
  })
  .meta({ id: 'ExpiryForecast' })

export function expiryForecastView({
  gun,
  from,
  until,
  roles,
  acts,
}: ExpiryForecast): z.output<typeof expiryForecastShape> {
  return {
    gun,
    from: from.toISOString(),
    until: until.toISOString(),
    roles: roles.map((one) => ({ ...one, expiresAt: one.expiresAt.toISOString(), keyIds: [...one.keyIds] })),
    acts: acts.map((act) => ({ ...act, at: act.at.toISOString(), expiresAt: act.expiresAt.toISOString() })),
  }
}
