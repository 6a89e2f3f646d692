// Secrets are files that the configuration names. This reads one, and refuses a file that others could read or replace.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { ConfigError } from './errors.ts'
import { Secret } from './secret.ts'

/** The largest secret file, in bytes: a private key in PEM with its chain. */
const MAX_SECRET_BYTES = 64 * 1024

export interface SecretFileRules {
  /** A process of root also takes the file of another user, whose secret it shares, and what root has handed to that user's group. */
  readonly rootReadsAll?: boolean
}

/**
 * The text of a secret file without its final line break. The file must be a regular file that belongs to this process's user
 * or to root, and that nobody else can read or write. Checks and reading are done on one open file, so nothing can be swapped between.
 * @throws ConfigError SECRET_FILE_UNREADABLE, SECRET_FILE_EXPOSED, SECRET_FILE_MALFORMED
 */
export function readSecretFile(path: string, rules: SecretFileRules = {}): Secret {
  const bytes = readSecretBytes(path, rules)
  const text = bytes.toString('utf8').replace(/\r?\n$/, '')
  if (text === '' || Buffer.byteLength(text, 'utf8') > bytes.byteLength || /[\0\r\n]/.test(text)) {
    throw malformed(path, 'it must hold exactly one line of text')
  }
  return new Secret(text)
}

/**
 * The bytes of a secret file that may have many lines, as a private key in PEM. Same checks as readSecretFile.
 * @throws ConfigError SECRET_FILE_UNREADABLE, SECRET_FILE_EXPOSED, SECRET_FILE_MALFORMED
 */
export function readSecretBytes(path: string, { rootReadsAll = false }: SecretFileRules = {}): Buffer {
  const file = open(path)
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) throw malformed(path, 'it is not a regular file')
    const uid = process.getuid?.()
    // Mounted secrets (Kubernetes with fsGroup, systemd LoadCredential=) belong to root and are readable by the group alone of the process that
    // they are for. Root reads them with the same mode where it shares the secret.
    const forbidden = stat.uid === 0 && (uid !== 0 || rootReadsAll) ? 0o037 : 0o077
    if ((stat.mode & forbidden) !== 0) throw exposed(path, 'others can read or write it; run: chmod 600 FILE')
    const isOurs = uid === undefined || stat.uid === uid || stat.uid === 0 || (rootReadsAll && uid === 0)
    if (!isOurs) throw exposed(path, 'it belongs to another user')
    if (stat.size > MAX_SECRET_BYTES) throw malformed(path, 'it is too large for a secret')
    const buffer = Buffer.alloc(MAX_SECRET_BYTES + 1)
    const length = readSync(file, buffer, 0, buffer.byteLength, 0)
    if (length > MAX_SECRET_BYTES) throw malformed(path, 'it is too large for a secret')
    return buffer.subarray(0, length)
  } finally {
    closeSync(file)
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw new ConfigError('SECRET_FILE_UNREADABLE', `The secret file ${path} cannot be opened.`, [], { cause })
  }
}

function exposed(path: string, why: string): ConfigError {
  return new ConfigError('SECRET_FILE_EXPOSED', `The secret file ${path} is refused: ${why}.`)
}

function malformed(path: string, why: string): ConfigError {
  return new ConfigError('SECRET_FILE_MALFORMED', `The secret file ${path} is refused: ${why}.`)
}
