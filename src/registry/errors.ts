// The codes with which resolving an image in a registry fails.
// Faults of credentials and tokens keep their own codes: see net/errors.ts.
import { CodedError } from '@countersign/tuf'

export const REGISTRY_ERROR_CODES = [
  'REGISTRY_NOT_CONFIGURED',
  /** Not connected; `reason` is the code of net/. */
  'REGISTRY_UNREACHABLE',
  'REGISTRY_TIMEOUT',
  'REGISTRY_UNAVAILABLE',
  'REGISTRY_RATE_LIMITED',
  'REGISTRY_UNAUTHORIZED',
  'REGISTRY_FORBIDDEN',
  'REGISTRY_REDIRECTED',
  'REGISTRY_RESPONSE_MALFORMED',
  /** The bytes served have not the digest that was asked for, or that the registry itself names. */
  'REGISTRY_DIGEST_MISMATCH',
  /** The reference has neither tag nor digest. */
  'IMAGE_REFERENCE_INCOMPLETE',
  'IMAGE_NOT_FOUND',
  'MANIFEST_TOO_LARGE',
  'MANIFEST_MALFORMED',
  'MANIFEST_SCHEMA1_REFUSED',
  'MANIFEST_TYPE_UNSUPPORTED',
  /** Content-Type, `mediaType` and members of the body do not name one type. */
  'MANIFEST_TYPE_AMBIGUOUS',
] as const

export type RegistryErrorCode = (typeof REGISTRY_ERROR_CODES)[number]

/** An image that could not be resolved. Facts name the registry and the image. */
export class RegistryError extends CodedError<RegistryErrorCode> {}
