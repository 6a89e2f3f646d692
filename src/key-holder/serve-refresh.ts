// Snapshot or timestamp once more, with the next version and a new expiry, while nothing else changes.
import { parseGun, parseRoot, sha256Hex, SNAPSHOT, snapshotOf, TIMESTAMP } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { commitAhead, type Answer, type Call, type Holder } from './holder.ts'
import { checkServed, lifetimeOf } from './limits.ts'
import { dropSuperseded } from './serve-update.ts'
import { finishPair, nextIssue, recordPayload } from './served-pair.ts'
import type { Issue, ServedRepository } from './served-repositories.ts'

/** Younger ones are given out again: nobody can have the log filled with refreshes. */
const MIN_AGE_MS = 3_600_000

/**
 * See the operation's description in the protocol.
 * @throws KeyHolderError SERVED_REPOSITORY_NOT_ALLOWED, SERVED_REPOSITORY_UNKNOWN, SERVED_REPOSITORY_DELETED, SERVER_KEY_MISSING
 */
export async function serveRefresh(
  holder: Holder,
  { request, socket }: Call<'serve-refresh'>,
): Promise<Answer<'serve-refresh'>> {
  // 1. Whether there is anything to do; what a crash left is finished first.
  const gun = parseGun(request.gun)
  const limits = checkServed(holder.limits, gun)
  const served = holder.served.find(gun)
  if (served === undefined) {
    throw new KeyHolderError('SERVED_REPOSITORY_UNKNOWN', 'Nothing was published for this repository.', { gun })
  }
  if (served.isDeleted) throw new KeyHolderError('SERVED_REPOSITORY_DELETED', 'The repository was deleted.', { gun })
  const isSnapshot = request.role === 'snapshot'
  if (isSnapshot && served.clientSnapshot !== undefined) {
    throw new KeyHolderError('SERVER_KEY_MISSING', 'The snapshot key is held by the client.', { gun, role: SNAPSHOT })
  }
  const newest = await finishPair(holder, served)
  if (!isDue(isSnapshot ? served.snapshot : served.timestamp, holder.now())) {
    return { response: { ...newest.response, refreshed: false }, attachments: newest.attachments }
  }

  // 2. The next issue. A crash leaves nothing.
  const root = parseRoot(served.state.root)
  const timestamp = nextIssue(holder, gun, TIMESTAMP, served.timestamp, lifetimeOf(limits, TIMESTAMP))
  const snapshot = isSnapshot
    ? nextIssue(holder, gun, SNAPSHOT, served.snapshot, lifetimeOf(limits, SNAPSHOT))
    : served.snapshot
  const unsigned = isSnapshot ? snapshotOf(served.state, snapshot.version, snapshot.expiresAt) : undefined
  const after: ServedRepository = { ...served, snapshot, timestamp }
  holder.step('planned')

  // 3. One transaction, then the log; 4. sign and store. What a crash leaves is the same as in serve-update.ts.
  const record = {
    kind: isSnapshot ? 'snapshot-signed' : 'timestamp-signed',
    by: socket,
    gun,
    cause: 'refresh',
    snapshot:
      unsigned === undefined
        ? { version: snapshot.version, sha256: newest.response.snapshot.sha256 }
        : { version: snapshot.version, payloadSha256: sha256Hex(unsigned.message) },
    timestamp: { version: timestamp.version, expiresAt: timestamp.expiresAt.toISOString() },
    roles: [],
  } as const
  commitAhead(holder, [record], () => {
    holder.served.save(after, served.state)
    dropSuperseded(holder, served, isSnapshot ? [SNAPSHOT, TIMESTAMP] : [TIMESTAMP])
    if (unsigned !== undefined) recordPayload(holder, gun, root, unsigned)
  })
  const { response, attachments } = await finishPair(holder, after, 'ahead')
  return { response: { ...response, refreshed: true }, attachments }
}

/** Also where it has expired: a clock that was ahead for a while must not stop the refreshing. */
function isDue({ issuedAt, expiresAt }: Issue, now: Date): boolean {
  return now.getTime() - issuedAt.getTime() >= MIN_AGE_MS || now >= expiresAt
}
