// The images of a command: its arguments and those that --from names, checked before any connection is made.
import type { Gun } from '@countersign/tuf'
import { parseImageReference, type ImageReference } from '../../domain/image-reference.ts'
import { CliError } from '../errors.ts'
import { readPublicFile } from '../files.ts'
import { builtImages, isBuildResult } from './build-result.ts'
import type { Terminal } from '../terminal.ts'

/** The largest list, in bytes. */
const MAX_LIST_BYTES = 1024 * 1024

/**
 * Image references in the order given, `--from` last: a Compose file, the metadata file of a build, or a list with one reference per line,
 * told apart by what is in them. `-` reads standard input.
 * @throws CliError IMAGE_LIST_EMPTY, IMAGE_LIST_UNREADABLE, IMAGE_LIST_TOO_LARGE, IMAGE_LIST_MALFORMED, IMAGE_LIST_UNRESOLVED;
 * DomainError IMAGE_REFERENCE_INVALID
 */
export async function listImages(
  terminal: Terminal,
  images: readonly string[],
  from: string | undefined,
): Promise<ImageReference[]> {
  const further = from === undefined ? [] : await listed(await readList(terminal, from))
  const references = [...images, ...further].map(parseImageReference)
  if (references.length > 0) return references
  throw new CliError('IMAGE_LIST_EMPTY', 'No image is named.', {
    next: 'Name images as arguments, or give --from FILE: a Compose file, the metadata file of a build, or one image per line.',
  })
}

/**
 * The repository that an argument names, in Docker's grammar but without tag and digest.
 * @throws CliError USAGE_INVALID; DomainError IMAGE_REFERENCE_INVALID
 */
export function repositoryArgument(text: string): Gun {
  const { gun, tag, digest } = parseImageReference(text)
  if (tag === undefined && digest === undefined) return gun
  throw new CliError('USAGE_INVALID', `${text} names an image; a repository has neither tag nor digest.`, {
    next: `Did you mean ${gun}?`,
  })
}

/** No line of a list can be read as one of the other two: neither begins with an image reference. */
async function listed(text: string): Promise<readonly string[]> {
  const content = text.replace(/^\uFEFF/, '')
  // With it comes what reads YAML, which commands without a list do without.
  const { composeImages, isComposeFile } = await import('./compose-file.ts')
  if (isComposeFile(content)) return composeImages(content)
  return isBuildResult(content) ? builtImages(content) : linesOf(content)
}

/** Empty lines and lines that begin with # say nothing. */
function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

async function readList(terminal: Terminal, from: string): Promise<string> {
  if (from === '-') return readStandardInput(terminal)
  try {
    return (await readPublicFile(from, MAX_LIST_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CliError('IMAGE_LIST_UNREADABLE', `The list of images cannot be read: ${(cause as Error).message}`, {
      cause,
    })
  }
}

async function readStandardInput({ stdin }: Terminal): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk
    length += bytes.byteLength
    if (length > MAX_LIST_BYTES) {
      throw new CliError('IMAGE_LIST_TOO_LARGE', `The list of images is larger than ${MAX_LIST_BYTES} bytes.`)
    }
    chunks.push(Buffer.from(bytes))
  }
  return Buffer.concat(chunks).toString('utf8')
}
