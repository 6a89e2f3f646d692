// Docker's grammar of image references, and the GUN that follows from one. Pure; opens no connection and guesses no tag.
// Source: distribution/reference v0.6.0 reference.go, regexp.go, normalize.go (ParseNormalizedNamed, splitDockerDomain).
import { CodedError, type Gun, parseGun, parseTag, type TargetName } from '@countersign/tuf'
import { DomainError } from './errors.ts'

export interface ImageReference {
  /** Host and optional port as Docker names it: `docker.io`, `registry.example.com:5000`. */
  readonly registry: string
  /** The path within the registry: `library/alpine`. */
  readonly repository: string
  /** `registry/repository`: the name of the trust collection, as `docker trust` uses it. */
  readonly gun: Gun
  /** Present only where it was written; `latest` is never assumed. */
  readonly tag?: TargetName
  /** 64 hex digits of the SHA-256, without `sha256:`; present only where it was written. */
  readonly digest?: string
  /** The normalised reference: `docker.io/library/alpine:3.20@sha256:...`. */
  readonly text: string
}

/** An image reference whose tag was written: the only kind that can be signed. */
export type TaggedReference = ImageReference & { readonly tag: TargetName }

const DEFAULT_REGISTRY = 'docker.io'
const LEGACY_DEFAULT_REGISTRY = 'index.docker.io'
const OFFICIAL_PREFIX = 'library/'

/** Characters of registry and repository together: NameTotalLengthMax, and the width of Notary's `gun` column. */
const MAX_NAME_LENGTH = 255
/** Name, tag (128), digest (64) and their separators, with room for other digests so that they get their own code. */
const MAX_TEXT_LENGTH = 1024

const HOST =
  /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*$/
const IPV6_HOST = /^\[[a-fA-F0-9:]+\]$/
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/
const SHA256_DIGEST = /^sha256:([0-9a-f]{64})$/
const IMAGE_ID = /^[a-f0-9]{64}$/

/**
 * Reads an image reference as Docker does: `alpine` is `docker.io/library/alpine`.
 * @throws DomainError IMAGE_REFERENCE_INVALID, IMAGE_DIGEST_UNSUPPORTED (a digest other than sha256)
 */
export function parseImageReference(text: string): ImageReference {
  if (text.length === 0) throw invalid(text, 'it is empty')
  if (text.length > MAX_TEXT_LENGTH) throw invalid(text, 'it is too long')
  const { rest, digest } = cutDigest(text)
  if (IMAGE_ID.test(rest)) throw invalid(text, 'it is an image ID, not a name')
  const { name, tag } = cutTag(text, rest)
  const { registry, repository } = splitRegistry(name)
  checkRegistry(text, registry)
  checkRepository(text, repository)
  const gunText = `${registry}/${repository}`
  if (gunText.length > MAX_NAME_LENGTH) throw invalid(text, `its name is longer than ${MAX_NAME_LENGTH} characters`)
  const parsed = typedParts(text, gunText, tag)
  return {
    registry,
    repository,
    ...parsed,
    ...(digest === undefined ? {} : { digest }),
    text: gunText + (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@sha256:${digest}`),
  }
}

/**
 * Refuses a reference without a written tag. People who write `app` mean `app:latest`, and a signature must not rest on a guess;
 * a digest alone names no entry of the targets metadata.
 * @throws DomainError IMAGE_TAG_MISSING
 */
export function requireTag(image: ImageReference): TaggedReference {
  const { tag } = image
  if (tag === undefined) {
    throw new DomainError('IMAGE_TAG_MISSING', `Write the tag that is meant, for example ${image.gun}:latest.`, {
      image: image.text,
    })
  }
  return { ...image, tag }
}

function cutDigest(text: string): { rest: string; digest?: string } {
  const at = text.indexOf('@')
  if (at < 0) return { rest: text }
  const digestText = text.slice(at + 1)
  if (!DIGEST.test(digestText)) throw invalid(text, 'its digest is malformed')
  const digest = SHA256_DIGEST.exec(digestText)?.[1]
  if (digest !== undefined) return { rest: text.slice(0, at), digest }
  if (digestText.startsWith('sha256:')) throw invalid(text, 'its digest is not 64 lower-case hex digits')
  throw new DomainError('IMAGE_DIGEST_UNSUPPORTED', 'Name the image by its sha256 digest.', { image: shorten(text) })
}

/** The tag stands after the last colon that no slash follows; a port stands before a slash. */
function cutTag(text: string, rest: string): { name: string; tag?: string } {
  const colon = rest.lastIndexOf(':')
  if (colon < 0 || colon < rest.lastIndexOf('/')) return { name: rest }
  const tag = rest.slice(colon + 1)
  if (!TAG.test(tag)) throw invalid(text, 'its tag is malformed')
  return { name: rest.slice(0, colon), tag }
}

/** normalize.go splitDockerDomain: the first component is a registry if it looks like a host, else it belongs to the path. */
function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/')
  if (slash < 0) return { registry: DEFAULT_REGISTRY, repository: OFFICIAL_PREFIX + name }
  const first = name.slice(0, slash)
  const isRegistry = first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first
  const registry = !isRegistry || first === LEGACY_DEFAULT_REGISTRY ? DEFAULT_REGISTRY : first
  const repository = isRegistry ? name.slice(slash + 1) : name
  const isOfficial = registry === DEFAULT_REGISTRY && !repository.includes('/')
  return { registry, repository: isOfficial ? OFFICIAL_PREFIX + repository : repository }
}

function checkRegistry(text: string, registry: string): void {
  const [, host = '', port] = /^(.*?)(?::([0-9]+))?$/.exec(registry) ?? []
  if (!HOST.test(host) && !IPV6_HOST.test(host)) throw invalid(text, 'its registry host is malformed')
  if (port !== undefined && (port.length > 5 || Number(port) < 1 || Number(port) > 65_535)) {
    throw invalid(text, 'its registry port is out of range')
  }
}

function checkRepository(text: string, repository: string): void {
  if (repository.toLowerCase() !== repository) throw invalid(text, 'its repository name must be lower case')
  if (!repository.split('/').every((component) => PATH_COMPONENT.test(component))) {
    throw invalid(text, 'its repository name is malformed')
  }
}

function typedParts(text: string, gun: string, tag: string | undefined): { gun: Gun; tag?: TargetName } {
  try {
    return { gun: parseGun(gun), ...(tag === undefined ? {} : { tag: parseTag(tag) }) }
  } catch (cause) {
    if (cause instanceof CodedError) throw invalid(text, 'it names no possible trust collection', cause)
    throw cause
  }
}

function invalid(text: string, why: string, cause?: Error): DomainError {
  const options = cause === undefined ? undefined : { cause }
  return new DomainError(
    'IMAGE_REFERENCE_INVALID',
    `This is not an image reference: ${why}.`,
    { image: shorten(text), why },
    options,
  )
}

function shorten(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}...` : text
}
