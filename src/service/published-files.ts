// Everything that a stock client needs of a repository, as it is published: verified from the pinned root, and with the roots that
// came before it, for clients that still hold one of those.
import {
  type Gun,
  parseRoot,
  ROOT_MAX_BYTES,
  sha256Hex,
  TIMESTAMP,
  TufError,
  type TrustedRepository,
  verifyFiles,
} from '@countersign/tuf'
import type { Clock, TrustSource } from '../domain/ports.ts'
import type { PublishedFile } from './services.ts'

/** The pinned root and what was verified from it. Files are named as clients ask for them; each one once. */
export async function publishedFiles(
  ports: { readonly source: TrustSource; readonly clock: Clock },
  trusted: TrustedRepository,
): Promise<readonly PublishedFile[]> {
  const roots = [...(await olderRoots(ports, trusted)), ...trusted.rootChain]
  const described = [...trusted.files].filter(([name]) => /^(?!root\.).+\.[0-9a-f]{64}\.json$/.test(name))
  return [
    ...roots.map((bytes) => fileOf(`${parseRoot(bytes).metadata.version}.root.json`, bytes)),
    fileOf(`${TIMESTAMP}.json`, trusted.timestamp.bytes),
    ...described.map(([name, bytes]) => fileOf(name, bytes)),
  ]
}

/**
 * The roots before the first one trusted, from version 1 on. The pinned root has to follow from them, as for a client that holds
 * the oldest; where it does not (an old one is missing, or its certificates have expired) no client could follow, and there are none.
 */
async function olderRoots(
  { source, clock }: { readonly source: TrustSource; readonly clock: Clock },
  trusted: TrustedRepository,
): Promise<readonly Uint8Array[]> {
  const [pinned] = trusted.rootChain
  if (pinned === undefined) return []
  const files = new Map<string, Uint8Array>([[`${parseRoot(pinned).metadata.version}.root.json`, pinned]])
  for (let version = 1; version < parseRoot(pinned).metadata.version; version++) {
    const bytes = await readRoot(source, trusted.gun, version)
    if (bytes === undefined) return []
    files.set(`${version}.root.json`, bytes)
  }
  const first = files.get('1.root.json')
  if (first === undefined || first === pinned) return []
  try {
    const all = new Map([...trusted.files, ...files])
    const { rootChain } = verifyFiles(all, { gun: trusted.gun, pin: { kind: 'root', bytes: first }, now: clock.now() })
    const position = rootChain.findIndex((bytes) => sha256Hex(bytes) === sha256Hex(pinned))
    return rootChain.slice(0, Math.max(position, 0))
  } catch (error) {
    if (error instanceof TufError) return []
    throw error
  }
}

/** A longer file than asked for is no root. */
async function readRoot(source: TrustSource, gun: Gun, version: number): Promise<Uint8Array | undefined> {
  const bytes = await source.read(gun, `${version}.root.json`, ROOT_MAX_BYTES)
  return bytes === undefined || bytes.byteLength > ROOT_MAX_BYTES ? undefined : bytes
}

function fileOf(name: string, bytes: Uint8Array): PublishedFile {
  return { name, sha256: sha256Hex(bytes), bytes }
}
