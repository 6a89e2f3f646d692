// The images that a build has pushed, each at its digest, from the file that `docker buildx bake --metadata-file` writes, or `docker buildx
// build`. Pure.
// Source: buildx v0.13 commands/bake.go (a map by target), build/build.go: `image.name` has the names with commas between, and
// `containerimage.digest` is what a push left in the registry: the index of several platforms, also where several nodes built them.
import * as z from 'zod'
import { parseImageReference } from '../../domain/image-reference.ts'
import { CliError } from '../errors.ts'

const resultSchema = z.looseObject({
  'containerimage.digest': z.string().optional(),
  'image.name': z.string().optional(),
})
type Result = z.infer<typeof resultSchema>

export function isBuildResult(text: string): boolean {
  return text.trimStart().startsWith('{')
}

/**
 * References with digests, each once: every name of every target. A target without name and digest has made no image.
 * @throws CliError IMAGE_LIST_MALFORMED; DomainError IMAGE_REFERENCE_INVALID
 */
export function builtImages(text: string): readonly string[] {
  const file = resultOf(parsed(text), 'the file')
  // The file of one build has no targets in it.
  const results: readonly (readonly [string, Result])[] =
    file['containerimage.digest'] !== undefined || file['image.name'] !== undefined
      ? [['the build', file]]
      : Object.entries(file)
          .filter(([name]) => !name.startsWith('buildx.'))
          .map(([name, result]) => [`target ${name}`, resultOf(result, `target ${name}`)] as const)
  return [...new Set(results.flatMap(([what, result]) => imagesOf(what, result)))]
}

function imagesOf(what: string, result: Result): readonly string[] {
  const { 'containerimage.digest': digest, 'image.name': names = '' } = result
  if (digest === undefined && names === '') return []
  if (digest === undefined) throw malformed(`${what} has no digest: it was not pushed`)
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw malformed(`the digest of ${what} is not one of sha256`)
  if (names === '') throw malformed(`${what} has no name, so its tags are not known`)
  return names.split(',').map((name) => {
    const reference = parseImageReference(name.trim())
    return reference.digest === undefined ? `${reference.text}@${digest}` : reference.text
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('it is no JSON')
  }
}

function resultOf(value: unknown, what: string): Result {
  const result = resultSchema.safeParse(value)
  if (result.success) return result.data
  throw malformed(`${what} is not what buildx writes`)
}

function malformed(why: string): CliError {
  return new CliError('IMAGE_LIST_MALFORMED', `The metadata file of the build cannot be used: ${why}.`, {
    next: 'Write it with: docker buildx bake --push --metadata-file FILE',
  })
}
