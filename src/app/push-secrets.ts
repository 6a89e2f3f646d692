// The secrets of the registries that tell of pushes. Files are checked at the start and read again at each use, so that a changed one counts at once.
import { ConfigError } from '../config/errors.ts'
import type { PushSourceConfig } from '../config/push-settings.ts'
import { readSecretFile } from '../config/secret-file.ts'

/** Visible characters that a header and a path can carry as they are; long enough that nobody guesses them. */
const SECRET = /^[A-Za-z0-9._~+=-]{32,256}$/

/** @throws ConfigError SECRET_FILE_UNREADABLE, SECRET_FILE_EXPOSED, SECRET_FILE_MALFORMED; the result at each use likewise */
export function connectPushSecrets(sources: readonly PushSourceConfig[]): (source: string) => readonly string[] {
  const files = new Map(
    sources.map(({ name, secretFile, previousSecretFile }) => [
      name,
      [secretFile, ...(previousSecretFile === undefined ? [] : [previousSecretFile])],
    ]),
  )
  for (const file of [...files.values()].flat()) readPushSecret(file)
  return (source) => (files.get(source) ?? []).map(readPushSecret)
}

function readPushSecret(file: string): string {
  const text = readSecretFile(file).reveal()
  if (SECRET.test(text)) return text
  const message = `The secret file ${file} is refused: it must hold 32 to 256 characters of A-Z, a-z, 0-9 and ._~+=-`
  throw new ConfigError('SECRET_FILE_MALFORMED', message)
}
