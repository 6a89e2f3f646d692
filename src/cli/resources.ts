// The shapes of the API's answers as far as the command line reads them. Loose: what they do not name is kept, so that --json shows
// the resource as the server sent it, and a newer server may say more.
import * as z from 'zod'

const text = z.string().max(10_000)
const failure = z.looseObject({ code: text, detail: text.optional() })

const decisionSchema = z.looseObject({
  outcome: text,
  reasons: z.array(z.looseObject({ rule: text, code: text })),
  policyDigest: text.optional(),
  project: text.optional(),
  policy: text.optional(),
  /** What the tag stood for. */
  standing: text.optional(),
  approvals: z
    .looseObject({
      required: z.number(),
      from: z.array(text),
      signed: z.boolean().optional(),
      expiresAt: z.iso.datetime(),
    })
    .optional(),
})

const originSchema = z.looseObject({
  issuer: text,
  repository: text.optional(),
  repositoryId: text.optional(),
  ref: text.optional(),
  commit: text.optional(),
  workflow: text.optional(),
  run: text.optional(),
})

export const imageSchema = z.looseObject({
  reference: text,
  gun: text,
  /** Absent where the request is about the repository as a whole. */
  tag: text.optional(),
  digest: text.nullish(),
  length: z.number().optional(),
  promotedFrom: z.looseObject({ gun: text, tag: text, digest: text, role: text, version: z.number() }).optional(),
  status: text,
  roles: z.array(z.looseObject({ role: text, version: z.number() })).optional(),
  waiting: failure.optional(),
  error: failure.optional(),
  decision: decisionSchema.optional(),
  approvals: z.array(z.looseObject({ person: text, comment: text.optional() })).optional(),
  denial: z.looseObject({ person: text, reason: text }).optional(),
})
export type ImageResource = z.infer<typeof imageSchema>

export const signingRequestSchema = z.looseObject({
  id: z.string().min(1).max(200),
  kind: text,
  status: text,
  isFinal: z.boolean(),
  createdAt: text,
  updatedAt: text,
  submitter: z.union([
    text,
    z.looseObject({
      id: text,
      name: text.optional(),
      actors: z.array(text).optional(),
      origin: originSchema.optional(),
    }),
  ]),
  description: text.nullish(),
  resubmits: text.optional(),
  approvalDigest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  images: z.array(imageSchema).min(1),
})
export type SigningRequestResource = z.infer<typeof signingRequestSchema>

/** What would happen to images, and why. */
export const policyExplanationSchema = z.looseObject({
  outcome: text,
  images: z.array(z.looseObject({ reference: text, decision: decisionSchema })),
})

/** A page of a list. */
export const signingRequestPageSchema = z.looseObject({
  requests: z.array(signingRequestSchema),
  nextCursor: z.string().max(2000).nullish(),
})

export const verificationsSchema = z.looseObject({
  images: z.array(
    z.looseObject({
      reference: text,
      verdict: text,
      digest: text.nullish(),
      role: text.optional(),
      signers: z.array(text).optional(),
      error: failure.optional(),
    }),
  ),
})

export type VerificationResource = z.infer<typeof verificationsSchema>['images'][number]

/** Metadata files as they are published; the content is base64. */
export const publishedMetadataSchema = z.looseObject({
  gun: text,
  files: z
    .array(
      z.looseObject({ name: z.string().max(400), sha256: z.string().regex(/^[0-9a-f]{64}$/), content: z.base64() }),
    )
    .min(1)
    .max(4000),
})
export type PublishedMetadataResource = z.infer<typeof publishedMetadataSchema>

const namedKeys = z.looseObject({ Name: text, Keys: z.array(z.looseObject({ ID: text })).nullish() })

/** The JSON of `docker trust inspect`. */
export const inspectionSchema = z.array(
  z.looseObject({
    Name: text,
    SignedTags: z.array(z.looseObject({ SignedTag: text, Digest: text, Signers: z.array(text).nullish() })).nullish(),
    Signers: z.array(namedKeys).nullish(),
    AdministrativeKeys: z.array(namedKeys).nullish(),
  }),
)
export type InspectionResource = z.infer<typeof inspectionSchema>[number]

export const repositorySchema = z.looseObject({
  gun: text,
  state: text,
  /** Where the root key is: online, offline or adopted. */
  root: text.optional(),
  signer: text.nullish(),
  createdAt: text.optional(),
})
export type RepositoryResource = z.infer<typeof repositorySchema>

export const initializationSchema = z.looseObject({
  state: z.enum(['ready', 'awaiting-root-signature']),
  rootKeyIds: z.array(text),
  /** Base64. */
  rootSigned: z
    .base64()
    .max(1024 * 1024)
    .optional(),
})
export type InitializationResource = z.infer<typeof initializationSchema>

/** The next root of a repository and the one before; base64. */
export const rootPlanSchema = z.looseObject({
  gun: text,
  current: z.base64().max(1024 * 1024),
  next: z.base64().max(1024 * 1024),
})

/** What a move would do; roots in base64. */
export const movePlanSchema = rootPlanSchema.extend({
  from: text,
  to: text,
  roots: z.array(z.number()),
  takesOlderRoots: z.boolean(),
  moved: z.array(z.looseObject({ role: text, version: z.number(), expiresAt: text })),
  left: z.array(z.looseObject({ role: text, code: text })),
  raises: z.number(),
  oldTimestampExpiresAt: text,
  oldRootExpiresAt: text,
})
export type MovePlanResource = z.infer<typeof movePlanSchema>

