// Rows for the codes of trust servers (Notary).
import type { NotaryErrorCode } from '../../notary/errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

const OPERATOR = 'Call an operator: the log has the answer of the trust server.'

export const NOTARY_PROBLEMS = {
  NOTARY_NOT_CONFIGURED: refuse(
    409,
    'No trust server is configured for the repository',
    'An operator must add it to trustServers.',
  ),
  NOTARY_UNAVAILABLE: retry(503, 'The trust server is not able to answer now', 'Send the request again later.'),
  NOTARY_UNAUTHORIZED: refuse(
    502,
    'The trust server does not accept our credentials',
    'An operator must correct its credentials.',
  ),
  NOTARY_REDIRECTED: refuse(
    502,
    'The trust server redirects, which is not followed',
    'An operator must correct its url.',
  ),
  NOTARY_RESPONSE_MALFORMED: refuse(502, 'The answer of the trust server is not understood', OPERATOR),
  NOTARY_RESPONSE_TOO_LARGE: refuse(502, 'The trust server sends more than is read', OPERATOR),
  NOTARY_CONFLICT: retry(409, 'Another version was published first', 'Send the request again.'),
  NOTARY_UPDATE_INVALID: refuse(502, 'The trust server refuses the update', OPERATOR),
  NOTARY_ANSWER_LOST: retry(
    502,
    'The answer of the trust server to an update was lost',
    'Read the request again later; the server finds out whether it was published.',
  ),
} as const satisfies Record<NotaryErrorCode, ProblemRow>
