// `pull`: the tag's signed digest, verified here, is what docker pulls; then it gets the tag. What a trusted pull did until Docker 28, with a pin
// in place of trust on first use.
import type { Command } from 'commander'
import { parseImageReference, requireTag } from '../../domain/image-reference.ts'
import { trustOptions, type TrustOptions } from '../client-trust/options.ts'
import { resolveSignedTag, unpinnedWords, type SignedTag } from '../client-trust/signed-tag.ts'
import { CliError, EXIT, type ExitStatus } from '../errors.ts'
import type { Perform, Session } from '../session.ts'
import { DockerProgram } from './docker-program.ts'

interface PullOptions extends TrustOptions {
  readonly platform?: string
}

export function addPullCommand(program: Command, perform: Perform): void {
  const command = program
    .command('pull')
    .summary('pull what is signed under a tag, with docker')
    .description(
      'Verifies the tag here, from a pinned root down, has docker pull the signed digest, and tags it. No Countersign server is asked.',
    )
    .argument('<image>', 'IMAGE:TAG[@DIGEST]; a digest must be the signed one')
    .option('--platform <platform>', 'as docker pull --platform')
  trustOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ countersign pull registry.example.com/team/app:1.4 --pin 6ea804ec05093b81ccc56ecdcd6ccb9e57cb2a4e35d7262a2636de361fc35ec7
  $ countersign pull docker.io/library/alpine:3.20 --tofu

The pins of this machine count by themselves (countersign pin import). The root that was believed is remembered, and so are the highest versions: later calls need no --pin, and older metadata is refused.

Exit status: 0 pulled and tagged; 1 refused or failed, with a code; 2 usage. Nothing is pulled that is not signed.`,
    )
    .action((image: string, options: PullOptions, self: Command) =>
      perform(self, (session) => pull(session, image, options)),
    )
}

async function pull(session: Session, image: string, options: PullOptions): Promise<ExitStatus> {
  const reference = requireTag(parseImageReference(image))
  const signed = await resolveSignedTag(session, reference, options)
  const { gun, tag } = reference
  const byDigest = `${gun}@sha256:${signed.sha256}`
  session.output.progress(`${gun}:${tag} is signed as sha256:${signed.sha256} (${signed.role})`)
  const docker = new DockerProgram(session)
  const platform = options.platform === undefined ? [] : ['--platform', options.platform]
  await succeed(docker, ['pull', ...platform, byDigest], 'Nothing was tagged.')
  await succeed(docker, ['tag', byDigest, `${gun}:${tag}`], `${byDigest} was pulled, and has no tag.`)
  report(session, signed)
  return EXIT.done
}

async function succeed(docker: DockerProgram, args: readonly string[], consequence: string): Promise<void> {
  const { status } = await docker.show(args)
  if (status === 0) return
  const command = args[0] ?? ''
  throw new CliError('DOCKER_PULL_FAILED', `docker ${command} ended with status ${status}. ${consequence}`, {
    facts: { status, command },
    next: 'What docker said stands above.',
  })
}

function report({ output }: Session, signed: SignedTag): void {
  const { reference, sha256, role, signers, trustServer, anchor, pinned } = signed
  const image = `${reference.gun}:${reference.tag}`
  output.document({ image, digest: `sha256:${sha256}`, role, signers, trustServer, anchor, pinned })
  output.line(`${image} is ${reference.gun}@sha256:${sha256}`, 'green')
  output.line(`Signed by ${signers.length === 0 ? 'the repository itself' : signers.join(', ')}, in ${role}.`)
  if (!pinned) output.warn(unpinnedWords(reference.gun, anchor))
}
