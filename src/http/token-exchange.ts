// POST /v1/token-exchange (RFC 8693): the token of an issuer for a short-lived one of ours. Refusals are problem documents, as everywhere.
import * as z from 'zod'
import { MAX_TOKEN_LENGTH } from '../domain/id-token.ts'
import { OIDC_ERROR_CODES } from '../domain/oidc-errors.ts'
import type { ExchangeService } from '../service/services.ts'
import { openRoute, type Route } from './route.ts'

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

const exchangeRequest = z
  .strictObject({
    grant_type: z.literal('urn:ietf:params:oauth:grant-type:token-exchange'),
    // Longer ones are let in and refused with a code of their own.
    subject_token: z
      .string()
      .min(1)
      .max(2 * MAX_TOKEN_LENGTH)
      .meta({ description: 'The ID token, as its issuer made it.' }),
    subject_token_type: z.enum(['urn:ietf:params:oauth:token-type:id_token', 'urn:ietf:params:oauth:token-type:jwt']),
    requested_token_type: z.literal(ACCESS_TOKEN).optional(),
  })
  .meta({ id: 'TokenExchangeRequest' })

const exchangeAnswer = z
  .strictObject({
    access_token: z.string().meta({ description: 'A bearer token of this API.' }),
    issued_token_type: z.literal(ACCESS_TOKEN),
    token_type: z.literal('Bearer'),
    expires_in: z.int().meta({ description: 'Seconds.' }),
    identity: z.string().meta({ description: 'Whom the token stands for, as github:repository:1234.' }),
  })
  .meta({ id: 'TokenExchangeAnswer' })

export function tokenExchangeRoutes(exchange: ExchangeService): Route[] {
  return [
    openRoute(
      {
        method: 'POST',
        path: '/v1/token-exchange',
        operationId: 'exchangeToken',
        summary: 'Exchange the ID token of a workload, once, for a short-lived token',
        body: exchangeRequest,
        bodyType: 'form',
        replies: { 200: { description: 'The token.', schema: exchangeAnswer } },
        codes: OIDC_ERROR_CODES.filter((code) => code !== 'OIDC_LOGIN_NOT_CONFIGURED'),
      },
      async ({ body }) => {
        const { token, secret } = await exchange.exchange(body.subject_token)
        const lifetimeMs = (token.expiresAt ?? token.createdAt).getTime() - token.createdAt.getTime()
        return {
          status: 200,
          body: {
            access_token: secret,
            issued_token_type: ACCESS_TOKEN,
            token_type: 'Bearer',
            expires_in: Math.floor(lifetimeMs / 1000),
            identity: token.workload?.id ?? token.id,
          },
        }
      },
    ),
  ]
}
