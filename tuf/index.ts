// The only door of the library: nothing else is imported from outside.
export { CodedError, TufError, TUF_ERROR_CODES, type ErrorFacts, type TufErrorCode } from './errors.ts'
export { isJsonArray, isJsonObject, parseJson, type JsonLimits, type JsonObject, type JsonValue } from './json.ts'
export { decodeBase64, decodeHex, encodeBase64, encodeHex, encodeUtf8 } from './encoding.ts'
export { canonicalText, compareNames, encodeCanonical } from './canonical.ts'
export { normalFormText, verifyNormalForm } from './normal-form.ts'
export { parseGun, type Gun } from './gun.ts'
export {
  BASE_ROLES,
  RELEASES,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  isDelegationRole,
  parentRole,
  parseRoleName,
  parseTag,
  type Role,
  type RoleName,
  type TargetName,
  type TufKeyId,
} from './role.ts'
export { base64OfHexDigest, hexOfBase64Digest, matchesHashes, sha256Hex } from './digest.ts'
export { formatExpires, isExpired, parseExpires } from './expires.ts'
export {
  ROOT_LIFETIME_MS,
  SNAPSHOT_LIFETIME_MS,
  TARGETS_LIFETIME_MS,
  TIMESTAMP_LIFETIME_MS,
  VERSIONS_LEFT_TO_OTHERS,
} from './lifetimes.ts'
export {
  KEY_TYPES,
  certificateKeyOf,
  certificatePem,
  encodePublicKey,
  isCertificateKey,
  keyObjectOf,
  parsePublicKey,
  parseTufKeyId,
  publicKeyOf,
  publicKeyPem,
  type KeyType,
  type PublicKey,
} from './key.ts'
export { isSignedWith } from './signers.ts'
export { requireSigningKey, signMessage, verifySignature, type SignatureEntry } from './signature.ts'
export {
  encodePrivateKeyFile,
  parsePrivateKeyFile,
  privateKeyBlocks,
  type PassphraseSource,
  type PrivateKeyBlock,
  type PrivateKeyFile,
  type PrivateKeyHeaders,
} from './private-key-file.ts'
export {
  certificateKey,
  createRootCertificate,
  ecdsaSignatureDer,
  prepareRootCertificate,
  parseCertificates,
  type Certificate,
  type NewRootCertificate,
  type RootCertificateTerms,
} from './x509.ts'
export { verifyCertificateChain, verifyDelegationCertificate, verifyRootCertificate } from './root-certificate.ts'
export {
  METADATA_LIMITS,
  attachSignatures,
  verifyNormalFormFile,
  verifySignatures,
  type Received,
  type UnsignedMetadata,
} from './signed.ts'
export { MAX_VERSION, type FileMeta } from './metadata.ts'
export { parseRoot, type RootMetadata } from './root.ts'
export { parseTargets, type DelegationRole, type Delegations, type TargetsMetadata } from './targets.ts'
export { parseSnapshot, type SnapshotMetadata } from './snapshot.ts'
export { parseTimestamp, type TimestampMetadata } from './timestamp.ts'
export { newRoot, newTargets, type NewDelegation, type NewRoot, type NewTargets } from './build.ts'
export { REPOSITORY_MAX_BYTES, ROOT_MAX_BYTES, TIMESTAMP_MAX_BYTES, type FileRequest } from './file-request.ts'
export { MAX_PLAUSIBLE_VERSION, type KnownVersion } from './freshness.ts'
export { FileCache } from './file-cache.ts'
export { MAX_ROOT_FILES } from './root-chain.ts'
export { MAX_DELEGATION_FILES } from './delegations.ts'
export { certificatesEnd, verifySelfSigned, verifySuccession, type RootPin } from './root-pin.ts'
export { type TrustedRepository, type VerifierOptions } from './trusted.ts'
export { signersOfRole, signersOfRoot, verifyArchive, type ArchivedRepository, type ArchiveOptions } from './archive.ts'
export { RepositoryVerifier, verifyFiles } from './verifier.ts'
export { rehearse, type RehearsedClient } from './rehearse.ts'
export { findTarget, signersOf, signingRole, targetsOf, type SigningRole } from './resolve.ts'
export { changesTargets, editTargets, verifyEdit, type DropTarget, type PutTarget, type TargetsChange } from './edit.ts'
export { verifyNextVersion, verifyRestored } from './next-version.ts'
export {
  renewTargets,
  replaceDelegationKeys,
  rolesListing,
  type KeyReplacement,
  type NextVersion,
} from './replace-keys.ts'
export { verifyKeyReplacement } from './verify-replacement.ts'
export { nextRoot, signersOfNextRoot, type BaseRoleChange } from './edit-root.ts'
export { baseRoleChanges } from './root-difference.ts'
export {
  verifyNextRoot,
  verifyNextRootContent,
  verifyNextRootFile,
  type VerifiedRootChange,
} from './verify-next-root.ts'
export {
  describeChange,
  type ChangeDescription,
  type DelegationsChange,
  type EntryChange,
  type EntryMove,
} from './describe.ts'
export { skimTargets, type SkimmedTargets } from './skim-targets.ts'
export { acceptUpdate, type AcceptedUpdate, type ServerKeys, type UpdateRules } from './accept-update.ts'
export {
  deletedState,
  EMPTY_STATE,
  snapshotOf,
  timestampOf,
  type ServedRole,
  type ServedState,
} from './served-state.ts'
export { verifyThreshold, type RoleKeys } from './threshold.ts'
export { baseRoleKeys, isTargetsRole, ServedTree } from './served-tree.ts'
export { UPDATE_REFUSAL_CODES, UpdateRefusal, type UpdateRefusalCode } from './update-refusal.ts'
