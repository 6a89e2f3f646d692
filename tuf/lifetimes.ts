// How long each kind of metadata lives from its signing on, in milliseconds, as Notary's clients and server write it:
// notary v0.7.0 const.go NotaryRootExpiry, NotaryTargetsExpiry, NotarySnapshotExpiry, NotaryTimestampExpiry (years of 365 days).
const DAY_MS = 86_400_000

export const ROOT_LIFETIME_MS = 10 * 365 * DAY_MS
export const TARGETS_LIFETIME_MS = 3 * 365 * DAY_MS
export const SNAPSHOT_LIFETIME_MS = 3 * 365 * DAY_MS
export const TIMESTAMP_LIFETIME_MS = 14 * DAY_MS

/**
 * How far snapshot and timestamp at a new server stand above those of the old one: what the old one still signs (a timestamp each
 * fortnight, a snapshot for each straggler's publication) stays below for two years. Clients refuse a version below the one in their cache.
 */
export const VERSIONS_LEFT_TO_OTHERS = 64
