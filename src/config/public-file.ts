// Files that the configuration names and that are no secret: certificates, user names.
import { readFileSync } from 'node:fs'
import { ConfigError } from './errors.ts'

/** @throws ConfigError CONFIG_UNREADABLE */
export function readPublicFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new ConfigError('CONFIG_UNREADABLE', `The file ${path}, which the configuration names, cannot be read.`, [], {
      cause,
    })
  }
}