export const repositoryReportSchema = repositorySchema.extend({
  roles: z
    .array(z.looseObject({ role: text, version: z.number(), expiresAt: text, entries: z.number().optional() }))
    .optional(),
  warnings: z.array(z.looseObject({ code: text, detail: text })).optional(),
  custody: z
    .looseObject({
      foreign: z
        .looseObject({
          versions: z.array(z.looseObject({ role: text, version: z.number(), decision: z.enum(['none', 'dropped']) })),
          leftOut: z.number(),
        })
        .optional(),
    })
    .optional(),
  trouble: failure.optional(),
})
export type RepositoryReportResource = z.infer<typeof repositoryReportSchema>

export const expiryForecastSchema = z.looseObject({
  gun: text,
  until: text,
  roles: z.array(z.looseObject({ role: text, expiresAt: text, by: text })),
  acts: z.array(z.looseObject({ role: text, kind: text, by: text, at: text, expiresAt: text, plan: text })),
})
export type ExpiryForecastResource = z.infer<typeof expiryForecastSchema>

export const driftSchema = z.looseObject({
  gun: text,
  signed: z.number(),
  moved: z.number(),
  gone: z.number(),
  unknown: z.number(),
  tags: z.array(
    z.looseObject({ tag: text, state: text, signed: text.optional(), found: text.optional(), since: text }),
  ),
  hasMore: z.boolean(),
})
export type DriftResource = z.infer<typeof driftSchema>

export const unsignedSchema = z.looseObject({
  gun: text,
  unsigned: z.number(),
  waiting: z.number(),
  tags: z.array(
    z.looseObject({
      tag: text,
      since: text,
      digest: text.optional(),
      request: text.optional(),
      status: text.optional(),
      trouble: text.optional(),
    }),
  ),
  hasMore: z.boolean(),
})
export type UnsignedResource = z.infer<typeof unsignedSchema>

/** What a pruning would do. */
export const prunePlanSchema = z.looseObject({
  gun: text,
  madeAt: z.iso.datetime({ precision: 3 }),
  signed: z.number(),
  stays: z.number(),
  entries: z.array(
    z.looseObject({
      tag: text,
      digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
      reason: z.enum(['gone', 'old']),
      signedAt: text.optional(),
    }),
  ),
  kept: z.array(z.looseObject({ tag: text, code: text, detail: text.optional() })),
  nextCursor: text.optional(),
})
export type PrunePlanResource = z.infer<typeof prunePlanSchema>

/** What a repair would do. */
export const repairPlanSchema = z.looseObject({
  gun: text,
  expired: z.array(
    z.looseObject({
      role: text,
      version: z.number(),
      expiredAt: text,
      canRepair: z.boolean(),
      obstacle: text.optional(),
      keys: z.array(text),
    }),
  ),
})
export type RepairPlanResource = z.infer<typeof repairPlanSchema>

/** A repository's report, for its keys. */
export const keyReportSchema = repositoryReportSchema.extend({
  custody: z.looseObject({
    rootCustody: text,
    keys: z.array(
      z.looseObject({
        role: text,
        keyType: text,
        canonicalKeyId: text,
        custody: text,
        createdAt: text,
        activeSince: text.optional(),
        lastUsedAt: text.optional(),
        state: text,
        signs: z.array(text).optional(),
        replaces: text.optional(),
      }),
    ),
  }),
})
export type KeyReportResource = z.infer<typeof keyReportSchema>

export const tokenSchema = z.looseObject({
  id: text,
  name: text,
  grants: z.array(z.looseObject({ grant: text, repositories: z.array(text) })),
  groups: z.array(text).optional(),
  createdAt: text,
  expiresAt: text.nullish(),
  revokedAt: text.nullish(),
  lastUsedAt: text.nullish(),
  previousValidUntil: text.nullish(),
  /** Of an exchanged token. */
  identity: text.nullish(),
})
export type TokenResource = z.infer<typeof tokenSchema>

export const tokenListSchema = z.looseObject({ tokens: z.array(tokenSchema) })

/** The answer to a creation: `token` is the secret, which comes this once. */
export const newTokenSchema = tokenSchema.extend({ token: z.string().regex(/^[\x21-\x7e]{16,512}$/) })

export const repositoryListSchema = z.looseObject({ repositories: z.array(repositorySchema) })

const count = z.number().int().nonnegative()

export const webhookSchema = z.looseObject({
  name: text,
  origin: text,
  state: text,
  since: text,
  events: z.array(text),
  pending: count,
  dead: count,
})
export const webhookListSchema = z.looseObject({ endpoints: z.array(webhookSchema) })

export const webhookDeliverySchema = z.looseObject({
  id: text,
  type: text,
  subject: text,
  state: text,
  attempts: count,
  createdAt: text,
  nextTryAt: text.nullish(),
  lastStatus: z.number().nullish(),
  lastCode: text.nullish(),
})
export type WebhookDeliveryResource = z.infer<typeof webhookDeliverySchema>

export const webhookDeliveryPageSchema = z.looseObject({
  deliveries: z.array(webhookDeliverySchema),
  nextCursor: z.string().max(2000).nullish(),
})

/** How the receiver of a ping answered. */
export const webhookTestSchema = z.looseObject({
  id: text,
  accepted: z.boolean(),
  status: z.number().optional(),
  code: text.optional(),
})
