// Rows for the codes of registries.
import type { RegistryErrorCode } from '../../registry/errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

const IMAGE = 'Check what was pushed under this tag, and push it again.'

export const REGISTRY_PROBLEMS = {
  REGISTRY_NOT_CONFIGURED: refuse(409, 'The registry is not configured', 'An operator must add it to registries.'),
  REGISTRY_UNAVAILABLE: retry(503, 'The registry is not able to answer now', 'Send the request again later.'),
  REGISTRY_UNAUTHORIZED: refuse(
    502,
    'The registry does not accept our credentials',
    'An operator must correct its credentials.',
  ),
  REGISTRY_REDIRECTED: refuse(
    502,
    'The registry redirects, which is not followed',
    'An operator must correct its url.',
  ),
  REGISTRY_RESPONSE_MALFORMED: refuse(502, 'The answer of the registry is not understood', 'Call an operator.'),
  REGISTRY_DIGEST_MISMATCH: refuse(
    502,
    'The registry names a digest that is not that of what it serves',
    'Call an operator: the registry or something in front of it is faulty.',
  ),
  IMAGE_NOT_FOUND: refuse(404, 'The registry has no such image', 'Push the image first; check tag and digest.'),
  MANIFEST_TOO_LARGE: refuse(
    422,
    'The manifest is too large',
    'An operator can raise limits.manifest of the registry.',
  ),
  MANIFEST_MALFORMED: refuse(422, 'The manifest cannot be read', IMAGE),
  MANIFEST_SCHEMA1_REFUSED: refuse(422, 'The manifest is of schema 1, whose digest is not that of its bytes', IMAGE),
  MANIFEST_TYPE_UNSUPPORTED: refuse(422, 'The type of the manifest is not supported', IMAGE),
  MANIFEST_TYPE_CONTRADICTORY: refuse(422, 'The manifest names another type than the registry', IMAGE),
} as const satisfies Record<RegistryErrorCode, ProblemRow>
