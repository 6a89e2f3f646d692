// Shapes that several resources share: names in requests, values in answers, lists and waiting.
import * as z from 'zod'
import { parseDuration } from '../config/units.ts'
import { NOTARY_ERROR_CODES } from '../notary/errors.ts'
import { REGISTRY_ERROR_CODES } from '../registry/errors.ts'

export const text = (max: number) => z.string().min(1).max(max)

/** A repository in a path or body. The grammar is the library's own: GUN_INVALID. */
export const gunText = text(255).meta({
  description: 'The repository: registry and path, as registry.example.com/team/app.',
})

export const gunParams = z.strictObject({ gun: gunText })

export const requestIdParams = z.strictObject({
  id: z.string().regex(/^[a-z0-9_-]{1,64}$/, 'must be the id of a signing request'),
})

export const dateText = z.iso.datetime().meta({ description: 'UTC, RFC 3339.' })

export const digestText = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .meta({ description: 'sha256: and 64 hexadecimal digits.' })

export const hex64 = z.string().regex(/^[0-9a-f]{64}$/)

/** What may become of a call that looks an image up in its registry. */
export const REGISTRY_CODES = REGISTRY_ERROR_CODES

/** What may become of a call that promotes. */
export const PROMOTION_CODES = [
  'PROMOTION_SOURCE_NOT_SIGNED',
  'PROMOTION_SOURCE_MOVED',
  'PROMOTION_SOURCE_FROZEN',
  'PROMOTION_DESTINATION_DIFFERS',
] as const

/** What may become of a call that publishes at a trust server. */
export const PUBLISHING_CODES = NOTARY_ERROR_CODES

/** What may become of a call that reads what a trust server publishes. */
export const TRUST_SERVER_CODES = NOTARY_ERROR_CODES.filter(
  (code) => code !== 'NOTARY_CONFLICT' && code !== 'NOTARY_UPDATE_INVALID' && code !== 'NOTARY_ANSWER_LOST',
)

/** A failure that is told inside an answer. */
export const failure = z.strictObject({ code: z.string(), detail: z.string() })

/** `wait=30s`: how long the answer may be held back. Longer than the server's own bound means that bound. */
export const waitQuery = z
  .string()
  .regex(/^[0-9]{1,6}(ms|s|m)$/, 'must be a duration, as 30s')
  .transform((value) => parseDuration(value.replace(/^0+(?=[0-9])/, '')) ?? 0)
  .optional()
  .meta({ description: 'How long the answer may wait for the end of the request, as 30s.' })

/** `limit=50`: items of a page. */
export const limitQuery = z
  .string()
  .regex(/^[1-9][0-9]{0,2}$/, 'must be a number from 1 to 200')
  .transform(Number)
  .refine((limit) => limit <= 200, 'must be a number from 1 to 200')
  .optional()

/** Where a list goes on. */
export const nextCursorText = z
  .string()
  .optional()
  .meta({ description: 'Give it as cursor= to go on; absent on the last page.' })

export function printDigest(sha256: string): string {
  return `sha256:${sha256}`
}
