// Stopping all signing for a repository, and letting it go on: decisions of an operator, recorded.
import { parseGun } from '@countersign/tuf'
import { acceptDisowned, requireRestorable } from './disowned.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'
import { describeRepository } from './repository-status.ts'

/** See the operation's description in the protocol. @throws KeyHolderError GUN_NOT_MANAGED */
export function freeze(holder: Holder, { request, socket }: Call<'freeze'>): Promise<Answer<'freeze'>> {
  const gun = parseGun(request.gun)
  holder.repositories.get(gun)
  const { reason, evidence } = request
  commit(holder, [{ kind: 'repository-frozen', by: socket, gun, reason, evidence }], () => {
    holder.repositories.setFrozen(gun, reason)
  })
  return Promise.resolve({ response: describeRepository(holder, gun) })
}

/**
 * Also decides about versions of our roles that were found and not signed here. A drop that nothing could follow is refused, and the
 * repository stays frozen; `accept` ends an earlier drop that nothing has followed yet.
 * @throws KeyHolderError GUN_NOT_MANAGED, NO_VERSION_TO_RESTORE
 */
export function unfreeze(holder: Holder, { request, socket }: Call<'unfreeze'>): Promise<Answer<'unfreeze'>> {
  const gun = parseGun(request.gun)
  const { frozenBecause = '' } = holder.repositories.get(gun)
  const { reason, evidence, foreign } = request
  commit(holder, [{ kind: 'repository-unfrozen', by: socket, gun, frozenBecause, foreign, reason, evidence }], () => {
    holder.repositories.setFrozen(gun, null)
    if (foreign === 'drop') {
      holder.versions.disownForeign(gun)
      requireRestorable(holder, gun)
    } else {
      holder.versions.acceptForeign(gun)
      acceptDisowned(holder, gun)
    }
  })
  return Promise.resolve({ response: describeRepository(holder, gun) })
}
