// The resource tokens. A token's secret stands in one answer, that of its creation, and nowhere else.
import { z } from 'zod'
import { GRANT_KINDS } from '../domain/principal.ts'
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

const record = {
  id: z.string(),
  name: z.string(),
  grants: z.array(grantShape),
  createdAt: dateText,
  createdBy: z.string(),
  expiresAt: dateText.optional(),
  revokedAt: dateText.optional(),
}

const tokenShape = z.strictObject(record).meta({ id: 'Token' })
const newTokenShape = z
  .strictObject({ ...record, token: z.string().meta({ description: 'The secret. It is shown this once.' }) })
  .meta({ id: 'NewToken' })

const creation = z
  .strictObject({
    name: text(128),
    grants: z.array(grantShape).min(1).max(32),
    expiresAt: z.iso.datetime({ offset: true }).optional(),
  })
  .meta({ id: 'TokenRequest' })

export function tokenRoutes(tokens: TokenService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/tokens',
        operationId: 'listTokens',
        summary: 'List the tokens that the administrator may manage',
        replies: { 200: { description: 'Oldest first.', schema: z.strictObject({ tokens: z.array(tokenShape) }) } },
        codes: ['NOT_PERMITTED'],
      },
      ({ principal }) => ({ status: 200, body: { tokens: tokens.list(principal).map(tokenView) } }),
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
        params: z.strictObject({ id: z.string().regex(/^[a-z0-9_-]{1,64}$/, 'must be the id of a token') }),
        replies: { 204: { description: 'The token is revoked.' } },
        codes: ['NOT_PERMITTED', 'TOKEN_NOT_FOUND', 'GRANT_ESCALATION'],
      },
      async ({ principal, params }) => {
        await tokens.revoke(principal, params.id)
        return { status: 204 }
      },
    ),
  ]
}

function tokenView(token: TokenRecord): z.output<typeof tokenShape> {
  return {
    id: token.id,
    name: token.name,
    grants: token.grants.map(({ grant, repositories }) => ({ grant, repositories: [...repositories] })),
    createdAt: token.createdAt.toISOString(),
    createdBy: token.createdBy,
    ...(token.expiresAt !== undefined && { expiresAt: token.expiresAt.toISOString() }),
    ...(token.revokedAt !== undefined && { revokedAt: token.revokedAt.toISOString() }),
  }
}
