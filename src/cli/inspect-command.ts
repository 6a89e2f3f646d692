// `inspect`: signed tags, signers and keys, in the shapes of `docker trust inspect`.
import type { Command } from 'commander'
import { parseImageReference, type ImageReference } from '../domain/image-reference.ts'
import { EXIT, exitStatusOf, type ExitStatus } from './errors.ts'
import { prettyInspection } from './pretty-inspection.ts'
import { inspectionSchema, type InspectionResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

/** Docker's, in columns. */
const JSON_INDENT = 4

interface Asked {
  /** As it was written: docker repeats it. */
  readonly text: string
  readonly reference: ImageReference
}

export function addInspectCommand(program: Command, perform: Perform): void {
  program
    .command('inspect')
    .summary('show signed tags, signers and keys')
    .description('Shows what is signed in a repository, and by whom, exactly as `docker trust inspect` does.')
    .argument('<images...>', 'IMAGE[:TAG]')
    .option('--pretty', 'in words, as without --json; docker countersign inspect prints JSON without it')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign inspect registry.example.com/team/app
  $ countersign inspect registry.example.com/team/app:1.4 --json

Exit status: 0 done; 1 failed, or a tag that was named is not signed.`,
    )
    .action((images: string[], options: { readonly pretty?: boolean }, command: Command) =>
      perform(command, (session) => inspectImages(session, images, options.pretty === true)),
    )
}

async function inspectImages(session: Session, images: readonly string[], isPretty: boolean): Promise<ExitStatus> {
  const { output } = session
  const asked = images.map((text): Asked => ({ text, reference: parseImageReference(text) }))
  // As a plugin it prints what docker prints: JSON unless told otherwise.
  const isJson = output.json || (session.docker !== undefined && !isPretty)
  const answers = await Promise.allSettled(asked.map((one) => inspectOne(session, one)))
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  const [failure] = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as Error] : []))
  if (found.length === 0 && failure !== undefined && !(isJson && !output.json)) throw failure
  if (isJson) output.raw(`${JSON.stringify(found, undefined, JSON_INDENT)}\n`)
  else output.raw(found.map(prettyInspection).join('\n\n'))
  if (failure !== undefined) {
    output.complainOf(failure)
    return exitStatusOf(failure)
  }
  return reportUnsigned(session, asked, found)
}

async function inspectOne(session: Session, { text, reference }: Asked): Promise<InspectionResource[]> {
  const api = await session.api()
  const answer = await api.call({
    method: 'GET',
    path: 'v1/inspections',
    query: { image: reference.text },
    answer: inspectionSchema,
  })
  return answer.map((one) => ({ ...one, Name: text }))
}

/** Stricter than docker, which ends with 0: a tag that somebody names should be signed. */
function reportUnsigned(
  { output }: Session,
  asked: readonly Asked[],
  found: readonly InspectionResource[],
): ExitStatus {
  const unsigned = asked.filter(({ text, reference: { tag } }) => {
    const inspections = found.filter(({ Name }) => Name === text)
    return tag !== undefined && !inspections.some((one) => one.SignedTags?.some(({ SignedTag }) => SignedTag === tag))
  })
  for (const { reference } of unsigned) output.complain('IMAGE_NOT_SIGNED', `${reference.text} is not signed.`)
  return unsigned.length === 0 ? EXIT.done : EXIT.failed
}
