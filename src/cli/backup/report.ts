// What is in a backup, as a table for people.
import { readFileSync } from 'node:fs'
import { parseKeyHolderConfig, type TokenConfig } from '../../key-holder/config.ts'
import type { TokenKeyProof } from '../../key-holder/token-proof.ts'
import { CliError, EXIT, type ExitStatus } from '../errors.ts'
import type { Session } from '../session.ts'
import type { BackupManifest } from './content.ts'

const MEGABYTE = 1_000_000

export function describeBackup({ output }: Session, { madeAt, version, keyHolder, ...rest }: BackupManifest): void {
  const { log } = keyHolder
  output.table(
    ['BACKUP', ''],
    [
      ['made', `${madeAt}, by Countersign ${version}`],
      ['keys', `${keyHolder.keys} of ${keyHolder.repositories} repositories`],
      ...(keyHolder.inTokens ?? []).map(({ label, keys }) => [
        'not in it',
        `${keys} keys in the PKCS#11 token ${label}, which they cannot leave`,
      ]),
      ['audit log', `${log.origin}, ${log.size} records or more`],
      ['key holder', megabytes(keyHolder.bytes)],
      ['daemon', rest.daemon === undefined ? 'not in it' : megabytes(rest.daemon.bytes)],
      ['trust server', rest.trustServer === undefined ? 'not in it' : megabytes(rest.trustServer.bytes)],
    ],
  )
}

/** Keys that no backup holds, each with its proof, or why there is none. @returns `unfinished` where one is not proven */
export function describeTokenKeys({ output }: Session, inTokens: readonly TokenKeyProof[]): ExitStatus {
  if (inTokens.length === 0) return EXIT.done
  output.line()
  output.table(
    ['IN TOKEN', 'REPOSITORY', 'MADE FOR', 'PROOF', 'KEY'],
    inTokens.map(({ token, gun, role, proof, canonicalKeyId }) => [token, gun, role, proof, canonicalKeyId]),
  )
  const missing = unproven(inTokens)
  if (missing === 0) return EXIT.done
  output.complain(
    'KEYS_NOT_PROVEN',
    `${missing} of ${inTokens.length} keys in tokens have not signed. They are in no backup: without their token they sign nothing.`,
    'Ask the tokens with --key-holder-config, on a machine that reaches them.',
  )
  return EXIT.unfinished
}

/** How many keys in tokens have not signed. */
export function unproven(inTokens: readonly TokenKeyProof[]): number {
  return inTokens.filter(({ proof }) => proof !== 'proven').length
}

/** The tokens of a configuration of the key holder. @throws CliError FILE_UNREADABLE; KeyHolderError KEY_HOLDER_CONFIG_INVALID */
export function tokensOf(configFile: string | undefined): readonly TokenConfig[] | undefined {
  if (configFile === undefined) return undefined
  let text: string
  try {
    text = readFileSync(configFile, 'utf8')
  } catch (cause) {
    throw new CliError('FILE_UNREADABLE', `${configFile} cannot be read.`, { facts: { file: configFile }, cause })
  }
  return parseKeyHolderConfig(text).tokens ?? []
}

function megabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`
}
