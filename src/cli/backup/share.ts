// `backup share`: the passphrase of backups in n shares, of which k give it back.
import { EXIT, type ExitStatus } from '../errors.ts'
import type { Session } from '../session.ts'
import { proveShareFiles, reserveShareFiles, splitPassphrase, type Quota } from '../shares/share-set.ts'
import { OPENED_BY_SHARES, passphraseInFile } from './passphrase.ts'

export interface ShareOptions {
  readonly passphraseFile: string
  readonly shares: Quota
  readonly out: string
}

/** @throws CliError FILE_EXISTS, FILE_UNWRITABLE, PASSPHRASE_TOO_SHORT; ConfigError SECRET_FILE_* */
export async function shareBackup(
  session: Session,
  { passphraseFile, shares, out }: ShareOptions,
): Promise<ExitStatus> {
  const passphrase = passphraseInFile(passphraseFile)
  const files = await reserveShareFiles(out, shares)
  try {
    const opens = `${OPENED_BY_SHARES} under the passphrase of ${session.terminal.now().toISOString().slice(0, 10)}`
    await files.write(await splitPassphrase(passphrase, shares, opens))
    await proveShareFiles(files.paths, shares, passphrase, OPENED_BY_SHARES)
  } catch (error) {
    await files.discard()
    throw error
  } finally {
    passphrase.fill(0)
  }
  session.output.document({ shareFiles: files.paths, sharesNeeded: shares.threshold })
  for (const path of files.paths) session.output.line(path)
  session.output.progress(
    `Any ${shares.threshold} of them open the backups. Try them: countersign backup drill FILE --share FILE --share FILE`,
  )
  return EXIT.done
}
