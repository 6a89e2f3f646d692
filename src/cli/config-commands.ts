// `config check`: everything that is wrong with a configuration, at once, without starting anything.
import type { Command } from 'commander'
import { ConfigError } from '../config/errors.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { parseKeyHolderConfig, type KeyHolderConfig } from '../key-holder/config.ts'
import { readLimits } from '../key-holder/limits.ts'
import { faultyFolder, readFolderFiles } from '../policy/folder-files.ts'
import { readPolicyFolder } from '../policy/policy-folder.ts'
import { parseTrustServerConfig, type TrustServerConfig } from '../trust-server/config.ts'
import { CLIENT_VARIABLES } from './client-config.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import { readPublicFile } from './files.ts'
import type { Perform, Session } from './session.ts'
import type { Terminal } from './terminal.ts'

const MAX_CONFIG_BYTES = 1024 * 1024

interface CheckOptions {
  readonly config?: string
  readonly keyHolder?: string
  readonly trustServer?: string
}

export function addConfigCommands(program: Command, perform: Perform): void {
  const group = program.command('config').summary('check the configuration').description('The configuration files.')

  group
    .command('check')
    .description('Checks a configuration with its environment, and names every fault with its path. Starts nothing.')
    .option('--config <file>', 'configuration of the daemon; without it the environment and the defaults')
    .option('--key-holder <file>', "configuration of the key holder, with its limits file; instead of the daemon's")
    .option('--trust-server <file>', "configuration of the trust server; instead of the daemon's")
    .addHelpText(
      'after',
      `
Examples:
  $ countersign config check --config /etc/countersign/countersign.yaml
  $ countersign config check --key-holder /etc/countersign/key-holder.yaml
  $ countersign config check --trust-server /etc/countersign/trust-server.yaml

Exit status: 0 valid; 1 at least one fault; 2 usage.`,
    )
    .action((options: CheckOptions, command: Command) => perform(command, (session) => check(session, options)))
}

async function check(session: Session, options: CheckOptions): Promise<ExitStatus> {
  const { config, keyHolder, trustServer } = options
  if (config !== undefined || (keyHolder === undefined && trustServer === undefined)) checkDaemon(session, config)
  if (keyHolder !== undefined) await checkKeyHolder(session, keyHolder)
  if (trustServer !== undefined) await checkTrustServer(session, trustServer)
  return EXIT.done
}

function checkDaemon({ output, terminal }: Session, path: string | undefined): void {
  const { config, file, digest } = loadDaemonConfig(path, terminal)
  const { folder } = config.policies
  const policies = folder === undefined ? undefined : { folder, digest: checkPolicies(folder) }
  output.document({ valid: true, file: file ?? null, digest, ...(policies !== undefined && { policies }) })
  output.line(`${file ?? 'The environment with the defaults'} is valid. Digest: ${digest}`)
  if (policies !== undefined) output.line(`${policies.folder} is sound. Digest: ${policies.digest}`)
}

/** The digest of a policy folder. @throws ConfigError POLICY_INVALID with every fault */
function checkPolicies(folder: string): string {
  const read = readPolicyFolder(readFolderFiles(folder).files)
  if (!read.ok) throw faultyFolder(folder, read.faults)
  return read.digest
}

async function checkKeyHolder({ output, terminal }: Session, file: string): Promise<void> {
  const config = await readKeyHolderConfig(file, terminal)
  const { digest } = readLimits(config.limitsFile)
  output.document({ valid: true, file, limitsFile: config.limitsFile, limitsDigest: digest })
  output.line(`${file} is valid.`)
  output.line(`${config.limitsFile} is valid. Digest: ${digest}`)
}

async function checkTrustServer({ output, terminal }: Session, file: string): Promise<void> {
  await readTrustServerConfig(file, terminal)
  output.document({ valid: true, file })
  output.line(`${file} is valid.`)
}

/** Variables that the command line reads for itself: as a client, and to find the configuration. No settings of the daemon. */
const OWN_VARIABLES: ReadonlySet<string> = new Set([...CLIENT_VARIABLES, 'COUNTERSIGN_CONFIG'])

/** The daemon's configuration: the file named, else $COUNTERSIGN_CONFIG, else none. @throws ConfigError CONFIG_* */
export function loadDaemonConfig(path: string | undefined, { env }: Terminal): LoadedConfig {
  const fromEnvironment = env['COUNTERSIGN_CONFIG'] ?? ''
  const settings = Object.fromEntries(Object.entries(env).filter(([name]) => !OWN_VARIABLES.has(name)))
  return loadConfig(path ?? (fromEnvironment === '' ? undefined : fromEnvironment), settings)
}

/** @throws ConfigError CONFIG_INVALID with every fault; CliError FILE_UNREADABLE */
export async function readKeyHolderConfig(file: string, terminal: Terminal): Promise<KeyHolderConfig> {
  const text = (await readPublicFile(file, MAX_CONFIG_BYTES)).toString('utf8')
  try {
    return parseKeyHolderConfig(text, terminal.env)
  } catch (cause) {
    if (!(cause instanceof KeyHolderError)) throw cause
    const listed = typeof cause.facts['faults'] === 'string' ? cause.facts['faults'].split('; ') : [cause.message]
    const faults = listed.map((fault) => {
      const [, path = '', message = fault] = /^([^:]*): (.*)$/.exec(fault) ?? []
      return { path, message }
    })
    throw new ConfigError('CONFIG_INVALID', `${file} is no valid configuration.`, faults, { cause })
  }
}

/** @throws ConfigError CONFIG_INVALID with every fault; CliError FILE_UNREADABLE */
export async function readTrustServerConfig(file: string, terminal: Terminal): Promise<TrustServerConfig> {
  const text = (await readPublicFile(file, MAX_CONFIG_BYTES)).toString('utf8')
  return parseTrustServerConfig(text, terminal.env)
}
