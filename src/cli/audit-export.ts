// `audit export`: a verified copy of the log as its checkpoint describes it, in a folder of its own. The copy is verified, not the
// original: what was looked at is what is handed out.
import { copyAuditLog, type AuditCopy } from '../key-holder/audit-copy.ts'
import { breathe, readCheckpoints, readVerifierKey, requireFolder, withProgress } from './audit-options.ts'
import { describeLog, verifyFolder, warnUnlessCompared, type VerifiedLog, type VerifyOptions } from './audit-verify.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import { refuseExisting, writeNewFolder } from './files.ts'
import type { ProgressLine } from './progress-line.ts'
import type { Session } from './session.ts'

/** @throws CliError FILE_*, AUDIT_KEY_UNUSABLE, AUDIT_CHECKPOINT_UNUSABLE, INTERRUPTED; KeyHolderError AUDIT_LOG_* */
export async function exportLog(
  session: Session,
  folder: string,
  out: string,
  options: VerifyOptions,
): Promise<ExitStatus> {
  requireFolder(folder)
  refuseExisting(out)
  const verifierKey = await readVerifierKey(folder, options.key)
  const kept = await readCheckpoints(options.since ?? [], verifierKey)
  let verified: VerifiedLog | undefined
  let files = 1
  await withProgress(session, async (line) => {
    const copy = copyAuditLog(folder, verifierKey)
    await writeNewFolder(out, {
      files: copied(session, line, copy, () => {
        files++
      }),
      seal: copy.checkpoint,
      mode: 0o600,
      check: async (written) => {
        verified = await verifyFolder(session, line, written, verifierKey, kept)
      },
    })
  })
  if (verified === undefined) throw new Error('The copy was not verified.')
  session.output.document({ folder: out, files, ...verified })
  session.output.line(`A verified copy of the log is in ${out}: ${files} files.`, 'green')
  describeLog(session, verified)
  warnUnlessCompared(session, kept)
  return EXIT.done
}

async function* copied(
  session: Session,
  line: ProgressLine,
  { files, size }: AuditCopy,
  count: () => void,
): AsyncGenerator<readonly [string, Uint8Array]> {
  for (const [path, bytes, records] of files) {
    await breathe(session)
    line.show('copied', records, size)
    count()
    yield [path, bytes]
  }
}
