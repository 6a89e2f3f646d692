// The resource tokens. A token's secret stands in one answer, that of its creation, and nowhere else.
import * as z from 'zod'
import { duration } from '../config/units.ts'
import { GRANT_KINDS, GROUP_NAME } from '../domain/principal.ts'
import type { TokenService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, text } from './shapes.ts'

type TokenRecord = ReturnType<TokenService['list']>[number]

const grantShape = z
  .strictObject({
    grant: z.enum(GRANT_KINDS),
    repositories: z
      .array(text(300))
      .min(1)
      .max(100)
      .meta({ description: 'Patterns; * matches any run of characters.' }),
  })
  .meta({ id: 'Grant' })

const groupName = z.string().regex(GROUP_NAME, 'must be the name of a group: a-z, 0-9, . _ and -')

const record = {
  id: z.string(),
  name: z.string(),
  grants: z.array(grantShape),
  groups: z.array(z.string()).meta({ description: 'Names that policies know groups of identities by.' }),
  createdAt: dateText,
  createdBy: z.string(),
  expiresAt: dateText.optional(),
  revokedAt: dateText.optional(),
  lastUsedAt: dateText.optional().meta({ description: 'UTC, RFC 3339; exact to within five minutes.' }),
  previousValidUntil: dateText.optional().meta({ description: 'Until when the secret before this one is taken, too.' }),
  identity: z.string().optional().meta({ description: 'Of an exchanged token: the identity of its workload.' }),
}

const tokenShape = z.strictObject(record).meta({ id: 'Token' })
const newTokenShape = z
  .strictObject({ ...record, token: z.string().meta({ description: 'The secret. It is shown this once.' }) })
  .meta({ id: 'NewToken' })

const creation = z
  .strictObject({
    name: text(128),
    grants: z.array(grantShape).min(1).max(32),
    groups: z.array(groupName).max(32).optional(),
    expiresAt: z.iso.datetime({ offset: true }).optional(),
  })
  .meta({ id: 'TokenRequest' })

const rotation = z
  .strictObject({
    overlap: duration('0s', '7d')
      .optional()
      .meta({ description: 'How long the secret before is still taken, as 30m, at most 7d. Default: 1h.' }),
  })
  .meta({ id: 'TokenRotation' })

const tokenParams = z.strictObject({ id: z.string().regex(/^[a-z0-9_-]{1,64}$/, 'must be the id of a token') })

/** Long enough to bring the new secret to every place where the old one is. */
const DEFAULT_OVERLAP_MS = 3_600_000

export function tokenRoutes(tokens: TokenService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/tokens',
        operationId: 'listTokens',
        summary: 'List the tokens that the administrator may manage',
        replies: { 200: { description: 'Oldest first.', schema: z.strictObject({ tokens: z.array(tokenShape) }) } },
        query: z.strictObject({
          kind: z
            .enum(['made', 'exchanged'])
            .optional()
            .meta({ description: 'Made by administrators (default), or exchanged for those of other issuers.' }),
        }),
        codes: ['NOT_PERMITTED'],
      },
      ({ principal, query }) => ({ status: 200, body: { tokens: tokens.list(principal, query.kind).map(tokenView) } }),
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/tokens',
        operationId: 'createToken',
        summary: 'Create a token',
        body: creation,
        replies: { 201: { description: 'The token, with its secret.', schema: newTokenShape } },
        codes: ['NOT_PERMITTED', 'GRANT_INVALID', 'GRANT_ESCALATION', 'TOKEN_NAME_INVALID'],
      },
      async ({ principal, body }) => {
        const { token, secret } = await tokens.create(principal, {
          name: body.name,
          grants: body.grants,
          ...(body.groups !== undefined && { groups: body.groups }),
          ...(body.expiresAt !== undefined && { expiresAt: new Date(body.expiresAt) }),
        })
        return {
          status: 201,
          headers: { location: `/v1/tokens/${token.id}` },
          body: { ...tokenView(token), token: secret },
        }
      },
    ),
    tokenRoute(
      {
        method: 'DELETE',
        path: '/v1/tokens/:id',
        operationId: 'revokeToken',
        summary: 'Revoke a token, at once and for good',
        params: tokenParams,
        replies: { 204: { description: 'The token is revoked.' } },
        codes: ['NOT_PERMITTED', 'TOKEN_NOT_FOUND', 'GRANT_ESCALATION'],
      },
      async ({ principal, params }) => {
        await tokens.revoke(principal, params.id)
        return { status: 204 }
      },
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/tokens/:id/rotate',
        operationId: 'rotateToken',
        summary: 'Give a token another secret, and let the one before be taken for a while',
        params: tokenParams,
        body: rotation.optional(),
        replies: { 200: { description: 'The token, with its new secret.', schema: newTokenShape } },
        codes: ['NOT_PERMITTED', 'TOKEN_NOT_FOUND', 'TOKEN_NOT_ROTATABLE', 'GRANT_ESCALATION', 'RECORD_CHANGED'],
      },
      async ({ principal, params, body }) => {
        const { token, secret } = await tokens.rotate(principal, params.id, body?.overlap ?? DEFAULT_OVERLAP_MS)
        return { status: 200, body: { ...tokenView(token), token: secret } }
      },
    ),
  ]
}

function tokenView(token: TokenRecord): z.output<typeof tokenShape> {
  return {
    id: token.id,
    name: token.name,
    grants: token.grants.map(({ grant, repositories }) => ({ grant, repositories: [...repositories] })),
    groups: [...token.groups],
    createdAt: token.createdAt.toISOString(),
    createdBy: token.createdBy,
    ...(token.expiresAt !== undefined && { expiresAt: token.expiresAt.toISOString() }),
    ...(token.revokedAt !== undefined && { revokedAt: token.revokedAt.toISOString() }),
    ...(token.lastUsedAt !== undefined && { lastUsedAt: token.lastUsedAt.toISOString() }),
    ...(token.previous !== undefined && { previousValidUntil: token.previous.validUntil.toISOString() }),
    ...(token.workload !== undefined && { identity: token.workload.id }),
  }
}
