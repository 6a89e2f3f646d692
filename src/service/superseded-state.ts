// A state of a repository that was published and superseded, by its timestamp: verified like the present one, but that it may be older
// than what is known.
import { type Gun, sha256Hex, TIMESTAMP, TufError, type TrustedRepository } from '@countersign/tuf'
import type { TrustSource } from '../domain/ports.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { verifyPublished } from './load-repository.ts'

/**
 * Undefined where it cannot be had or verified any more: nothing follows from it then.
 * @param timestamp SHA-256 of the file, in hex
 * @throws NotaryError
 */
export async function loadSuperseded(
  dependencies: Pick<ServiceDependencies, 'source' | 'repositories' | 'clock' | 'cache'>,
  gun: Gun,
  timestamp: string,
): Promise<TrustedRepository | undefined> {
  const root = dependencies.repositories.find(gun)?.root
  if (root === undefined) return undefined
  const source = at(dependencies.source, timestamp)
  try {
    return await verifyPublished({ ...dependencies, source }, gun, root.bytes, { roles: [] }, { acceptsExpired: true })
  } catch (error) {
    if (error instanceof TufError) return undefined
    throw error
  }
}

/** Everything below a timestamp is named by hash. */
function at(source: TrustSource, timestamp: string): TrustSource {
  return {
    read: async (gun, name, maxBytes) => {
      if (name !== `${TIMESTAMP}.json`) return source.read(gun, name, maxBytes)
      const bytes = await source.read(gun, `${TIMESTAMP}.${timestamp}.json`, maxBytes)
      return bytes !== undefined && sha256Hex(bytes) === timestamp ? bytes : undefined
    },
  }
}
