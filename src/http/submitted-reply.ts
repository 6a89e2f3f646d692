// How every call answers that brings a signing request about.
import type { SigningRequest } from '../domain/signing-request.ts'
import type { Reply } from './route.ts'
import { signingRequestShape, signingRequestView } from './signing-request-view.ts'

/** @param repeated when there is no new one */
export function submittedReplies(repeated: string) {
  return {
    200: { description: repeated, schema: signingRequestShape },
    201: { description: 'The request is stored. Location names it.', schema: signingRequestShape },
  }
}

/** @param latest the request as it is by now, for whoever waited */
export function submittedReply(
  { request, isRepeated }: { readonly request: SigningRequest; readonly isRepeated: boolean },
  latest: SigningRequest = request,
): Reply {
  return {
    status: isRepeated ? 200 : 201,
    headers: { location: `/v1/signing-requests/${request.id}` },
    body: signingRequestView(latest),
  }
}
