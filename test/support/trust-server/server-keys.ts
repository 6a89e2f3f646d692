// Keys of a trust server that is spoken to over HTTP, ours or another.
import { METADATA_LIMITS, parseJson, parsePublicKey, SNAPSHOT, TIMESTAMP, type RoleName } from '@countersign/tuf'
import type { RepositoryBuilder } from '../repository-builder.ts'
import { testKey } from '../test-keys.ts'
import type { HttpCaller } from './server.ts'

/** Lists the key that the server gives out (GET), or a new one (POST), in the next root that is built. */
export async function takeServerKey(
  http: HttpCaller,
  builder: RepositoryBuilder,
  role: RoleName,
  method: 'GET' | 'POST' = 'GET',
): Promise<void> {
  const { body } = await http.call({ method, path: `/v2/${builder.gun}/_trust/tuf/${role}.key` })
  const publicKey = parsePublicKey(parseJson(body, METADATA_LIMITS))
  // What the builder signs with it itself is worth nothing.
  builder.role(role).keys = [{ privateKey: testKey(role).privateKey, publicKey }]
}

export async function takeServerKeys(http: HttpCaller, builder: RepositoryBuilder): Promise<void> {
  for (const role of [SNAPSHOT, TIMESTAMP]) await takeServerKey(http, builder, role)
}
