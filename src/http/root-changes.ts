// The next root of a repository: planned here, signed elsewhere, taken as a request like any other change.
import { decodeBase64, encodeBase64, parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { RequestService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { gunParams, hex64, text, TRUST_SERVER_CODES } from './shapes.ts'
import { submittedReplies, submittedReply } from './submitted-reply.ts'

/** Certificates that a root may list; roots of stock clients have one. */
const MAX_ROOT_KEYS = 8
/** Base64 characters of a root: some hundred kilobytes, far more than eight certificates take. */
const MAX_ROOT_TEXT = 256 * 1024

const rootText = z.base64().min(1).max(MAX_ROOT_TEXT)

const rootSignatures = z
  .array(z.strictObject({ keyId: hex64, method: text(32), signature: z.base64().max(4096) }))
  .min(1)
  .max(2 * MAX_ROOT_KEYS)

const planRequest = z
  .strictObject({
    rootCertificates: z
      .array(text(65_536))
      .max(MAX_ROOT_KEYS)
      .default([])
      .meta({ description: 'PEM of every certificate that role root is to have; empty: as it is.' }),
    rotate: z
      .array(z.enum(['targets', 'snapshot', 'timestamp']))
      .max(3)
      .default([])
      .meta({
        description:
          'targets takes the key that an operator has staged; snapshot and timestamp a new one of the server.',
      }),
  })
  .meta({ id: 'RootPlanRequest' })

const planShape = z
  .strictObject({
    gun: z.string(),
    current: z.base64().meta({ description: 'The published root file.' }),
    next: z.base64().meta({ description: 'The next root: the bytes that its keys sign.' }),
  })
  .meta({ id: 'RootPlan' })

/** A root and its signatures, as they are sent. */
export const signedRoot = { next: rootText, signatures: rootSignatures }

const changeRequest = z.strictObject(signedRoot).meta({ id: 'RootChange' })

export function rootChangeRoutes(requests: RequestService): Route[] {
  return [
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/root-plans',
        operationId: 'planRootChange',
        summary: 'Get the next root of a repository, to be signed by its offline keys',
        params: gunParams,
        body: planRequest,
        replies: {
          200: {
            description: 'Nothing is published. A new key of the trust server waits there until a root lists it.',
            schema: planShape,
          },
        },
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'ROTATION_NOT_STAGED',
          'ROOT_CHANGE_INVALID',
          'CERTIFICATE_PEM',
          'CERTIFICATE_MALFORMED',
          ...TRUST_SERVER_CODES,
          'KEY_HOLDER_UNREACHABLE',
        ],
      },
      async ({ principal, params, body }) => {
        const { gun, current, next } = await requests.planRootChange(principal, parseGun(params.gun), body)
        return { status: 200, body: { gun, current: encodeBase64(current), next: encodeBase64(next) } }
      },
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/root-changes',
        operationId: 'changeRoot',
        summary: 'Publish a next root that the root keys have signed, with the targets that have to come with it',
        params: gunParams,
        body: changeRequest,
        replies: submittedReplies('The same root is under way.'),
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'ROOT_CHANGE_INVALID',
          'ROOT_CHANGE_OUTDATED',
          'ROOT_CHANGE_UNDER_WAY',
          ...TRUST_SERVER_CODES,
          'KEY_HOLDER_UNREACHABLE',
        ],
      },
      async ({ principal, params, body }) => {
        const { next, signatures } = body
        const change = { next: decodeBase64(next), signatures }
        return submittedReply(await requests.changeRoot(principal, parseGun(params.gun), change))
      },
    ),
  ]
}
