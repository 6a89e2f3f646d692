// `docker countersign`: how the Docker CLI starts a plugin. It asks for metadata first, and then passes on its own command line as it is:
// `docker-countersign OPTIONS-OF-DOCKER countersign ARGS`.
// Source: docker/cli v28.2.2 cli-plugins/manager (metadata.go, candidate.go, manager.go PluginRunCommand), cli/flags/options.go.
import { programVersion } from '../../version.ts'

/** The argument with which Docker asks for the metadata of a plugin. */
const METADATA_ARGUMENT = 'docker-cli-plugin-metadata'
/** Docker's word for this plugin; no command of ours has that name. */
const PLUGIN_NAME = 'countersign'
/** Docker's global options that take a value, by their long names; and the short ones. */
const WITH_VALUE: ReadonlySet<string> = new Set([
  '--config',
  '--context',
  '--host',
  '--log-level',
  '--tlscacert',
  '--tlscert',
  '--tlskey',
])
const SHORT_WITH_VALUE = /^-D?[cHl]/
const WITHOUT_VALUE: ReadonlySet<string> = new Set(['--debug', '--tls', '--tlsverify'])

/** A run as Docker's plugin. */
export interface DockerCall {
  /** Our own command line. */
  readonly args: readonly string[]
  /** Docker's options, as they stood: for docker, where it is called in its turn. */
  readonly dockerOptions: readonly string[]
  /** Docker's folder of configuration, where an option names it. */
  readonly configFolder?: string
}

/** The answer to Docker's question, if these arguments ask it. */
export function pluginMetadata(argv: readonly string[]): string | undefined {
  if (argv[0] !== METADATA_ARGUMENT) return undefined
  return JSON.stringify({
    SchemaVersion: '0.1.0',
    Vendor: 'Countersign',
    Version: programVersion(),
    ShortDescription: 'Push, sign, verify and pull signed image tags',
  })
}

/** Undefined: these arguments do not come from Docker. `docker help countersign sign` comes as `help countersign sign`. */
export function readDockerCall(argv: readonly string[]): DockerCall | undefined {
  const { end, configFolder } = readDockerOptions(argv)
  const [first, second] = argv.slice(end)
  const isHelp = first === 'help' && second === PLUGIN_NAME
  if (first !== PLUGIN_NAME && !isHelp) return undefined
  return {
    args: isHelp ? ['help', ...argv.slice(end + 2)] : argv.slice(end + 1),
    dockerOptions: argv.slice(0, end),
    ...(configFolder !== undefined && { configFolder }),
  }
}

/** The arguments without what comes from Docker. */
export function ownArguments(argv: readonly string[]): readonly string[] {
  return readDockerCall(argv)?.args ?? argv
}

/** How many of the first arguments are options of Docker and their values. */
function readDockerOptions(argv: readonly string[]): { readonly end: number; readonly configFolder?: string } {
  let configFolder: string | undefined
  let at = 0
  for (;;) {
    const word = argv[at] ?? ''
    const [name = '', ...rest] = word.startsWith('--') ? word.split('=') : [word]
    const isShort = SHORT_WITH_VALUE.test(word)
    if (WITH_VALUE.has(name) || isShort) {
      // `-c NAME` and `-cNAME`, `--config FOLDER` and `--config=FOLDER`.
      const isWithin = isShort ? word.replace(SHORT_WITH_VALUE, '') !== '' : rest.length > 0
      if (name === '--config') configFolder = isWithin ? rest.join('=') : argv[at + 1]
      at += isWithin ? 1 : 2
    } else if (WITHOUT_VALUE.has(name) || word === '-D') {
      at += 1
    } else {
      return { end: Math.min(at, argv.length), ...(configFolder !== undefined && { configFolder }) }
    }
  }
}
