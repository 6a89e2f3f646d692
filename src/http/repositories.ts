// The resource repositories: put one under management, finish that with an offline signature, adopt one, see their state.
import { parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { RepositoryService } from '../service/services.ts'
import { expiryForecastShape, expiryForecastView } from './expiry-forecast-view.ts'
import {
  initializationShape,
  initializationView,
  repositoryReportShape,
  repositoryReportView,
  repositoryShape,
  repositoryView,
} from './repository-view.ts'
import { type Route, tokenRoute } from './route.ts'
import { gunParams, gunText, hex64, PUBLISHING_CODES, text, TRUST_SERVER_CODES } from './shapes.ts'

const initialization = z
  .strictObject({
    gun: gunText,
    root: z.discriminatedUnion('kind', [
      z
        .strictObject({ kind: z.literal('online') })
        .meta({ description: 'The key holder makes the root key. For a first try.' }),
      z
        .strictObject({ kind: z.literal('offline'), certificatePem: text(65_536) })
        .meta({ description: 'The root key stays elsewhere; this is its certificate.' }),
    ]),
    delegations: z
      .boolean()
      .default(true)
      .meta({ description: 'Sign in targets/releases and targets/NAME (true), or in targets.' }),
    keyType: z.enum(['ecdsa', 'ed25519', 'rsa']).optional(),
  })
  .meta({ id: 'InitializationRequest' })

const rootSignatures = z
  .strictObject({
    signatures: z
      .array(z.strictObject({ keyId: hex64, method: text(32), signature: z.base64().max(4096) }))
      .min(1)
      .max(8),
  })
  .meta({ id: 'RootSignatures' })

export function repositoryRoutes(repositories: RepositoryService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories',
        operationId: 'listRepositories',
        summary: 'List the repositories under management that the identity may see',
        replies: {
          200: { description: 'By name.', schema: z.strictObject({ repositories: z.array(repositoryShape) }) },
        },
        codes: [],
      },
      ({ principal }) => ({
        status: 200,
        body: { repositories: repositories.list(principal).map(repositoryView) },
      }),
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories',
        operationId: 'initializeRepository',
        summary: 'Create the keys and the first metadata of a repository',
        body: initialization,
        replies: { 201: { description: 'Ready, or waiting for the root signature.', schema: initializationShape } },
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_ALREADY_REGISTERED',
          'GUN_ALREADY_PUBLISHED',
          'GUN_ALREADY_MANAGED',
          'LIMIT_GUN',
          'LIMIT_INITIALIZE',
          'ROOT_CERTIFICATE_INVALID',
          'CERTIFICATE_PEM',
          'CERTIFICATE_MALFORMED',
          'CERTIFICATE_BUNDLE',
          'CERTIFICATE_NAME',
          'CERTIFICATE_ALGORITHM',
          'CERTIFICATE_EXPIRED',
          'CERTIFICATE_NOT_YET_VALID',
          ...PUBLISHING_CODES,
          'KEY_HOLDER_UNREACHABLE',
        ],
      },
      async ({ principal, body }) => {
        const gun = parseGun(body.gun)
        const done = await repositories.initialize(principal, {
          gun,
          root: body.root,
          delegations: body.delegations,
          ...(body.keyType !== undefined && { keyType: body.keyType }),
        })
        return { status: 201, headers: { location: addressOf(gun) }, body: initializationView(done) }
      },
    ),
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun',
        operationId: 'showRepository',
        summary: 'See custody, versions, expiry dates and warnings of a repository',
        params: gunParams,
        replies: { 200: { description: 'The state of the repository.', schema: repositoryReportShape } },
        codes: ['GUN_INVALID', 'NOT_PERMITTED', 'GUN_NOT_MANAGED', 'KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal, params }) => ({
        status: 200,
        body: repositoryReportView(await repositories.report(principal, parseGun(params.gun))),
      }),
    ),
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun/expiry-forecast',
        operationId: 'forecastExpiry',
        summary: 'See what will be signed again in the next three years, by whom and when',
        params: gunParams,
        replies: { 200: { description: 'Every role, and every act by its time.', schema: expiryForecastShape } },
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'GUN_NOT_MANAGED',
          'KEY_HOLDER_UNREACHABLE',
          ...TRUST_SERVER_CODES,
          'ROLE_EXPIRED',
        ],
      },
      async ({ principal, params }) => ({
        status: 200,
        body: expiryForecastView(await repositories.forecast(principal, parseGun(params.gun))),
      }),
    ),
    tokenRoute(
      {
        method: 'DELETE',
        path: '/v1/repositories/:gun',
        operationId: 'removeRepository',
        summary: 'Forget a repository here; nothing is deleted on its trust server or in the key holder',
        params: gunParams,
        replies: { 204: { description: 'The repository is not registered any more. It can be adopted again.' } },
        codes: ['GUN_INVALID', 'NOT_PERMITTED', 'REPOSITORY_HAS_REQUESTS', 'KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal, params }) => {
        await repositories.remove(principal, parseGun(params.gun))
        return { status: 204 }
      },
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/root-signatures',
        operationId: 'addRootSignatures',
        summary: 'Finish the initialisation of a repository whose root key is offline',
        params: gunParams,
        body: rootSignatures,
        replies: { 200: { description: 'The repository is published.', schema: initializationShape } },
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'ROOT_SIGNATURES_NOT_EXPECTED',
          'ROOT_SIGNATURE_INVALID',
          ...PUBLISHING_CODES,
        ],
      },
      async ({ principal, params, body }) => ({
        status: 200,
        body: initializationView(
          await repositories.addRootSignatures(principal, parseGun(params.gun), body.signatures),
        ),
      }),
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/adoption',
        operationId: 'adoptRepository',
        summary: 'Register a repository that an operator has pinned in the key holder',
        params: gunParams,
        body: z.strictObject({}).optional(),
        replies: { 201: { description: 'The repository is registered.', schema: repositoryReportShape } },
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_ALREADY_REGISTERED',
          'GUN_NOT_MANAGED',
          'ROOT_PIN_MISMATCH',
          'SNAPSHOT_KEY_HELD_BY_CLIENT',
          ...TRUST_SERVER_CODES,
        ],
      },
      async ({ principal, params }) => {
        const gun = parseGun(params.gun)
        return {
          status: 201,
          headers: { location: addressOf(gun) },
          body: repositoryReportView(await repositories.adopt(principal, gun)),
        }
      },
    ),
  ]
}

function addressOf(gun: string): string {
  return `/v1/repositories/${encodeURIComponent(gun)}`
}
