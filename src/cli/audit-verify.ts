// `audit verify`: is the log whole, and does it go on from what it was?
import { verifyingAuditLog, type AuditVerification } from '../key-holder/audit-verification.ts'
import {
  breathe,
  readCheckpoints,
  readVerifierKey,
  requireFolder,
  withProgress,
  type KeptCheckpoint,
} from './audit-options.ts'
import { readRecord } from './audit-record.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import type { ProgressLine } from './progress-line.ts'
import type { Session } from './session.ts'

export interface VerifyOptions {
  readonly key: string
  readonly since?: readonly string[]
}

/** What a verification found, as `--json` prints it. */
export interface VerifiedLog extends AuditVerification {
  /** Time of the newest record: checkpoints have none of their own. */
  readonly newestRecordAt?: string
  /** Sizes of the earlier checkpoints that it goes on from. */
  readonly goesOnFrom: readonly number[]
}

/** @throws CliError AUDIT_KEY_UNUSABLE, AUDIT_CHECKPOINT_UNUSABLE, FILE_UNREADABLE, INTERRUPTED; KeyHolderError AUDIT_LOG_* */
export async function verifyLog(session: Session, folder: string, options: VerifyOptions): Promise<ExitStatus> {
  requireFolder(folder)
  const verifierKey = await readVerifierKey(folder, options.key)
  const kept = await readCheckpoints(options.since ?? [], verifierKey)
  const verified = await withProgress(session, (line) => verifyFolder(session, line, folder, verifierKey, kept))
  session.output.document({ folder, ...verified })
  session.output.line('The log is whole.', 'green')
  describeLog(session, verified)
  warnUnlessCompared(session, kept)
  return EXIT.done
}

/** The whole verification, bundle by bundle. @throws CliError INTERRUPTED; KeyHolderError AUDIT_LOG_* */
export async function verifyFolder(
  session: Session,
  line: ProgressLine,
  folder: string,
  verifierKey: string,
  kept: readonly KeptCheckpoint[],
): Promise<VerifiedLog> {
  let newest: Buffer | undefined
  const steps = verifyingAuditLog(folder, {
    verifierKey,
    olderCheckpoints: kept.map(({ note }) => note),
    onEntry: (entry) => {
      newest = entry
    },
  })
  for (;;) {
    await breathe(session)
    const step = steps.next()
    if (step.done !== true) {
      line.show('verified', step.value.checked, step.value.size)
      continue
    }
    const at = newest === undefined ? undefined : readRecord(newest).at
    return {
      ...step.value,
      ...(at !== undefined && { newestRecordAt: at }),
      goesOnFrom: kept.map(({ size }) => size),
    }
  }
}

export function describeLog({ output }: Session, verified: VerifiedLog): void {
  const { origin, size, rootHash, newestRecordAt, goesOnFrom } = verified
  output.line(`Log:            ${origin}`)
  output.line(`Records:        ${size}`)
  output.line(`Root hash:      ${rootHash}`)
  output.line(`Newest record:  ${newestRecordAt ?? '-'}`)
  if (goesOnFrom.length > 0) output.line(`Goes on from:   ${goesOnFrom.join(', ')} records`)
}

export function warnUnlessCompared({ output }: Session, kept: readonly KeptCheckpoint[]): void {
  if (kept.length > 0) return
  output.warn('no earlier checkpoint was given (--since): that the log was cut, or is an old copy, would not show.')
}
