// The settings of sign on push. Pure.
import * as z from 'zod'
import { parsePattern } from '../domain/pattern.ts'
import { PUSH_SOURCE_KINDS, type PushSource } from '../domain/push-event.ts'
import { configPath as path, pattern, registryHost } from './fields.ts'
import { duration } from './units.ts'

const repository = z.strictObject({
  gun: pattern.meta({ description: 'Repositories: registry and path, `*` matches any run of characters.' }),
  tags: z
    .array(z.string().regex(/^[\w.*-]{1,128}$/, 'must be a pattern over tags, as v*'))
    .min(1)
    .max(64)
    .meta({ description: 'Tags; `*` matches any run of characters.' }),
})

const source = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be a name: a-z, 0-9 and -')
    .meta({ description: 'Ends the address of its events (/v1/events/NAME). The identity that asks is push:NAME.' }),
  kind: z.enum(PUSH_SOURCE_KINDS).meta({ description: 'Whose events they are; GitLab sends those of distribution.' }),
  registry: registryHost.meta({
    description: 'The host as it stands in image references. What events say of hosts is not looked at.',
  }),
  secretFile: path.meta({ description: 'A file, mode 0600, with the secret of this source: 32 to 256 characters.' }),
  previousSecretFile: path.optional().meta({ description: 'The secret before, while it is changed: both are taken.' }),
  repositories: z
    .array(repository)
    .min(1)
    .max(256)
    .meta({ description: 'Where pushed tags are signed. Anything else that is pushed is ignored.' }),
  policy: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .meta({ description: 'The signing policy that is asked for. Default: that of the project.' }),
  eventsPerMinute: z.int().min(1).max(60_000).default(6_000).meta({ description: 'Deliveries of this source.' }),
})

export const pushSettings = z
  .strictObject({
    sources: z.array(source).max(32).default([]).meta({ description: 'Registries that tell of pushes. None: off.' }),
    queue: z.int().min(1_000).max(100_000).default(10_000).meta({
      description:
        'Pushes of one source that may wait to be looked at; then its events are refused, and sent again by the registry.',
    }),
    looksPerMinute: z.int().min(1).max(6_000).default(600).meta({
      description: 'Pushed tags that are looked at within a minute.',
    }),
    alertAfter: duration('10s', '30d').default(600_000).meta({
      description: 'How long a pushed tag may be unsigned before that is told.',
    }),
  })
  .superRefine(({ sources }, context) => {
    sources.forEach(({ name }, index) => {
      if (sources.findIndex((one) => one.name === name) === index) return
      context.addIssue({ code: 'custom', path: ['sources', index, 'name'], message: 'stands in the list twice' })
    })
  })
  .prefault({})
  .meta({ description: 'Signing what is pushed, by the events of registries.' })

export type PushSourceConfig = z.output<typeof pushSettings>['sources'][number]

/** As the services read it. */
export function pushSource({
  name,
  kind,
  registry,
  repositories,
  policy,
  eventsPerMinute,
}: PushSourceConfig): PushSource {
  return {
    name,
    kind,
    registry: registry.toLowerCase(),
    repositories: repositories.map(({ gun, tags }) => ({ gun: parsePattern(gun), tags })),
    eventsPerMinute,
    ...(policy !== undefined && { policy }),
  }
}
