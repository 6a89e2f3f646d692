// What the exchange of tokens needs from the outside, in the words of the domain.
import type { Claims } from './id-token.ts'
import type { WorkloadIssuer } from './workload-identity.ts'

/** A token that its issuer signed, for us, and that is valid now. Whether it was exchanged before is not known here. */
export interface VerifiedToken {
  readonly issuer: WorkloadIssuer
  readonly claims: Claims
  /** `jti`. */
  readonly tokenId: string
  /** From then on it is refused, whatever the clocks say. */
  readonly acceptedUntil: Date
}

export interface TokenVerifier {
  /** Whether an issuer of this name is configured: tokens that were exchanged for those of another are taken no longer. */
  knows(issuerName: string): boolean
  /** @throws OidcError */
  verify(token: string): Promise<VerifiedToken>
}
