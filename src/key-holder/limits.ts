// The limits file: what the daemon may ask for, from a file that the daemon cannot write. First match wins; no match is refused.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import {
  ROOT,
  ROOT_LIFETIME_MS,
  sha256Hex,
  SNAPSHOT,
  SNAPSHOT_LIFETIME_MS,
  TARGETS,
  TARGETS_LIFETIME_MS,
  TIMESTAMP,
  TIMESTAMP_LIFETIME_MS,
  type Gun,
  type RoleName,
} from '@countersign/tuf'
import * as z from 'zod'
import { APPROVER_KEY } from '../approval-statement.ts'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { readStrictYaml } from '../strict-yaml.ts'
import { parseTokenUri } from '../pkcs11/uri.ts'
import { matchesPattern } from './patterns.ts'

const pattern = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[\x21-\x7e]+$/, 'printable ASCII without spaces')
const perHour = z.int().min(0).max(1_000_000)

const approvals = z
  .strictObject({
    tags: z.array(pattern).max(256).default(['*']),
    required: z.int().min(1).max(8).default(1),
    approvers: z.record(
      z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name: a-z, 0-9, ., _ and -'),
      z.string().regex(APPROVER_KEY, 'a key as `countersign approver create` prints it'),
    ),
  })
  .refine(
    ({ required, approvers }) => new Set(Object.values(approvers)).size >= required,
    'needs as many different keys as it requires',
  )
  .refine(
    ({ approvers }) => new Set(Object.values(approvers)).size === Object.keys(approvers).length,
    'gives one key two names',
  )

const DAY_MS = 86_400_000

/**
 * Whole days. The least leaves the renewals time for an outage; the most is what Notary gives a root, and for a timestamp so long as
 * somebody may withhold a newer state from clients.
 */
const days = (least: number, most: number, usualMs: number) =>
  z
    .int()
    .min(least)
    .max(most)
    .default(usualMs / DAY_MS)
const lifetimeDays = z
  .strictObject({
    root: days(365, 3650, ROOT_LIFETIME_MS),
    targets: days(30, 3650, TARGETS_LIFETIME_MS),
    delegations: days(30, 3650, TARGETS_LIFETIME_MS),
    snapshot: days(30, 3650, SNAPSHOT_LIFETIME_MS),
    timestamp: days(2, 30, TIMESTAMP_LIFETIME_MS),
  })
  .prefault({})

const repositoryLimits = z.strictObject({
  gun: pattern,
  initialize: z.boolean().default(false),
  serve: z.boolean().default(false),
  /** Where new keys of targets and delegations are made: `sealed`, or the URI of a token. */
  custody: z.string().max(256).refine(isCustody, 'sealed, or a token as pkcs11:token=LABEL').default('sealed'),
  tags: z.array(pattern).max(256).default(['*']),
  lockedTags: z.array(pattern).max(256).default([]),
  approvals: approvals.optional(),
  maxEntries: z.int().min(0).max(1_000_000).default(10_000),
  versionsPerHour: perHour.default(600),
  entriesPerHour: perHour.default(6000),
  /** How long what is signed here lives. */
  lifetimeDays,
})

function isCustody(text: string): boolean {
  if (text === 'sealed') return true
  try {
    parseTokenUri(text)
    return true
  } catch (error) {
    if (error instanceof KeyHolderError) return false
    throw error
  }
}

const limitsFile = z.strictObject({
  repositories: z.array(repositoryLimits).max(4096),
  recordsPerHour: perHour.default(10_000),
  keysPerHour: perHour.default(300),
  pendingRepositories: z.int().min(0).max(1_000_000).default(1000),
})

/** Limits of the repositories that one pattern names. */
export type RepositoryLimits = z.output<typeof repositoryLimits>

export interface Limits {
  readonly repositories: readonly RepositoryLimits[]
  /** Records that the daemon may append, and refusals that are recorded one by one, each per hour. */
  readonly recordsPerHour: number
  /** Keys that may be created per hour, over all repositories; as many again for the trust server. */
  readonly keysPerHour: number
  /** Repositories that may have keys of the trust server before they have a root. */
  readonly pendingRepositories: number
  /** 64 hex digits over the file. */
  readonly digest: string
  /** The file. */
  readonly bytes: Uint8Array
}

