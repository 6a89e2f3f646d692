// How long each kind of metadata lives from its signing on, in milliseconds, as Notary's clients and server write it:
// notary v0.7.0 const.go NotaryRootExpiry, NotaryTargetsExpiry, NotarySnapshotExpiry, NotaryTimestampExpiry (years of 365 days).
const DAY_MS = 86_400_000

export const ROOT_LIFETIME_MS = 10 * 365 * DAY_MS
export const TARGETS_LIFETIME_MS = 3 * 365 * DAY_MS
export const SNAPSHOT_LIFETIME_MS = 3 * 365 * DAY_MS
export const TIMESTAMP_LIFETIME_MS = 14 * DAY_MS
