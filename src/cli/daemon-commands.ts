// `serve`, `key-holder` and `trust-server`: start a process of the service, and stop it in order on Ctrl-C or SIGTERM.
// Their code is loaded only when they run, so that the other commands start quickly and never touch it.
import type { Command } from 'commander'
import { loadDaemonConfig, readKeyHolderConfig, readTrustServerConfig } from './config-commands.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import type { Perform, Session } from './session.ts'

export function addDaemonCommands(program: Command, perform: Perform): void {
  program
    .command('serve')
    .summary('run the service')
    .description(
      'Runs the daemon, and as its children the key holder and the trust server where the configuration names no others.',
    )
    .option('--config <file>', 'configuration (COUNTERSIGN_CONFIG); without it the environment and the defaults')
    .addHelpText(
      'after',
      `
Without a configuration everything is made in ./countersign-data, and listens on loopback.

Examples:
  $ countersign serve
  $ countersign serve --config /etc/countersign/countersign.yaml

Exit status: 0 stopped by a signal; 1 otherwise.`,
    )
    .action((options: { config?: string }, command: Command) =>
      perform(command, (session) => runServe(session, options.config)),
    )

  program
    .command('key-holder')
    .summary('run the key holder')
    .description('Runs the process that holds the keys. It has two Unix sockets and no network.')
    .requiredOption('--config <file>', 'its configuration')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign key-holder --config /etc/countersign/key-holder.yaml

Exit status: 0 stopped by a signal; 1 otherwise.`,
    )
    .action((options: { config: string }, command: Command) =>
      perform(command, (session) => runKeyHolder(session, options.config)),
    )

  program
    .command('trust-server')
    .summary('run the trust server')
    .description('Runs the embedded Notary v1 server. The key holder signs its snapshots and timestamps.')
    .requiredOption('--config <file>', 'its configuration')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign trust-server --config /etc/countersign/trust-server.yaml

Exit status: 0 stopped by a signal; 1 otherwise.`,
    )
    .action((options: { config: string }, command: Command) =>
      perform(command, (session) => runTrustServer(session, options.config)),
    )
}

async function runServe({ terminal, output }: Session, file: string | undefined): Promise<ExitStatus> {
  const loaded = loadDaemonConfig(file, terminal)
  const { startServe } = await import('../supervisor.ts')
  const running = await named(
    startServe(loaded, {
      tell: (line) => {
        output.progress(line)
      },
    }),
  )
  await untilAborted(terminal.interrupted)
  await running.stop()
  return EXIT.done
}

async function runKeyHolder({ terminal }: Session, file: string): Promise<ExitStatus> {
  const config = await readKeyHolderConfig(file, terminal)
  const { startKeyHolder } = await import('../key-holder/main.ts')
  const running = await startKeyHolder(config)
  await untilAborted(terminal.interrupted)
  await running.close()
  return EXIT.done
}

async function runTrustServer({ terminal, output }: Session, file: string): Promise<ExitStatus> {
  const config = await readTrustServerConfig(file, terminal)
  const { startTrustServer } = await import('../trust-server/main.ts')
  const running = await named(startTrustServer(config))
  output.progress(`The trust server listens on ${running.url}`)
  await untilAborted(terminal.interrupted)
  await running.stop()
  return EXIT.done
}

/** Node's own error for the most usual reason why a server does not start, as one of ours. @throws CliError ADDRESS_TAKEN */
async function named<T>(start: Promise<T>): Promise<T> {
  return start.catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
    throw new CliError('ADDRESS_TAKEN', 'Another process listens on the address that is configured.', {
      facts: {
        address: 'address' in error ? String(error.address) : '',
        port: 'port' in error ? Number(error.port) : 0,
      },
      next: 'Choose another http.listen, or stop that process.',
      cause: error,
    })
  })
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
}