const MAX_FILE_BYTES = 4 * 1024 * 1024

/** @throws KeyHolderError LIMITS_FILE_INVALID where it cannot be read, others can write it, or any name or value is unknown */
export function readLimits(path: string): Limits {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    throw new KeyHolderError('LIMITS_FILE_INVALID', 'The limits file cannot be opened.', { path }, { cause })
  }
  try {
    const stat = fstatSync(file)
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES || (stat.mode & 0o022) !== 0) {
      throw new KeyHolderError(
        'LIMITS_FILE_INVALID',
        'The limits file must be a regular file that only its owner can write.',
        {
          path,
          mode: (stat.mode & 0o777).toString(8),
        },
      )
    }
    return parseLimits(readFileSync(file))
  } finally {
    closeSync(file)
  }
}

/** @throws KeyHolderError LIMITS_FILE_INVALID with every fault and its path in `faults` */
export function parseLimits(bytes: Uint8Array): Limits {
  const read = readStrictYaml(textOf(bytes))
  if (!read.ok) {
    const faults = read.faults.map(({ line, code }) => `line ${line ?? '?'}: ${code}`).join('; ')
    throw new KeyHolderError('LIMITS_FILE_INVALID', `The limits file is not YAML as expected: ${faults}.`, { faults })
  }
  const parsed = limitsFile.safeParse(read.value)
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
    throw new KeyHolderError('LIMITS_FILE_INVALID', `The limits file is not valid: ${faults}.`, { faults })
  }
  return { ...parsed.data, digest: sha256Hex(bytes), bytes }
}

/** @throws KeyHolderError LIMIT_GUN */
export function limitsFor(limits: Limits, gun: Gun): RepositoryLimits {
  const found = findLimits(limits, gun)
  if (found === undefined) {
    throw new KeyHolderError('LIMIT_GUN', 'The limits file allows nothing for this repository.', { gun })
  }
  return found
}

/** Those of the repository, where there are any. */
export function findLimits(limits: Limits, gun: Gun): RepositoryLimits | undefined {
  return limits.repositories.find((repository) => matchesPattern(repository.gun, gun))
}

/** How long a version of the role lives that is signed now, in milliseconds. */
export function lifetimeOf({ lifetimeDays }: RepositoryLimits, role: RoleName): number {
  switch (role) {
    case ROOT:
      return lifetimeDays.root * DAY_MS
    case SNAPSHOT:
      return lifetimeDays.snapshot * DAY_MS
    case TIMESTAMP:
      return lifetimeDays.timestamp * DAY_MS
    default:
      return (role === TARGETS ? lifetimeDays.targets : lifetimeDays.delegations) * DAY_MS
  }
}

/** @throws KeyHolderError SERVED_REPOSITORY_NOT_ALLOWED */
export function checkServed(limits: Limits, gun: Gun): RepositoryLimits {
  const found = findLimits(limits, gun)
  if (found?.serve !== true) {
    throw new KeyHolderError(
      'SERVED_REPOSITORY_NOT_ALLOWED',
      'The limits file does not let this repository be served.',
      {
        gun,
      },
    )
  }
  return found
}

export function isTagAllowed(limits: RepositoryLimits, tag: string): boolean {
  return limits.tags.some((one) => matchesPattern(one, tag))
}

/** Whose approvals a change of this tag needs; undefined: nobody's. */
export function requiredApprovals(limits: RepositoryLimits, tag: string): RepositoryLimits['approvals'] {
  return limits.approvals?.tags.some((one) => matchesPattern(one, tag)) === true ? limits.approvals : undefined
}

export function isTagLocked(limits: RepositoryLimits, tag: string): boolean {
  return limits.lockedTags.some((one) => matchesPattern(one, tag))
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new KeyHolderError('LIMITS_FILE_INVALID', 'The limits file is not UTF-8.', {}, { cause })
  }
}
