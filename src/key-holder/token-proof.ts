// Whether tokens have the keys that a restored backup speaks of: each signs a challenge where it is.
import { randomBytes } from 'node:crypto'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { TokenConfig } from './config.ts'
import { tokenLabelOf } from './custody.ts'
import { backupProof } from './file-custodian.ts'
import type { KeyInToken } from './key-table.ts'
import { TokenCustodian } from './token-custodian.ts'

export interface TokenKeyProof {
  readonly gun: string
  readonly role: string
  readonly canonicalKeyId: string
  /** The label of its token. */
  readonly token: string
  /** `proven`, the code of what is wrong, or `not asked`. */
  readonly proof: string
}

/** @param configured tokens to ask; undefined: nobody is asked */
export async function proveInTokens(
  keys: readonly KeyInToken[],
  configured: readonly TokenConfig[] | undefined,
): Promise<readonly TokenKeyProof[]> {
  const custodian = new TokenCustodian(configured ?? [], { onState: () => undefined })
  const challenge = randomBytes(32).toString('base64')
  try {
    const proofs: TokenKeyProof[] = []
    for (const key of keys) {
      const { gun, role, publicKey, custody } = key
      const { canonicalKeyId } = publicKey
      const proof = configured === undefined ? 'not asked' : await proofOf(custodian, key, challenge)
      proofs.push({ gun, role, canonicalKeyId, token: tokenLabelOf(custody), proof })
    }
    return proofs
  } finally {
    custodian.close()
  }
}

async function proofOf(custodian: TokenCustodian, key: KeyInToken, challenge: string): Promise<string> {
  try {
    await custodian.sign(key, backupProof(key, challenge))
    return 'proven'
  } catch (error) {
    if (error instanceof KeyHolderError) return error.code
    throw error
  }
}
