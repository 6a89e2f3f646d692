// GET /v1/login-provider: where people sign in, for the command line. It says nothing that the provider does not tell everybody.
import * as z from 'zod'
import type { Config } from '../config/schema.ts'
import { OidcError } from '../domain/oidc-errors.ts'
import { openRoute, type Route } from './route.ts'

const provider = z
  .strictObject({ issuer: z.string(), clientId: z.string(), scopes: z.array(z.string()) })
  .meta({ id: 'LoginProvider' })

export function loginProviderRoutes({ issuers }: Config['identity']): Route[] {
  return [
    openRoute(
      {
        method: 'GET',
        path: '/v1/login-provider',
        operationId: 'readLoginProvider',
        summary: 'Where people sign in: an OpenID provider with the device flow (RFC 8628)',
        replies: { 200: { description: 'The provider.', schema: provider } },
        codes: ['OIDC_LOGIN_NOT_CONFIGURED'],
      },
      () => {
        const found = issuers.find(({ login }) => login !== undefined)
        if (found?.login === undefined) {
          throw new OidcError('OIDC_LOGIN_NOT_CONFIGURED', 'No issuer of identity.issuers is there for people.')
        }
        return { status: 200, body: { issuer: found.issuer, ...found.login } }
      },
    ),
  ]
}
