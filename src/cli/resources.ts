// The shapes of the API's answers as far as the command line reads them. Loose: what they do not name is kept, so that --json shows
// the resource as the server sent it, and a newer server may say more.
import { z } from 'zod'

const text = z.string().max(10_000)

export const imageSchema = z.looseObject({
  reference: text,
  gun: text,
  tag: text,
  digest: text.nullish(),
  status: text,
  roles: z.array(z.looseObject({ role: text, version: z.number() })).optional(),
  error: z.looseObject({ code: text, detail: text.optional() }).optional(),
})
export type ImageResource = z.infer<typeof imageSchema>

export const signingRequestSchema = z.looseObject({
  id: z.string().min(1).max(200),
  kind: text,
  status: text,
  isFinal: z.boolean(),
  createdAt: text,
  updatedAt: text,
  submitter: z.union([text, z.looseObject({ id: text, name: text.optional() })]),
  description: text.nullish(),
  images: z.array(imageSchema).min(1),
})
export type SigningRequestResource = z.infer<typeof signingRequestSchema>

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
      error: z.looseObject({ code: text, detail: text.optional() }).optional(),
    }),
  ),
})

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
