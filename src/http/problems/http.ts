// Rows for the codes of the HTTP layer.
import type { HttpErrorCode } from '../errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

export const HTTP_PROBLEMS = {
  REQUEST_MALFORMED: refuse(400, 'The request is not HTTP as expected here', 'Check the client and any proxy between.'),
  REQUEST_TIMEOUT: retry(408, 'The request did not arrive in time', 'Send it again; check the network between.'),
  HEADERS_TOO_LARGE: refuse(431, 'The headers are too large or too many', 'Send fewer and shorter headers.'),
  HEADER_REPEATED: refuse(400, 'A header that may stand once stands twice', 'Send the header once.'),
  URL_TOO_LONG: refuse(414, 'The address of the request is too long', 'Shorten the path or query.'),
  ROUTE_NOT_FOUND: refuse(
    404,
    'There is nothing at this address',
    'See /v1/openapi.json for all addresses. A repository name in a path is encoded: / is written %2F.',
  ),
  METHOD_NOT_ALLOWED: refuse(405, 'This address does not know the method', 'Use a method that the Allow header names.'),
  SHUTTING_DOWN: retry(503, 'The server is stopping', 'Send the request again in a few seconds.'),
  TOKEN_MISSING: refuse(401, 'A token is needed', 'Send the header: Authorization: Bearer TOKEN.'),
  TOKEN_INVALID: refuse(
    401,
    'The token is not known',
    'Ask an administrator for a new token; it may have been revoked.',
  ),
  PARAMETER_INVALID: refuse(400, 'A part of the path is not as it must be', 'Correct what `errors` names.'),
  QUERY_INVALID: refuse(
    400,
    'A query parameter is unknown, repeated or not as it must be',
    'Correct what `errors` names.',
  ),
  IDEMPOTENCY_KEY_INVALID: refuse(
    400,
    'The Idempotency-Key header is not as it must be',
    'Send 1 to 128 characters of A-Z, a-z, 0-9, - . _ : or leave the header out.',
  ),
  CONTENT_TYPE_UNSUPPORTED: refuse(
    415,
    'The body has a type that is not read here',
    'Send the type that the detail names.',
  ),
  CONTENT_ENCODING_UNSUPPORTED: refuse(415, 'The body is encoded', 'Send the body without Content-Encoding.'),
  BODY_TOO_LARGE: refuse(413, 'The body is too large', 'Split the request; limits.bodyBytes is the limit.'),
  BODY_INCOMPLETE: retry(400, 'The body ended before it was complete', 'Send the request again.'),
  BODY_MALFORMED: refuse(
    400,
    'The body is not JSON, or no form, as it is read here',
    'Send one JSON document in UTF-8 without repeated names, fractions or deep nesting; a form where one is asked for.',
  ),
  BODY_INVALID: refuse(422, 'The body has not the right shape', 'Correct what `errors` names; see /v1/openapi.json.'),
  BODY_UNEXPECTED: refuse(400, 'This request takes no body', 'Send the request without a body.'),
  NOT_READY: retry(
    503,
    'The server is not ready',
    'Wait; see the detail for what is missing. A sealed key holder needs an operator.',
  ),
  INTERNAL: refuse(500, 'Something failed inside', 'Give the requestId to an operator; the log says what happened.'),
} as const satisfies Record<HttpErrorCode, ProblemRow>
