// `config check`: everything that is wrong with a configuration, at once, without starting anything.
import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import type { Perform, Session } from './session.ts'

interface CheckOptions {
  readonly config?: string
  readonly keyHolder?: string
}

export function addConfigCommands(program: Command, perform: Perform): void {
  const group = program.command('config').summary('check the configuration').description('The configuration files.')

  group
    .command('check')
    .description('Checks a configuration with its environment, and names every fault with its path. Starts nothing.')
    .option('--config <file>', 'configuration of the daemon; without it the environment and the defaults')
    .option('--key-holder <file>', "check the key holder's configuration and its limits file instead")
    .addHelpText(
      'after',
      `
Examples:
  $ countersign config check --config /etc/countersign/countersign.yaml
  $ countersign config check --key-holder /etc/countersign/key-holder.yaml

Exit status: 0 valid; 1 at least one fault; 2 usage.`,
    )
    .action((options: CheckOptions, command: Command) =>
      perform(command, (session) => Promise.resolve(check(session, options))),
    )
}

function check(session: Session, options: CheckOptions): ExitStatus {
  const { output, terminal } = session
  const { file, digest } = loadConfig(options.config, terminal.env)
  output.document({ valid: true, file: file ?? null, digest })
  output.line(`${file ?? 'The environment with the defaults'} is valid. Digest: ${digest}`)
  return EXIT.done
}
