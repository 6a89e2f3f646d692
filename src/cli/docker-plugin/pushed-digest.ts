// What docker says it has pushed. Pure.
import { parseImageReference, type TaggedReference } from '../../domain/image-reference.ts'

/** 64 hex digits, from the last line of `docker push`: `1.4: digest: sha256:... size: 528`. */
export function digestOfPush(lines: readonly string[], tag: string): string | undefined {
  const found = lines.map((line) => /^(\S+): digest: sha256:([0-9a-f]{64}) size: \d+$/.exec(line.trim()))
  return found.findLast((match) => match?.[1] === tag)?.[2]
}

/** The same from `docker manifest push`, whose only line it is. */
export function digestOfManifestPush(lines: readonly string[]): string | undefined {
  return lines
    .map((line) => /^sha256:([0-9a-f]{64})$/.exec(line.trim())?.[1])
    .findLast((digest) => digest !== undefined)
}

/**
 * The same from the image's `RepoDigests`, which the engine remembers of every push and pull; undefined unless there is exactly one for the
 * repository.
 * @param line `["registry.example.com/team/app@sha256:..."]`
 */
export function onlyRepoDigest(line: string, { gun }: TaggedReference): string | undefined {
  const digests = readList(line).flatMap((text) => {
    try {
      const reference = parseImageReference(text)
      return reference.gun === gun && reference.digest !== undefined ? [reference.digest] : []
    } catch {
      return []
    }
  })
  return digests.length === 1 ? digests[0] : undefined
}

function readList(line: string): readonly string[] {
  try {
    const list: unknown = JSON.parse(line)
    return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : []
  } catch {
    return []
  }
}
