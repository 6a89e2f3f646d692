// What is known of a served repository, for a trust server that compares its own database with it.
import { parseGun, SNAPSHOT } from '@countersign/tuf'
import type { Answer, Call, Holder } from './holder.ts'
import { checkServed } from './limits.ts'
import { finishPair } from './served-pair.ts'

/** See the operation's description in the protocol. @throws KeyHolderError SERVED_REPOSITORY_NOT_ALLOWED */
export async function serveState(holder: Holder, { request }: Call<'serve-state'>): Promise<Answer<'serve-state'>> {
  const gun = parseGun(request.gun)
  checkServed(holder.limits, gun)
  const served = holder.served.find(gun)
  if (served === undefined) return { response: { state: 'unknown', roles: [] } }
  // A client's snapshot is the current one, not one of the files that it lists.
  const files = [...served.state.roles].filter(([role]) => role !== SNAPSHOT)
  const roles = files.map(([role, { version, sha256, length, isListed }]) => {
    return { role, version, sha256, length, listed: isListed }
  })
  if (served.isDeleted) return { response: { state: 'deleted', roles } }
  const { response: current, attachments } = await finishPair(holder, served)
  const { updateDigest } = served
  return {
    response: { state: 'published', roles, ...(updateDigest !== undefined && { update: updateDigest }), current },
    attachments,
  }
}
