// The passphrase of a backup: from a file, or from a person at the terminal.
import { readSecretFile } from '../../config/secret-file.ts'
import { CliError } from '../errors.ts'
import type { Session } from '../session.ts'
import { givenPassphrase, type OpeningOptions } from '../shares/options.ts'

/** As the key holder wants it for a passphrase. */
const MIN_PASSPHRASE_BYTES = 12

/** How the words begin that say what a share of it opens. */
export const OPENED_BY_SHARES = 'backups'

/** The caller zeroes it. @throws CliError PASSPHRASE_TOO_SHORT, SHARE*, USAGE_INVALID where nobody can be asked; ConfigError SECRET_FILE_* */
export async function passphraseOf({ terminal }: Session, opening: OpeningOptions): Promise<Buffer> {
  const given = await givenPassphrase(opening, OPENED_BY_SHARES, passphraseInFile)
  if (given !== undefined) return longEnough(Buffer.from(given.buffer, given.byteOffset, given.byteLength))
  const typed = await terminal.askSecret?.('Passphrase of the backup: ')
  if (typed !== undefined && typed !== '') return longEnough(Buffer.from(typed, 'utf8'))
  throw new CliError('USAGE_INVALID', 'The passphrase of the backup is needed.', {
    next: 'Give --passphrase-file FILE, or --share FILE for each share.',
  })
}

/** Root makes backups where key holder and daemon are two users; the file belongs to the key holder's. @throws ConfigError SECRET_FILE_* */
export function passphraseInFile(file: string): Buffer {
  return longEnough(Buffer.from(readSecretFile(file, { rootReadsAll: true }).reveal(), 'utf8'))
}

function longEnough(passphrase: Buffer): Buffer {
  if (passphrase.byteLength >= MIN_PASSPHRASE_BYTES) return passphrase
  const message = `The passphrase of a backup has at least ${MIN_PASSPHRASE_BYTES} bytes.`
  throw new CliError('PASSPHRASE_TOO_SHORT', message)
}
