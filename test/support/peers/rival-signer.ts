// Somebody else who signs in the same repository, legitimately: the owner's keys and a delegation `targets/rival` of its own.
import {
  editTargets,
  newRoot,
  newTargets,
  parseRoleName,
  parseTag,
  type PublicKey,
  RELEASES,
  RepositoryVerifier,
  ROOT,
  SNAPSHOT,
  TARGETS,
  targetsOf,
  TIMESTAMP,
  type Gun,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { codeOf } from '../../../src/domain/port-faults.ts'
import { ANONYMOUS } from '../../../src/net/credentials.ts'
import { NotaryClient } from '../../../src/notary/client.ts'
import { newRootKey, newSigningKey, signFile } from '../fakes/signing-key.ts'
import type { Scope } from '../scope.ts'
import type { NotaryServer } from './notary-server.ts'

export const RIVAL = parseRoleName('targets/rival')
const YEAR_MS = 365 * 86_400_000
const TIMEOUTS = { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 }

export class RivalSigner {
  readonly gun: Gun
  /** The pin of the repository. */
  readonly rootKeyId: string
  /** Every tag that was published in `targets/releases`, with its digest. */
  readonly signed = new Map<string, string>()
  readonly #client: NotaryClient
  readonly #rootKey
  readonly #targetsKey = newSigningKey()
  readonly #key = newSigningKey()

  private constructor(scope: Scope, notary: NotaryServer, gun: Gun) {
    this.gun = gun
    this.#rootKey = newRootKey(gun)
    this.rootKeyId = this.#rootKey.publicKey.tufKeyId
    const tls = { caPem: notary.ca.certificatePem }
    const client = new NotaryClient({
      url: notary.url,
      tls,
      timeouts: TIMEOUTS,
      tokenRealms: [],
      credentials: ANONYMOUS,
    })
    scope.add(() => client.close())
    this.#client = client
  }

  /** A new repository in which the rival signs alone. */
  static async create(scope: Scope, notary: NotaryServer, gun: Gun): Promise<RivalSigner> {
    const rival = new RivalSigner(scope, notary, gun)
    await rival.#createRepository()
    return rival
  }

  /** The owner lets that key sign as `targets/countersign` and in `targets/releases`, beside the rival. */
  async delegateTo(key: PublicKey): Promise<void> {
    await this.#client.publish(this.gun, new Map([[TARGETS, this.#targets(2, key)]]))
  }

  /**
   * Publishes one entry; after a lost race again, upon what is there then. By default `targets/rival` and `targets/releases` in one
   * update, as `docker trust sign` does.
   */
  async sign(tag: string, sha256: string, roles: readonly RoleName[] = [RELEASES, RIVAL]): Promise<void> {
    for (;;) {
      const trusted = await this.#load()
      const change = { kind: 'put', name: parseTag(tag), sha256, length: 1000 } as const
      const files = roles.map((role) => {
        const version = (targetsOf(trusted, role)?.metadata.version ?? 0) + 1
        const unsigned = editTargets(trusted, role, [change], { version, expiresAt: inAYear() })
        if (unsigned === undefined) throw new Error(`${tag} is there already.`)
        return [role, signFile(unsigned, [this.#key])] as const
      })
      try {
        await this.#client.publish(this.gun, new Map(files))
        if (roles.includes(RELEASES)) this.signed.set(tag, sha256)
        return
      } catch (error) {
        if (codeOf(error) !== 'NOTARY_CONFLICT') throw error
      }
    }
  }

  async #load(): Promise<TrustedRepository> {
    const pin = { kind: 'certificates', tufKeyIds: [this.#rootKey.publicKey.tufKeyId] } as const
    const verifier = new RepositoryVerifier({ gun: this.gun, pin, now: new Date() })
    for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
      verifier.accept(await this.#client.read(this.gun, request.fileName, request.maxBytes))
    }
    return verifier.result()
  }

  async #createRepository(): Promise<void> {
    const root = newRoot({
      version: 1,
      expiresAt: inAYear(),
      rootKeys: [this.#rootKey.publicKey],
      targetsKeys: [this.#targetsKey.publicKey],
      snapshotKeys: [await this.#client.serverKey(this.gun, SNAPSHOT)],
      timestampKeys: [await this.#client.serverKey(this.gun, TIMESTAMP)],
    })
    const first = [RELEASES, RIVAL].map(
      (role) => [role, signFile(newTargets({ role, version: 1, expiresAt: inAYear() }), [this.#key])] as const,
    )
    await this.#client.publish(
      this.gun,
      new Map([[ROOT, signFile(root, [this.#rootKey])], [TARGETS, this.#targets(1)], ...first]),
    )
  }

  #targets(version: number, other?: PublicKey): Uint8Array {
    const both = [this.#key.publicKey, ...(other === undefined ? [] : [other])]
    const delegations = [
      { name: RELEASES, keys: both, paths: [''], threshold: 1 },
      { name: RIVAL, keys: [this.#key.publicKey], paths: [''], threshold: 1 },
      ...(other === undefined
        ? []
        : [{ name: parseRoleName('targets/countersign'), keys: [other], paths: [''], threshold: 1 }]),
    ]
    return signFile(newTargets({ role: TARGETS, version, expiresAt: inAYear(), delegations }), [this.#targetsKey])
  }
}

function inAYear(): Date {
  return new Date(Date.now() + YEAR_MS)
}
