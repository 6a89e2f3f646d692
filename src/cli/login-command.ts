// `login`: a person signs in at the provider that the server names, and gets a token of the server's in a file.
import type { Command } from 'commander'
import * as z from 'zod'
import { signInOnDevice } from './device-flow.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import { replaceTokenFile } from './files.ts'
import type { Perform, Session } from './session.ts'
import { exchangeIdToken } from './workload-login.ts'

const providerAnswer = z.looseObject({
  issuer: z.string().max(2048),
  clientId: z.string().max(255),
  scopes: z.array(z.string().max(100)).max(16),
})

export function addLoginCommand(program: Command, perform: Perform): void {
  program
    .command('login')
    .summary('sign in with a browser, and keep the token in a file')
    .description(
      'Signs in at the provider that the server names: shows an address and a code, which are entered in a browser on any machine.',
    )
    .requiredOption('--out <file>', 'the token file (mode 0600); one that holds a token already is replaced')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign login --out ~/.config/countersign/token
  $ countersign request list --token-file ~/.config/countersign/token`,
    )
    .action((options: { readonly out: string }, command: Command) =>
      perform(command, (session) => login(session, options.out)),
    )
}

async function login(session: Session, file: string): Promise<ExitStatus> {
  const { output, terminal } = session
  const api = await session.anonymousApi()
  const provider = await api.call({ method: 'GET', path: 'v1/login-provider', answer: providerAnswer })
  const replace = await replaceTokenFile(file)
  const idToken = await signInOnDevice(provider, terminal, ({ address, code }) => {
    output.progress(`Open ${address} and enter the code ${code}`)
  })
  const { token, identity, expiresInMs } = await exchangeIdToken(api, idToken)
  await replace(`${token.reveal()}\n`)
  const expiresAt = new Date(terminal.now().getTime() + expiresInMs).toISOString()
  output.document({ identity, expiresAt, tokenFile: file })
  output.progress(`Signed in as ${identity} until ${expiresAt}`)
  output.line(file)
  return EXIT.done
}
