// One project of the policy folder, as its file has it: which repositories it owns and by which signing policies their tags are signed.
// Names that nobody knows, and values out of bounds, are faults. Pure.
import * as z from 'zod'
import { pattern } from '../config/fields.ts'
import { duration } from '../config/units.ts'

export const projectName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a name: a-z, 0-9 and -, at most 63')

/** Reads of a list of names: what stands in it twice was meant to be something else. */
const list = <T extends z.ZodType>(item: T, max: number) =>
  z
    .array(item)
    .min(1)
    .max(max)
    .refine((items) => new Set(items).size === items.length, 'holds something twice')

const tagPattern = z
  .string()
  .regex(/^[\w.*-]{1,128}$/, 'must be a pattern over tags, as v*')
  .meta({ description: '`*` matches any run of characters; nothing else is special.' })

/** Over refs, workflows, events and environments: printable, without spaces. */
const claimPattern = z.string().regex(/^[\x21-\x7e]{1,512}$/, 'must be printable ASCII without spaces')

const party = z
  .string()
  .regex(
    /^(anyone|person:[a-z0-9][a-z0-9._-]{0,62}|group:[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}|identity:[\x21-\x7e]{1,256})$/,
    'must be anyone, person:NAME, group:NAME or identity:PATTERN',
  )
  .meta({
    description:
      'person: of people.yaml. group: of people.yaml, of a token or of an OIDC identity. identity: the id of an identity, `*` matches any run.',
  })

const originSchema = z
  .strictObject({
    issuers: list(z.url({ protocol: /^https?$/ }).max(2048), 16).meta({ description: 'Exact `iss` of the token.' }),
    repositoryIds: list(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/), 256).meta({
      description: 'GitHub `repository_id`, GitLab `project_id`: ids, since names are given to others later.',
    }),
    refs: list(claimPattern, 64)
      .optional()
      .meta({ description: 'Full refs, as refs/heads/main or refs/tags/v*. Default: any.' }),
    protectedRef: z.boolean().default(true).meta({ description: 'Only refs that the provider protects.' }),
    workflows: list(claimPattern, 64)
      .optional()
      .meta({ description: 'GitHub `job_workflow_ref`, GitLab `ci_config_ref_uri`. Default: any.' }),
    events: list(claimPattern, 32)
      .optional()
      .meta({ description: 'GitHub `event_name`, GitLab `pipeline_source`. Default: any.' }),
    environments: list(claimPattern, 32).optional().meta({ description: 'Deployment environments. Default: any.' }),
    runners: list(z.enum(['hosted', 'self-hosted']), 2)
      .optional()
      .meta({ description: 'Default: any.' }),
    reRuns: z.boolean().default(false).meta({ description: 'Whether a run may be a repetition of an earlier one.' }),
    commit: z.boolean().default(true).meta({ description: 'The commit must be known, so that it is recorded.' }),
  })
  .meta({ description: 'Where the workload must run, by the word of its issuer. With it, people cannot submit.' })

const windowSchema = z.strictObject({
  days: list(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']), 7).default([
    'mon',
    'tue',
    'wed',
    'thu',
    'fri',
    'sat',
    'sun',
  ]),
  from: z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be HH:MM'),
  to: z.string().regex(/^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$/, 'must be HH:MM'),
  zone: z.string().max(64).refine(isTimeZone, 'must be a time zone, as Europe/Vienna').default('UTC'),
})

const DAY_MS = 86_400_000

const signingPolicy = z
  .strictObject({
    kinds: list(z.enum(['sign', 'unsign']), 2)
      .default(['sign'])
      .meta({ description: 'What may be asked.' }),
    submitters: list(party, 256).meta({ description: 'Who may ask. Each also needs the grant `submit`.' }),
    tags: list(tagPattern, 256).meta({ description: 'The tags that may be signed.' }),
    digest: z
      .enum(['required', 'optional'])
      .default('required')
      .meta({ description: 'Whether the submitter must name the digest, or may name the tag alone.' }),
    moveTags: z
      .boolean()
      .default(false)
      .meta({ description: 'Whether a tag that is signed may be signed at another digest, or lose its signature.' }),
    approvals: z
      .strictObject({
        required: z.int().min(1).max(16).default(1).meta({ description: 'How many different people must approve.' }),
        signed: z.boolean().default(false).meta({
          description: "Each with the approver's own key, which the limits file of the key holder names, too.",
        }),
        from: list(
          party.refine((text) => !text.startsWith('identity:') && text !== 'anyone', 'names people or groups'),
          64,
        ),
      })
      .optional()
      .meta({ description: 'People who must approve. One denial ends the request.' }),
    origin: originSchema.optional(),
    windows: list(windowSchema, 16).optional().meta({ description: 'When may be asked. Default: always.' }),
    limits: z
      .strictObject({
        identityPerHour: z.int().min(1).max(100_000).optional(),
        repositoryPerHour: z.int().min(1).max(100_000).optional(),
      })
      .prefault({})
      .meta({
        description: 'Images that one identity, and everybody together in one repository, may ask for in an hour.',
      }),
    lifetime: duration('1m', '90d')
      .default(7 * DAY_MS)
      .meta({ description: 'How long a request may wait for its approvals.' }),
  })
  .refine((policy) => !policy.kinds.includes('unsign') || policy.moveTags, {
    path: ['moveTags'],
    message:
      'must be true where kinds holds unsign: a tag that may be dropped can be signed at another digest afterwards',
  })

const denyRule = z.strictObject({
  reason: z.string().min(1).max(200).meta({ description: 'For people.' }),
  submitters: list(party, 256).optional(),
  tags: list(tagPattern, 256).optional(),
  repositories: list(pattern, 256).optional(),
  kinds: list(z.enum(['sign', 'unsign']), 2).optional(),
})

export const projectFile = z
  .strictObject({
    project: projectName,
    repositories: list(pattern, 256).meta({ description: 'The repositories that this project owns. No other may.' }),
    default: projectName
      .optional()
      .meta({ description: 'The policy of requests that name none. Without it they are denied.' }),
    policies: z.record(projectName, signingPolicy).refine((policies) => {
      const count = Object.keys(policies).length
      return count >= 1 && count <= 64
    }, 'must hold 1 to 64 policies'),
    deny: z.array(denyRule).max(1024).default([]).meta({
      description: 'What is denied whatever a policy allows. A rule applies where everything that it names matches.',
    }),
  })
  .refine((file) => file.default === undefined || Object.hasOwn(file.policies, file.default), {
    path: ['default'],
    message: 'names no policy of this project',
  })

export type ProjectFile = z.output<typeof projectFile>
export type SigningPolicy = ProjectFile['policies'][string]
export type OriginRules = NonNullable<SigningPolicy['origin']>
export type DenyRule = ProjectFile['deny'][number]
export type TimeWindow = z.output<typeof windowSchema>

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
