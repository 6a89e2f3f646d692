// /v1/openapi.json: the document about all routes, this one included.
import * as z from 'zod'
import { openApiDocument } from './openapi.ts'
import { openRoute, type Route } from './route.ts'

/** The routes and, last, the one that describes them all. */
export function withOpenApi(
  routes: readonly Route[],
  o: { readonly version: string; readonly serverUrl: string },
): Route[] {
  const all: Route[] = [...routes]
  let document: unknown
  all.push(
    openRoute(
      {
        method: 'GET',
        path: '/v1/openapi.json',
        operationId: 'readOpenApi',
        summary: 'This document',
        replies: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) } },
        codes: [],
      },
      () => {
        document ??= openApiDocument(all, o)
        return { status: 200, body: document }
      },
    ),
  )
  return all
}
