// `promote`: asks that what is signed for one tag is signed for others, in whose registries it was copied.
import type { Command } from 'commander'
import { parseImageReference, requireTag, type TaggedReference } from '../domain/image-reference.ts'
import { CliError, type ExitStatus } from './errors.ts'
import type { Perform, Session } from './session.ts'
import { submissionOptions, submitImages, type SubmissionOptions } from './sign-commands.ts'

interface PromoteOptions extends SubmissionOptions {
  readonly each?: boolean
}

export function addPromoteCommand(program: Command, perform: Perform): void {
  submissionOptions(
    program
      .command('promote')
      .summary('sign elsewhere what is signed here')
      .description(
        'Asks Countersign to sign at the destinations what is signed for the source, where they serve the same digest. No image is copied.',
      )
      .argument('<source>', 'IMAGE:TAG[@DIGEST] whose signature is verified')
      .argument('<destinations...>', 'IMAGE:TAG to sign')
      .option(
        '--each',
        'sign what serves the digest, and tell of the rest; without it nothing is signed where one does not',
      ),
  )
    .addHelpText(
      'after',
      `
Source and destinations are repositories that Countersign manages, or has adopted with a pin. Both signatures are looked at again right before
the destination is signed.

Examples:
  $ countersign promote staging.example.com/team/app:1.4 registry.example.com/team/app:1.4
  $ countersign promote staging.example.com/team/app:rc2 registry.example.com/team/app:1.4 registry.example.com/team/app:stable

Exit status: 0 every destination is signed and published; 1 failed or partial; 2 usage; 3 denied; 4 not finished, the ID is printed.`,
    )
    .action((source: string, destinations: string[], options: PromoteOptions, command: Command) =>
      perform(command, (session) => promote(session, source, destinations, options)),
    )
}

async function promote(
  session: Session,
  text: string,
  texts: readonly string[],
  options: PromoteOptions,
): Promise<ExitStatus> {
  const source = requireTag(parseImageReference(text))
  const destinations = texts.map((each) => withDigest(requireTag(parseImageReference(each)), source))
  return submitImages(session, 'sign', destinations, options, {
    ...(options.each === true && { mode: 'each' }),
    promotedFrom: source.text,
  })
}

/** A digest that the source names is what has to be signed in the end. @throws CliError USAGE_INVALID where a destination names another */
function withDigest(destination: TaggedReference, { digest }: TaggedReference): TaggedReference {
  if (digest === undefined) return destination
  if (destination.digest !== undefined && destination.digest !== digest) {
    throw new CliError('USAGE_INVALID', `${destination.text} names another digest than the source.`)
  }
  return requireTag(parseImageReference(`${destination.gun}:${destination.tag}@sha256:${digest}`))
}
