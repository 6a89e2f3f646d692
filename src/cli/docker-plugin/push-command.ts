// `push`: docker pushes, with the user's own engine and credentials, and Countersign signs what was pushed. It ends with 0 only where the
// image is signed; where it is pushed and not signed, it says so, whatever the reason.
import type { Command } from 'commander'
import { parseImageReference, requireTag, type TaggedReference } from '../../domain/image-reference.ts'
import { CliError, EXIT, exitStatusOf, type ExitStatus } from '../errors.ts'
import type { Perform, Session } from '../session.ts'
import { receiptFilesOf, submissionOptions, submitImages, type SubmissionOptions } from '../sign-commands.ts'
import { DockerProgram } from './docker-program.ts'
import { digestOfManifestPush, digestOfPush, onlyRepoDigest } from './pushed-digest.ts'

interface PushOptions extends SubmissionOptions {
  readonly manifest?: boolean
  readonly insecure?: boolean
  readonly platform?: string
}

export function addPushCommand(program: Command, perform: Perform): void {
  const command = program
    .command('push')
    .summary('push an image with docker, and sign what was pushed')
    .description(
      'Has docker push an image, and asks Countersign to sign exactly the digest that was pushed. Nothing but a signed image ends with 0.',
    )
    .argument('<image>', 'IMAGE:TAG, as for docker push')
    .option('--manifest', 'push the list of that name that `docker manifest create` made: several platforms')
    .option('--insecure', 'with --manifest, as docker manifest push --insecure: a registry without TLS')
    .option('--platform <platform>', 'as docker push --platform: one platform of an image that has several')
  submissionOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ countersign push registry.example.com/team/app:1.4
  $ countersign push --manifest registry.example.com/team/app:1.4 --description "release 1.4"

Exit status: 0 pushed and signed; 1 failed; 2 usage, nothing was pushed; 3 denied; 4 not finished, the ID is printed. After 1, 3 and 4
a line says whether the image was pushed and is not signed.`,
    )
    .action((image: string, options: PushOptions, self: Command) =>
      perform(self, (session) => push(session, image, options)),
    )
}

async function push(session: Session, image: string, options: PushOptions): Promise<ExitStatus> {
  const reference = requireTag(parseImageReference(image))
  if (reference.digest !== undefined) {
    throw new CliError('USAGE_INVALID', 'What is pushed is named by its tag, without a digest.')
  }
  // Whatever can be known before the image is public: a push that cannot be signed should not happen.
  receiptFilesOf(options, 1)
  await session.api()
  const digest = await pushImage(new DockerProgram(session), reference, options)
  const text = `${reference.text}@sha256:${digest}`
  session.output.encloseDocument((result) => ({ image: reference.text, digest: `sha256:${digest}`, result }))
  const status = await sign(session, { ...reference, digest, text }, options)
  if (status !== EXIT.done) session.output.complain('IMAGE_PUSHED_UNSIGNED', unsigned(text), nextOf(status, text))
  return status
}

/** An error of the signature is told here: what comes after it must be the last line. */
async function sign(session: Session, reference: TaggedReference, options: PushOptions): Promise<ExitStatus> {
  try {
    return await submitImages(session, 'sign', [reference], options)
  } catch (error) {
    session.output.fail(error)
    return exitStatusOf(error) === EXIT.usage ? EXIT.failed : exitStatusOf(error)
  }
}

function unsigned(text: string): string {
  return `${text} IS PUSHED, BUT NOT SIGNED.`
}

function nextOf(status: ExitStatus, text: string): string {
  const again = `countersign sign ${text}`
  if (status === EXIT.unfinished)
    return `It will be when the request above is through. Nothing needs to be pushed again.`
  if (status === EXIT.denied) return `Nothing needs to be pushed again. When it is permitted: ${again}`
  return `Nothing needs to be pushed again. When this is settled: ${again}`
}

/** @returns what docker pushed, 64 hex digits @throws CliError DOCKER_*, PUSHED_DIGEST_UNKNOWN */
async function pushImage(docker: DockerProgram, reference: TaggedReference, options: PushOptions): Promise<string> {
  const args = argumentsOf(reference, options)
  const digest =
    options.manifest === true
      ? digestOfManifestPush(await succeed(docker.read(args, 'lines')))
      : await digestPushed(docker, reference, args, options)
  if (digest !== undefined) return digest
  throw new CliError(
    'PUSHED_DIGEST_UNKNOWN',
    `${reference.text} is pushed, but not signed: docker does not tell the digest that it pushed.`,
    { next: `Sign it by its digest: countersign sign ${reference.text}@sha256:DIGEST` },
  )
}

/**
 * On a terminal docker shows its progress itself, and what it wrote cannot be read: then the engine is asked, and docker once more where the engine
 * knows several digests. Nothing is uploaded twice.
 */
async function digestPushed(
  docker: DockerProgram,
  reference: TaggedReference,
  args: readonly string[],
  { platform }: PushOptions,
): Promise<string | undefined> {
  const lines = await succeed(docker.show(args))
  if (!docker.hasTerminal) return digestOfPush(lines, reference.tag)
  if (platform === undefined) {
    const inspect = ['image', 'inspect', '--format', '{{json .RepoDigests}}', reference.text]
    const [list = ''] = (await docker.read(inspect, 'nothing')).lines
    const digest = onlyRepoDigest(list, reference)
    if (digest !== undefined) return digest
  }
  return digestOfPush(await succeed(docker.read(args, 'nothing')), reference.tag)
}

function argumentsOf(
  { text }: TaggedReference,
  { manifest = false, insecure = false, platform }: PushOptions,
): readonly string[] {
  if (!manifest) {
    if (insecure) throw new CliError('USAGE_INVALID', '--insecure goes with --manifest: docker push asks its engine.')
    return ['push', ...(platform === undefined ? [] : ['--platform', platform]), text]
  }
  if (platform === undefined) return ['manifest', 'push', ...(insecure ? ['--insecure'] : []), text]
  throw new CliError('USAGE_INVALID', '--manifest pushes all platforms of a list: --platform does not go with it.')
}

async function succeed(run: ReturnType<DockerProgram['show']>): Promise<readonly string[]> {
  const { status, lines } = await run
  if (status === 0) return lines
  throw new CliError('DOCKER_PUSH_FAILED', `docker push ended with status ${status}. Nothing was signed.`, {
    facts: { status },
    next: 'What docker said stands above.',
  })
}
