// The stock notary client as the other side of every comparison: its own keys, cache and repositories, nothing tuned.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRootCertificate, encodePrivateKeyFile, parsePrivateKeyFile, publicKeyOf } from '@countersign/tuf'
import { NotaryClient } from '../test/support/peers/notary-client.ts'
import type { Credentials } from '../test/support/peers/docker-registry.ts'
import type { NotaryServer } from '../test/support/peers/notary-server.ts'
import type { Scope } from '../test/support/scope.ts'
import type { TestKey } from '../test/support/test-keys.ts'

/** As test/support/peers/notary-client.ts gives it for keys of delegations. */
const PASSPHRASE = 'test passphrase'
/** What is signed does not matter to the client: it signs the digest that it is given. */
const LENGTH = 528

export class NativeClient {
  readonly #client: NotaryClient
  #count = 0

  constructor(scope: Scope, notary: Pick<NotaryServer, 'url' | 'caFile'>, login?: Credentials) {
    this.#client = new NotaryClient(scope, { notary, ...(login !== undefined && { login }) })
  }

  /** A new repository whose snapshot key the server holds, as Countersign makes them; with delegations to one key of this client. */
  async init(gun: string, roles: readonly string[]): Promise<void> {
    await this.#client.must(['init', gun, '-p'])
    await this.#client.must(['key', 'rotate', gun, 'snapshot', '-r'])
    const delegations = roles.filter((role) => role !== 'targets')
    if (delegations.length === 0) return
    const certificate = this.#makeDelegationKey(gun)
    for (const role of delegations) {
      await this.#client.must(['delegation', 'add', gun, role, certificate, '--all-paths', '-p'])
    }
  }

  /** Puts tags into the roles in one publication, as many `notary addhash` without `-p` and one `notary publish` do. */
  async fill(gun: string, roles: readonly string[], tags: readonly string[]): Promise<void> {
    const folder = join(this.#client.folder, 'tuf', gun, 'changelist')
    mkdirSync(folder, { recursive: true })
    for (const [position, tag] of tags.entries()) {
      for (const role of roles) writeFileSync(join(folder, changeName(position, role)), changeOf(role, tag))
    }
    await this.#client.must(['publish', gun])
  }

  /** Its key for targets of a repository. */
  targetsKey(gun: string): TestKey {
    const folder = join(this.#client.folder, 'private')
    for (const name of readdirSync(folder)) {
      const [file] = parsePrivateKeyFile(readFileSync(join(folder, name)), Buffer.from(PASSPHRASE))
      if (file?.role === 'targets' && file.gun === gun) {
        return { privateKey: file.privateKey, publicKey: publicKeyOf(file.privateKey) }
      }
    }
    throw new Error(`The client has no targets key for ${gun}.`)
  }

  /** `notary addhash -p` of a new tag. @returns milliseconds, from the start of the command to its end */
  async addOne(gun: string, roles: readonly string[]): Promise<number> {
    const tag = `native-${this.#count++}`
    const targets = roles.filter((role) => role !== 'targets').flatMap((role) => ['-r', role])
    const args = ['addhash', gun, tag, String(LENGTH), '--sha256', digestOf(tag).toString('hex'), ...targets, '-p']
    const start = performance.now()
    await this.#client.must(args)
    return performance.now() - start
  }

  /** @returns the path of its certificate */
  #makeDelegationKey(gun: string): string {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const notBefore = new Date()
    const notAfter = new Date(notBefore.getTime() + 365 * 86_400_000)
    const serialNumber = randomBytes(16)
    const certificate = join(this.#client.folder, `${randomBytes(8).toString('hex')}.crt`)
    writeFileSync(
      certificate,
      createRootCertificate({ commonName: gun, notBefore, notAfter, serialNumber, privateKey }),
    )
    const folder = join(this.#client.folder, 'private')
    mkdirSync(folder, { recursive: true })
    const key = { privateKey, role: 'delegation' }
    writeFileSync(
      join(folder, `${publicKeyOf(privateKey).canonicalKeyId}.key`),
      encodePrivateKeyFile(key, Buffer.from(PASSPHRASE), randomBytes(8), randomBytes(16)),
      { mode: 0o600 },
    )
    return certificate
  }
}

/** notary v0.7.0 client/changelist/file_changelist.go: files are applied in the order of their names. */
function changeName(position: number, role: string): string {
  return `${String(position).padStart(8, '0')}_${role.replaceAll('/', '-')}.change`
}

/** notary v0.7.0 client/changelist/change.go TUFChange; the data is the file description, in base64. */
function changeOf(role: string, tag: string): string {
  const meta = { length: LENGTH, hashes: { sha256: digestOf(tag).toString('base64') } }
  const data = Buffer.from(JSON.stringify(meta)).toString('base64')
  return JSON.stringify({ action: 'create', role, type: 'target', path: tag, data })
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
