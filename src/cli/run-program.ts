// How every command line runs, whichever commands there are: one place where a run ends, in an exit status, with errors printed.
import { Command, CommanderError } from 'commander'
import type { GlobalOptions } from './client-config.ts'
import { pluginMetadata, readDockerCall, type DockerCall } from './docker-plugin/protocol.ts'
import { EXIT, exitStatusOf, type ExitStatus } from './errors.ts'
import { Output } from './output.ts'
import { Session, type Perform } from './session.ts'
import type { Terminal } from './terminal.ts'
import { programVersion } from '../version.ts'

/** The width of help texts: fixed, so that they can be quoted. */
const HELP_WIDTH = 100

/** Gives a program its commands. */
export type AddCommands = (program: Command, perform: Perform) => void

/**
 * Runs one command line (without the program's own name) and returns its exit status. Never throws, never ends the process.
 */
export async function runWith(
  addCommands: AddCommands,
  argv: readonly string[],
  surroundings: Terminal,
): Promise<ExitStatus> {
  const call = readDockerCall(argv)
  const terminal = withDockerConfig(surroundings, call)
  const metadata = pluginMetadata(argv)
  if (metadata !== undefined) {
    terminal.stdout.write(`${metadata}\n`)
    return EXIT.done
  }
  const ends: ExitStatus[] = []
  const program = buildWith(addCommands, terminal, async (command, work) => {
    const session = new Session(terminal, command.optsWithGlobals<GlobalOptions>(), call)
    try {
      ends.push(await work(session))
    } finally {
      await session.close()
    }
  })
  try {
    if (call !== undefined) program.name('docker countersign')
    await program.parseAsync([...(call?.args ?? argv)], { from: 'user' })
    return ends[0] ?? EXIT.done
  } catch (error) {
    if (error instanceof CommanderError) return endOfParsing(error, argv, terminal)
    new Output(terminal, wantsJson(argv)).fail(error)
    return exitStatusOf(error)
  }
}

/** What docker's `--config` names counts for us as well. */
function withDockerConfig(terminal: Terminal, call: DockerCall | undefined): Terminal {
  if (call?.configFolder === undefined) return terminal
  return { ...terminal, env: { ...terminal.env, DOCKER_CONFIG: call.configFolder } }
}

/** A program with these commands; `perform` runs their actions. */
export function buildWith(addCommands: AddCommands, terminal: Terminal, perform: Perform): Command {
  const program = new Command('countersign')
    .description('Signs container image tags for people who must never hold the keys.')
    .version(programVersion(), '--version', 'print the version')
    .option('--server <url>', 'address of the Countersign server (COUNTERSIGN_SERVER)')
    .option('--token-file <file>', 'file with the API token, mode 0600 (COUNTERSIGN_TOKEN_FILE, COUNTERSIGN_TOKEN)')
    .option(
      '--client-cert-file <file>',
      'certificate of this machine, PEM, in place of a token (COUNTERSIGN_CLIENT_CERT_FILE)',
    )
    .option('--client-key-file <file>', 'its private key, PEM, mode 0600 (COUNTERSIGN_CLIENT_KEY_FILE)')
    .option('--oidc <system>', 'in a pipeline, sign in with its own ID token: github or gitlab (COUNTERSIGN_OIDC)')
    .option(
      '--oidc-audience <text>',
      'audience of that token; default: the address of the server (COUNTERSIGN_OIDC_AUDIENCE)',
    )
    .option(
      '--ca-file <file>',
      'certificate authorities to trust, PEM, instead of the usual ones (COUNTERSIGN_CA_FILE)',
    )
    .option('--json', 'print one JSON document on standard output')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: () => undefined,
      getOutHelpWidth: () => HELP_WIDTH,
      getErrHelpWidth: () => HELP_WIDTH,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride()
  addCommands(program, perform)
  return program
}

/** Help and version were printed already; anything else that commander says is a fault of usage. */
function endOfParsing(error: CommanderError, argv: readonly string[], terminal: Terminal): ExitStatus {
  if (error.exitCode === 0) return EXIT.done
  const output = new Output(terminal, wantsJson(argv))
  const sentence = error.code === 'commander.help' ? 'a command is missing' : error.message.replace(/^error: /, '')
  output.failUsage(sentence)
  return EXIT.usage
}

/** Needed before the options are parsed, for faults found while parsing them. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json')
}
