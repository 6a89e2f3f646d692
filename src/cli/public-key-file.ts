// The file in which an owner gets our public key, and the command that the owner runs with it.
import { readFileIfPresent, writeNewFile } from './files.ts'

const MAX_KEY_FILE_BYTES = 64 * 1024

/** An earlier run's file with the same key is as good; any other file is left alone. @throws CliError FILE_EXISTS */
export async function keepPublicKey(file: string, pem: string): Promise<void> {
  const present = await readFileIfPresent(file, MAX_KEY_FILE_BYTES)
  if (present?.toString('utf8') !== pem) await writeNewFile(file, pem, 0o644)
}

export function ownerCommand(file: string, signer: string, gun: string): string {
  return `docker trust signer add --key ${shellWord(file)} ${signer} ${gun}`
}

/** A word that a POSIX shell takes as it is. */
function shellWord(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
