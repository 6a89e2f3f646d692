// A first signature in a restored key holder, with nothing published: a repository is made for it, a tag signed, snapshot and timestamp signed
// as for a trust server, and all of it verified as a client does. It uses every socket, and no key that was in the backup.
import { randomBytes } from 'node:crypto'
import {
  parseGun,
  parseRoleName,
  parseRoot,
  RELEASES,
  ROOT,
  sha256Hex,
  verifyFiles,
  type Gun,
  type TrustedRepository,
} from '@countersign/tuf'
import { connectKeyHolder, type KeyHolderConnection } from '../../holder/client.ts'
import type { RunningKeyHolder } from '../../key-holder/main.ts'
import { CliError } from '../errors.ts'

/** A name that nobody can have (RFC 2606), and a limits file that allows nothing else. */
const REHEARSAL_HOST = 'drill.invalid'
export const REHEARSAL_LIMITS = `repositories:\n  - { gun: '${REHEARSAL_HOST}/*', initialize: true, serve: true }\nkeysPerHour: 1000000\npendingRepositories: 1000000\n`

const EVIDENCE = { request: 'backup-drill', principal: 'backup drill' }
const TAG = 'rehearsal'
const PUBLICATION = 'backup-drill'

export interface Rehearsal {
  /** In milliseconds. */
  readonly times: { readonly sign: number; readonly verify: number }
}

/** @throws CliError DRILL_FAILED; KeyHolderError; TufError */
export async function rehearse(running: RunningKeyHolder, now: Date): Promise<Rehearsal> {
  const begun = performance.now()
  const service = connectKeyHolder(running.serviceSocket)
  const trustServer = connectKeyHolder(running.trustServerSocket ?? '')
  try {
    const gun = parseGun(`${REHEARSAL_HOST}/${randomBytes(8).toString('hex')}`)
    const published = new Published(trustServer, gun)
    const { attachments } = await service.call('initialize-repository', {
      gun,
      root: { kind: 'online' },
      snapshotKey: await serverKey(trustServer, gun, 'snapshot'),
      timestampKey: await serverKey(trustServer, gun, 'timestamp'),
      signer: 'countersign',
      evidence: EVIDENCE,
    })
    await published.update(attachments)
    const base = published.base(now)
    const image = randomBytes(32)
    const digest = sha256Hex(image)
    const changed = await service.call(
      'change-targets',
      {
        publication: PUBLICATION,
        gun,
        roles: ['targets/countersign', RELEASES],
        changes: [{ kind: 'put', tag: TAG, sha256: digest, length: image.byteLength, evidence: EVIDENCE }],
        files: [...base.keys()],
      },
      base,
    )
    await published.update(changed.attachments)
    const signed = performance.now()
    const entry = published.verify(now).delegations.get(RELEASES)?.metadata.targets.get(TAG)
    if (entry === undefined || Buffer.from(entry.hashes.get('sha256') ?? '', 'base64').toString('hex') !== digest) {
      throw new CliError('DRILL_FAILED', 'What the restored key holder has signed is not what it was asked to sign.')
    }
    return { times: { sign: signed - begun, verify: performance.now() - signed } }
  } finally {
    service.close()
    trustServer.close()
  }
}

async function serverKey(trustServer: KeyHolderConnection, gun: Gun, role: 'snapshot' | 'timestamp') {
  const { response } = await trustServer.call('server-key', { gun, role, rotate: false, evidence: EVIDENCE })
  return response.key
}

/** What a trust server would serve, by the names that clients ask for. */
class Published {
  readonly #trustServer: KeyHolderConnection
  readonly #gun: Gun
  readonly #files = new Map<string, Uint8Array>()

  constructor(trustServer: KeyHolderConnection, gun: Gun) {
    this.#trustServer = trustServer
    this.#gun = gun
  }

  async update(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const request = { gun: this.#gun, files: [...files.keys()], evidence: EVIDENCE }
    const { attachments } = await this.#trustServer.call('serve-update', request, files)
    for (const [name, bytes] of [...files, ...attachments]) this.#put(name, bytes)
  }

  verify(now: Date, seen?: Map<string, Uint8Array>): TrustedRepository {
    const bytes = this.#files.get('root.json') ?? new Uint8Array()
    const files = seen === undefined ? this.#files : new Remembering(this.#files, seen)
    return verifyFiles(files, { gun: this.#gun, now, pin: { kind: 'root', bytes } })
  }

  /** The files that a verification asks for, and no others. */
  base(now: Date): Map<string, Uint8Array> {
    const seen = new Map<string, Uint8Array>()
    this.verify(now, seen)
    return seen
  }

  #put(name: string, bytes: Uint8Array): void {
    const role = parseRoleName(name)
    this.#files.set(`${role}.json`, bytes)
    this.#files.set(`${role}.${sha256Hex(bytes)}.json`, bytes)
    if (role === ROOT) this.#files.set(`${parseRoot(bytes).metadata.version}.root.json`, bytes)
  }
}

/** Remembers what was found in it. */
class Remembering extends Map<string, Uint8Array> {
  readonly #seen: Map<string, Uint8Array>

  constructor(files: ReadonlyMap<string, Uint8Array>, seen: Map<string, Uint8Array>) {
    super(files)
    this.#seen = seen
  }

  override get(name: string): Uint8Array | undefined {
    const bytes = super.get(name)
    if (bytes !== undefined) this.#seen.set(name, bytes)
    return bytes
  }
}
