// What a registry's answer, or its absence, means.
import { CodedError } from '@countersign/tuf'

export const REGISTRY_ERROR_CODES = [
  'REGISTRY_NOT_CONFIGURED',
  'REGISTRY_UNAVAILABLE',
  'REGISTRY_UNAUTHORIZED',
  'REGISTRY_REDIRECTED',
  'REGISTRY_RESPONSE_MALFORMED',
  'REGISTRY_DIGEST_MISMATCH',
  'IMAGE_NOT_FOUND',
  'MANIFEST_TOO_LARGE',
  'MANIFEST_MALFORMED',
  'MANIFEST_SCHEMA1_REFUSED',
  'MANIFEST_TYPE_UNSUPPORTED',
  'MANIFEST_TYPE_CONTRADICTORY',
] as const

export type RegistryErrorCode = (typeof REGISTRY_ERROR_CODES)[number]

export class RegistryError extends CodedError<RegistryErrorCode> {}
