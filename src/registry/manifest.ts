// What kind of manifest raw bytes are. Pure. The bytes themselves are what is signed; this only refuses what must not be.
// OCI image-spec v1.1 manifest.md, image-index.md; distribution docs/spec/manifest-v2-2.md.
import { CodedError, isJsonArray, isJsonObject, parseJson, type JsonObject, type JsonValue } from '@countersign/tuf'
import { RegistryError } from './errors.ts'

export const MANIFEST_TYPES = {
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
} as const

/** What we accept, as an Accept header. Schema 1 is not in it: its digest is not that of the bytes. */
export const ACCEPTED_TYPES = Object.values(MANIFEST_TYPES).join(', ')

const INDEX_TYPES: readonly string[] = [MANIFEST_TYPES.dockerList, MANIFEST_TYPES.ociIndex]
const SCHEMA1_TYPES = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/
const MAX_DEPTH = 32
const MAX_PLATFORMS = 64
const MAX_PLATFORM_LENGTH = 64
/** The members that say what a document is. Go reads them in any case, so another spelling means two things to two clients. */
const TELLING_NAMES: ReadonlyMap<string, string> = new Map(
  ['schemaVersion', 'mediaType', 'manifests', 'config', 'layers', 'fsLayers'].map((name) => [folded(name), name]),
)
/** JSON numbers that are no plain integers. */
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/g

export interface Manifest {
  readonly mediaType: string
  /** `linux/amd64`, `linux/arm64/v8`, ...; the first 64; empty for a single manifest. */
  readonly platforms: readonly string[]
}

/**
 * Reads the kind of a manifest from its bytes and the type that the registry gave. Both must say the same.
 * @throws RegistryError MANIFEST_SCHEMA1_REFUSED, MANIFEST_TYPE_UNSUPPORTED, MANIFEST_TYPE_CONTRADICTORY, MANIFEST_MALFORMED
 */
export function readManifest(bytes: Uint8Array, contentType: string): Manifest {
  const served = (contentType.split(';')[0] ?? '').trim().toLowerCase()
  if (SCHEMA1_TYPES.test(served)) throw schema1()
  const document = parseManifest(bytes)
  for (const name of document.keys()) {
    if ((TELLING_NAMES.get(folded(name)) ?? name) !== name) throw malformed('a member name differs in case only')
  }
  if (document.get('schemaVersion') === 1) throw schema1()
  if (document.get('schemaVersion') !== 2) throw malformed('its schemaVersion is not 2')
  if (!(Object.values(MANIFEST_TYPES) as string[]).includes(served)) {
    throw new RegistryError(
      'MANIFEST_TYPE_UNSUPPORTED',
      'The registry serves a kind of manifest that cannot be signed.',
      {
        mediaType: served.slice(0, 128),
      },
    )
  }
  const own = document.get('mediaType')
  const isIndex = INDEX_TYPES.includes(served)
  // CVE-2021-41190: a document that is index and manifest at once means different images to different clients.
  if (
    (own !== undefined && own !== served) ||
    document.has('manifests') !== isIndex ||
    document.has('config') === isIndex ||
    document.has('layers') === isIndex ||
    document.has('fsLayers')
  ) {
    throw new RegistryError('MANIFEST_TYPE_CONTRADICTORY', 'The manifest is not of the type that the registry says.', {
      mediaType: served,
    })
  }
  return { mediaType: served, platforms: isIndex ? platformsOf(document) : [] }
}

function parseManifest(bytes: Uint8Array): JsonObject {
  let document: JsonValue
  try {
    document = parseTolerantly(bytes)
  } catch (cause) {
    throw malformed(cause instanceof CodedError ? String(cause.code) : 'it is not JSON', cause)
  }
  if (!isJsonObject(document)) throw malformed('it is not an object')
  return document
}

/**
 * The strict reader refuses fractions, which metadata never has; a manifest may carry them in members of its own. Nothing here reads
 * them, so they count as zero. Names that stand twice, bad UTF-8 and deep nesting stay refused.
 */
function parseTolerantly(bytes: Uint8Array): JsonValue {
  const limits = { maxBytes: bytes.byteLength, maxDepth: MAX_DEPTH }
  try {
    return parseJson(bytes, limits)
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'JSON_NUMBER') throw error
    return parseJson(withoutFractions(bytes), limits)
  }
}

/** Byte by byte, so that whatever is wrong elsewhere stays wrong. */
function withoutFractions(bytes: Uint8Array): Uint8Array {
  const parts = Buffer.from(bytes)
    .toString('latin1')
    .split(/("(?:[^"\\]|\\.)*")/)
  const outside = (text: string): string =>
    text.replace(NUMBER, (number) => (/^[0-9]{1,15}$/.test(number) ? number : '0'))
  return Buffer.from(parts.map((part) => (part.startsWith('"') ? part : outside(part))).join(''), 'latin1')
}

/** Equal for names that Go's encoding/json takes for the same; it folds the long s and the Kelvin sign too. */
function folded(name: string): string {
  return name.toUpperCase().toLowerCase()
}

function platformsOf(index: JsonObject): readonly string[] {
  const manifests = index.get('manifests')
  if (!isJsonArray(manifests)) throw malformed('its list of manifests is none')
  return manifests.slice(0, MAX_PLATFORMS).map((entry) => {
    const platform = isJsonObject(entry) ? entry.get('platform') : undefined
    if (!isJsonObject(platform)) return 'unknown'
    const parts = ['os', 'architecture', 'variant']
      .map((name) => platform.get(name))
      .filter((part) => typeof part === 'string')
    return parts
      .join('/')
      .slice(0, MAX_PLATFORM_LENGTH)
      .replace(/[^\x21-\x7e]/g, '?')
  })
}

function schema1(): RegistryError {
  return new RegistryError(
    'MANIFEST_SCHEMA1_REFUSED',
    'The image has a schema 1 manifest, which cannot be signed by digest. Push it again with a current tool.',
  )
}

function malformed(why: string, cause?: unknown): RegistryError {
  return new RegistryError('MANIFEST_MALFORMED', `The manifest is malformed: ${why}.`, { why }, { cause })
}
