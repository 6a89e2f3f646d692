// Opens an offline root key, wherever it is kept, for as long as it is needed.
import { CliError } from '../errors.ts'
import { readFileIfPresent, readPublicFile } from '../files.ts'
import type { Terminal } from '../terminal.ts'
import { openOfflineRoot, signWithRoot } from './key-file.ts'
import type { NamedRoot, RootKey } from './root-key.ts'
import { isTokenReference, withTokenRoot } from './token-key.ts'

const MAX_FILE_BYTES = 64 * 1024

/**
 * Opens a root key, and closes it after `use`.
 * @throws CliError and others as `openOfflineRoot`; KeyHolderError CUSTODY_*; what `use` throws
 */
export async function withRootKey<T>(
  terminal: Terminal,
  named: NamedRoot,
  use: (root: RootKey) => Promise<T>,
): Promise<T> {
  const { file, opening, gun, listed = [] } = named
  const { module, pinFile, passphraseFile, share } = opening
  const isForToken = module !== undefined || pinFile !== undefined
  const bytes = await (isForToken ? readPublicFile(file, MAX_FILE_BYTES) : readFileIfPresent(file, MAX_FILE_BYTES))
  const text = bytes?.toString('latin1') ?? ''
  if (isTokenReference(text)) {
    if (passphraseFile !== undefined || share.length > 0) {
      throw new CliError('USAGE_INVALID', `The root key of ${file} is in a token: --module FILE, and --pin-file FILE.`)
    }
    return withTokenRoot(terminal, named, text.trim(), use)
  }
  if (isForToken) {
    throw new CliError('USAGE_INVALID', `${file} does not name a key in a token: no --module, and no --pin-file.`)
  }
  const root = await openOfflineRoot(file, opening, gun, terminal.now(), listed)
  const { certificatePem, key } = root
  return use({ certificatePem, key, sign: (message) => Promise.resolve(signWithRoot(root, message)) })
}
