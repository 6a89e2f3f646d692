// The end of a served repository, and an operator's word that it may begin again. What was known stays known.
import { deletedState, parseGun, parseRoot, type Gun } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { commit, type Answer, type Call, type Holder } from './holder.ts'
import { checkServed } from './limits.ts'

/** See the operation's description in the protocol. @throws KeyHolderError SERVED_REPOSITORY_NOT_ALLOWED */
export function serveDelete(
  holder: Holder,
  { request, socket }: Call<'serve-delete'>,
): Promise<Answer<'serve-delete'>> {
  const gun = parseGun(request.gun)
  checkServed(holder.limits, gun)
  const served = holder.served.find(gun)
  if (served === undefined || served.isDeleted) return Promise.resolve({ response: { deleted: false } })
  const { state, snapshot, timestamp } = served
  const record = {
    kind: 'served-repository-deleted',
    by: socket,
    gun,
    root: parseRoot(state.root).metadata.version,
    snapshot: snapshot.version,
    timestamp: timestamp.version,
    evidence: request.evidence,
  } as const
  commit(holder, [record], () => {
    const kept = { root: state.root, ...deletedState(state) }
    holder.served.save({ gun, state: kept, isDeleted: true, snapshot, timestamp }, state)
  })
  return Promise.resolve({ response: { deleted: true } })
}

/** See the operation's description in the protocol. @throws KeyHolderError SERVED_REPOSITORY_UNKNOWN, CHANGE_REFUSED */
export function permitRecreation(
  holder: Holder,
  { request, socket }: Call<'permit-recreation'>,
): Promise<Answer<'permit-recreation'>> {
  const gun = parseGun(request.gun)
  const served = holder.served.find(gun)
  if (served === undefined) {
    throw new KeyHolderError('SERVED_REPOSITORY_UNKNOWN', 'Nothing was published for this repository.', { gun })
  }
  if (!served.isDeleted) {
    throw new KeyHolderError('CHANGE_REFUSED', 'The repository is not deleted.', { gun })
  }
  const { versions, certificateKeyIds, reason, evidence } = request
  const roots = certificateKeyIds !== undefined && { certificateKeyIds }
  commit(holder, [{ kind: 'recreation-permitted', by: socket, gun, versions, ...roots, reason, evidence }], () => {
    // A later permission takes the place of an earlier one.
    holder.served.save({ ...served, permitted: versions, permittedRoots: certificateKeyIds }, served.state)
    if (versions === 'start-again')
      for (const sha256 of publishedFiles(holder, gun)) holder.served.notePast(gun, sha256)
  })
  return Promise.resolve({ response: {} })
}

/**
 * SHA-256 of every file that was ever published here, as the audit log has them. Their signatures may still be good when versions start
 * again, and their versions are higher than the new ones.
 */
function* publishedFiles({ log }: Holder, gun: Gun): Generator<string> {
  for (const entry of log.tree.entriesWith(`"gun":${JSON.stringify(gun)}`)) {
    const { kind, cause, roles } = JSON.parse(entry) as Partial<PublicationRecord>
    if (kind !== 'snapshot-signed' && kind !== 'timestamp-signed') continue
    if (cause === 'update') for (const { sha256 } of roles ?? []) yield sha256
  }
}

/** Of the records that serve-update.ts writes, what is read here. */
interface PublicationRecord {
  readonly kind: string
  readonly cause: string
  readonly roles: readonly { readonly sha256: string }[]
}
