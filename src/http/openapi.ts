// The OpenAPI 3.1 document, made from the routes themselves: their schemas check requests, and the tests check answers with them.
import * as z from 'zod'
import { HTTP_ERROR_CODES } from './errors.ts'
import { PROBLEMS, problemRow, type PublicCode } from './problem.ts'
import type { BodyKind } from './body.ts'
import type { ReplyDescription, Route } from './route.ts'

/** Refusals that every operation may answer with, whatever it does. */
const EVERYWHERE: readonly PublicCode[] = [
  'REQUEST_MALFORMED',
  'REQUEST_TIMEOUT',
  'HEADERS_TOO_LARGE',
  'HEADER_REPEATED',
  'URL_TOO_LONG',
  'PARAMETER_INVALID',
  'QUERY_INVALID',
  'BODY_UNEXPECTED',
  'SHUTTING_DOWN',
  'INTERNAL',
]

const BODY_CODES: readonly PublicCode[] = HTTP_ERROR_CODES.filter(
  (code) => code.startsWith('BODY_') || code.startsWith('CONTENT_'),
)

const TOKEN_CODES: readonly PublicCode[] = ['TOKEN_MISSING', 'TOKEN_INVALID']

/** The shape of every refusal; the tests hold the real ones against it. */
export const problemShape = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string().meta({ description: 'Stable. See docs/errors.md.' }),
    requestId: z.string(),
    next: z.string().meta({ description: 'What to do next.' }),
    retry: z.boolean().meta({ description: 'Whether the same request can succeed later.' }),
    facts: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' })

export interface OpenApiDocument {
  readonly openapi: '3.1.0'
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly [member: string]: unknown
}

export interface Operation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, unknown>>
  readonly [member: string]: unknown
}

/** All refusals of one operation, general ones included. */
export function codesOf(route: Route): readonly PublicCode[] {
  const codes = [
    ...route.codes,
    ...(route.access === 'open' ? [] : TOKEN_CODES),
    ...(route.body === undefined ? [] : BODY_CODES),
    ...EVERYWHERE,
  ]
  return [...new Set(codes)]
}

export function openApiDocument(
  routes: readonly Route[],
  o: { readonly version: string; readonly serverUrl: string },
): OpenApiDocument {
  const components = new Map<string, unknown>()
  const paths: Record<string, Record<string, Operation>> = {}
  schemaOf(problemShape, 'output', components)
  for (const route of routes) {
    const path = route.path.replace(/:([a-z]+)/gi, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, components) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Countersign',
      version: o.version,
      description:
        'Signs container image tags (Docker Content Trust, Notary v1) for people who must never hold the keys. Refusals are ' +
        'problem documents (RFC 9457) with a stable code.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: o.serverUrl }],
    paths,
    components: {
      schemas: Object.fromEntries(components),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'cs_ and 43 characters.' },
        sender: { type: 'http', scheme: 'bearer', description: 'The secret of a source of events.' },
      },
    },
  }
}

function operation(route: Route, components: Map<string, unknown>): Operation {
  return {
    operationId: route.operationId,
    summary: route.summary,
    security: SECURITY[route.access],
    parameters: [
      ...parameters(route.params, 'path', components),
      ...parameters(route.query, 'query', components),
      ...(route.takesIdempotencyKey === true ? [IDEMPOTENCY_KEY] : []),
    ],
    ...(route.body !== undefined && {
      requestBody: {
        required: !route.body.safeParse(undefined).success,
        content: {
          [CONTENT_TYPES[route.bodyType ?? 'json']]: {
            schema: schemaOf(route.body, 'input', components),
          },
        },
      },
    }),
    responses: { ...successes(route.replies, components), ...refusals(codesOf(route)) },
    'x-problem-codes': codesOf(route),
  }
}

const CONTENT_TYPES: Readonly<Record<BodyKind, string>> = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  events: 'application/json',
}

const SECURITY: Readonly<Record<Route['access'], readonly object[]>> = {
  token: [{ token: [] }],
  sender: [{ sender: [] }],
  open: [],
}

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'Makes a repetition harmless: the same key with the same body is answered with the same request.',
  schema: { type: 'string', pattern: '^"?[A-Za-z0-9._:-]{1,128}"?$' },
}

function parameters(shape: z.ZodType, where: 'path' | 'query', components: Map<string, unknown>): unknown[] {
  const { properties = {}, required = [] } = schemaOf(shape, 'input', components) as {
    readonly properties?: Readonly<Record<string, { readonly description?: string }>>
    readonly required?: readonly string[]
  }
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    ...(schema.description !== undefined && { description: schema.description }),
    schema,
  }))
}

function successes(
  replies: Readonly<Record<string, ReplyDescription>>,
  components: Map<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(replies).map(([status, { description, schema, type = 'application/json' }]) => [
      status,
      {
        description,
        ...(schema !== undefined && { content: { [type]: { schema: schemaOf(schema, 'output', components) } } }),
      },
    ]),
  )
}

/** Refusals by status; each names its codes, and what to do about them. */
function refusals(codes: readonly PublicCode[]): Record<string, unknown> {
  const statuses = [...new Set(codes.map((code) => problemRow(code).status))].sort()
  return Object.fromEntries(
    statuses.map((status) => {
      const mine = codes.filter((code) => PROBLEMS[code].status === status)
      return [
        String(status),
        {
          description: mine.map((code) => `${code}: ${PROBLEMS[code].title}.`).join(' '),
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ]
    }),
  )
}

/** A schema whose named parts (`meta({ id })`) have moved to the components. */
function schemaOf(shape: z.ZodType, io: 'input' | 'output', components: Map<string, unknown>): unknown {
  const { $defs = {}, ...schema } = jsonSchema(shape, io)
  for (const [name, definition] of Object.entries($defs)) components.set(name, definition)
  return schema
}

function jsonSchema(
  shape: z.ZodType,
  io: 'input' | 'output',
): Record<string, unknown> & { readonly $defs?: Readonly<Record<string, unknown>> } {
  const { $schema: dialect, ...schema } = z.toJSONSchema(shape, { io, target: 'draft-2020-12' })
  if (dialect === undefined) throw new Error('zod names no dialect of JSON Schema')
  const text = JSON.stringify(schema)
  return JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as Record<string, unknown>
}
