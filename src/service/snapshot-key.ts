// Whether the trust server holds the snapshot key of a repository. Where a client holds it, the server refuses every update
// without a snapshot that this client signed (notary-v1 5.4), so nothing may be signed in vain.
import { SNAPSHOT, type TrustedRepository } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import type { ServiceDependencies } from './dependencies.ts'

export class SnapshotKeyCheck {
  readonly #publisher
  /** GUN -> SHA-256 of the root for which the server was found to hold the key. */
  readonly #held = new Map<string, string>()

  constructor({ publisher }: Pick<ServiceDependencies, 'publisher'>) {
    this.#publisher = publisher
  }

  /** Asks the server once per root. */
  async isHeldByServer({ gun, root }: TrustedRepository): Promise<boolean> {
    if (this.#held.get(gun) === root.sha256) return true
    const { tufKeyId } = await this.#publisher.serverKey(gun, SNAPSHOT)
    const isHeld = root.metadata.roles.get(SNAPSHOT)?.keyIds.includes(tufKeyId) === true
    if (isHeld) this.#held.set(gun, root.sha256)
    return isHeld
  }

  /** @throws DomainError SNAPSHOT_KEY_HELD_BY_CLIENT; NotaryError */
  async require(repository: TrustedRepository): Promise<void> {
    if (await this.isHeldByServer(repository)) return
    throw new DomainError(
      'SNAPSHOT_KEY_HELD_BY_CLIENT',
      'The snapshot key is held by a client. Its holder moves it with "notary key rotate <GUN> snapshot -r".',
      { gun: repository.gun },
    )
  }
}
