// A repository of Countersign with thousands of tags, soon: signed by its key holder over the service socket, as the daemon has it
// done, and published to the same server. Preparation; nothing here is measured.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseGun, parseRoleName, parseTag } from '@countersign/tuf'
import { systemClock } from '../src/app/system.ts'
import { KeyHolderClient } from '../src/holder/client.ts'
import { ANONYMOUS, passwordSource } from '../src/net/credentials.ts'
import { NotaryClient } from '../src/notary/client.ts'
import { verifyPublished } from '../src/service/load-repository.ts'
import type { Countersign } from '../test/support/countersign.ts'
import type { TrustServerAddress } from './trust-server-client.ts'

/** The key holder takes so many changes at once. */
const CHANGES_AT_ONCE = 1000
const ROOT_MAX_BYTES = 1024 * 1024
const TIMEOUTS = { connectMs: 5000, headersMs: 60_000, totalMs: 120_000 }

/** Whose key holder signs, and where that is published. */
export interface Filled {
  readonly countersign: Countersign
  readonly server: TrustServerAddress
}

export async function fill(
  { countersign, server: { url, caFile, login } }: Filled,
  repository: string,
  roles: readonly string[],
  tags: readonly string[],
): Promise<void> {
  const gun = parseGun(repository)
  const source = new NotaryClient({
    url,
    tls: { caPem: readFileSync(caFile, 'utf8') },
    timeouts: TIMEOUTS,
    tokenRealms: [`${url}/token`],
    credentials:
      login === undefined
        ? ANONYMOUS
        : passwordSource(
            () => login.username,
            () => login.password,
          ),
  })
  const keyHolder = new KeyHolderClient(countersign.serviceSocket)
  try {
    const root = await source.read(gun, 'root.json', ROOT_MAX_BYTES)
    if (root === undefined) throw new Error(`${gun} has no root.`)
    for (let start = 0; start < tags.length; start += CHANGES_AT_ONCE) {
      const custody = await keyHolder.repositoryStatus(gun)
      const base = await verifyPublished({ source, clock: systemClock }, gun, root, custody)
      const signed = await keyHolder.changeTargets({
        publication: `fill-${createHash('sha256').update(`${gun} ${start}`).digest('hex').slice(0, 32)}`,
        gun,
        roles: roles.map(parseRoleName),
        changes: tags.slice(start, start + CHANGES_AT_ONCE).map((tag) => ({
          change: { kind: 'put', name: parseTag(tag), sha256: digestOf(tag), length: 528 },
          evidence: { request: 'bench', principal: 'bench' },
        })),
        base: base.files,
      })
      await source.publish(gun, new Map(signed.map(({ role, bytes }) => [role, bytes])))
    }
  } finally {
    keyHolder.close()
    await source.close()
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
