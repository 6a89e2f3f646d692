// Random histories of two repositories: owners who publish and rotate, a trust server that loses answers, restarts, deletes and
// replays any files it ever saw in any mixture. No signed snapshot or timestamp takes a role back, and a client with a cache accepts
// every next state.
import {
  parseRoot,
  parseSnapshot,
  parseTargets,
  parseTimestamp,
  parseRoleName,
  hexOfBase64Digest,
  RELEASES,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type KnownVersion,
  type RoleName,
} from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { PROPERTY_TIMEOUT_MS, runs } from '../support/arbitraries.ts'
import { EVIDENCE, TestKeyHolder } from '../support/key-holder.ts'
import { sha256Of } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { remembered, ServedRepository } from '../support/served-repository.ts'
import { testKey } from '../support/test-keys.ts'

const ALICE = parseRoleName('targets/alice')

/** What an owner, an operator of the machine, or a hostile trust server does. Numbers pick among what there is. */
type Act =
  | { readonly kind: 'publish'; readonly roles: readonly RoleName[]; readonly skip: number }
  | { readonly kind: 'rotate-server-key'; readonly role: RoleName }
  | { readonly kind: 'rotate-root' | 'rotate-targets' | 'rotate-alice' | 'revoke-alice' | 'drop-or-add-alice' }
  | { readonly kind: 'orphan-targets' | 'delete' | 'recreate' | 'permit-and-recreate' | 'restart' | 'lose-answer' }
  | { readonly kind: 'start-again'; readonly sameKeys: boolean }
  | { readonly kind: 'snapshot-to-client' }
  | { readonly kind: 'refresh'; readonly role: 'snapshot' | 'timestamp'; readonly hours: number }
  | { readonly kind: 'replay'; readonly picks: readonly number[] }
  | { readonly kind: 'replay-snapshot'; readonly pick: number }

const roles = fc.subarray([TARGETS, RELEASES, ALICE], { minLength: 1 })
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('publish' as const), roles, skip: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('rotate-server-key' as const),
      role: fc.constantFrom(SNAPSHOT, TIMESTAMP),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'rotate-root' as const,
        'rotate-targets' as const,
        'rotate-alice' as const,
        'revoke-alice' as const,
        'drop-or-add-alice' as const,
        'snapshot-to-client' as const,
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'orphan-targets' as const,
        'delete' as const,
        'recreate' as const,
        'permit-and-recreate' as const,
        'restart' as const,
        'lose-answer' as const,
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('start-again' as const), sameKeys: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('refresh' as const),
      role: fc.constantFrom('snapshot' as const, 'timestamp' as const),
      hours: fc.nat(2),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('replay' as const),
      picks: fc.array(fc.nat(200), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('replay-snapshot' as const), pick: fc.nat(50) }) },
)

/** One repository, its owner, its hostile server and one client with a cache. */
class Actor {
  readonly served: ServedRepository
  readonly #holder: TestKeyHolder
  /** Everything ever uploaded, by anybody. */
  readonly #uploaded: { readonly role: string; readonly bytes: Uint8Array }[] = []
  /** SHA-256 of files that a snapshot listed before an operator let the versions start again. */
  readonly #past = new Set<string>()
  /** Of those since. */
  #present = new Set<string>()
  #isPublished = true
  #keys = 0
  #checked = 0
  #highest = new Map<string, number>()
  #listed = new Set<string>()
  #client: { readonly highest: Map<RoleName, KnownVersion>; readonly root: Uint8Array } | undefined

  constructor(holder: TestKeyHolder, served: ServedRepository) {
    this.#holder = holder
    this.served = served
    this.#note(served.files(ROOT, TARGETS, RELEASES, ALICE))
    this.check()
  }

  async act(act: Act): Promise<void> {
    const { served } = this
    const { builder } = served
    switch (act.kind) {
      case 'publish': {
        const known = act.roles.filter((role) => builder.roles.has(role))
        // Alice alone, while she is dropped.
        if (known.length === 0) return
        for (const role of known) builder.role(role).version += act.skip
        builder.nextVersions(...known)
        return this.#own(...known)
      }
      case 'rotate-server-key':
        if (!this.#isPublished) return
        builder.nextRoot()
        await served.takeKeys([act.role], true)
        return this.#own(ROOT)
      case 'rotate-root':
        if (!this.#isPublished) return
        builder.nextRoot((root) => (root.keys = [builder.rootKey(`root ${++this.#keys}`)]))
        return this.#own(ROOT)
      case 'rotate-targets':
        if (!this.#isPublished) return
        builder.nextRoot().nextVersions(TARGETS)
        builder.role(TARGETS).keys = [testKey(`targets ${++this.#keys}`)]
        return this.#own(ROOT, TARGETS)
      case 'orphan-targets':
        if (!this.#isPublished) return
        builder.nextRoot()
        builder.role(TARGETS).keys = [testKey(`targets ${++this.#keys}`)]
        await this.#refused('UPDATE_ORPHANS_TARGETS', ROOT)
        builder.nextVersions(TARGETS)
        return this.#own(ROOT, TARGETS)
      case 'rotate-alice':
      case 'revoke-alice':
        if (!builder.roles.has(ALICE)) return
        if (act.kind === 'revoke-alice') {
          // Her file stays as she signed it, until somebody publishes the next one.
          const alice = builder.role(ALICE)
          alice.signers ??= alice.keys
          alice.keys = [testKey(`alice ${++this.#keys}`)]
          builder.nextVersions(TARGETS)
          return this.#own(TARGETS)
        }
        builder.role(ALICE).keys = [testKey(`alice ${++this.#keys}`)]
        builder.nextVersions(TARGETS, ALICE)
        return this.#own(TARGETS, ALICE)
      case 'drop-or-add-alice': {
        const { version } = builder.roles.get(ALICE) ?? { version: this.#highest.get(ALICE) ?? 0 }
        if (builder.roles.delete(ALICE)) {
          builder.nextVersions(TARGETS)
          return this.#own(TARGETS)
        }
        builder.delegate(ALICE, { keys: [testKey(`alice ${++this.#keys}`)] }).nextVersions(TARGETS)
        builder.role(ALICE).version = Math.max(version, this.#highest.get(ALICE) ?? 0) + 1
        return this.#own(TARGETS, ALICE)
      }
      case 'snapshot-to-client':
        if (!this.#isPublished) return
        builder.nextRoot()
        builder.role(SNAPSHOT).keys = [testKey(`client snapshot ${++this.#keys}`)]
        return this.#own(ROOT)
      case 'delete':
        await served.delete()
        this.#isPublished = false
        // Its trust server forgets all but the roots; so does the list of what must be listed.
        this.#listed.clear()
        return
      case 'recreate':
        if (this.#isPublished) return
        builder.nextRoot().nextVersions(TARGETS, RELEASES, ...(builder.roles.has(ALICE) ? [ALICE] : []))
        this.#isPublished = true
        return this.#own(ROOT, TARGETS, RELEASES, ...(builder.roles.has(ALICE) ? [ALICE] : []))
      case 'permit-and-recreate':
        if (this.#isPublished) return
        await this.#holder.operator.call('permit-recreation', {
          gun: served.gun,
          versions: 'go-on',
          reason: 'test',
          evidence: EVIDENCE,
        })
        return this.act({ kind: 'recreate' })
      case 'start-again': {
        if (this.#isPublished) await this.act({ kind: 'delete' })
        const permit = { gun: served.gun, versions: 'start-again', reason: 'test', evidence: EVIDENCE } as const
        await this.#holder.operator.call('permit-recreation', permit)
        // Only what this says may start again does: snapshot and timestamp go on.
        for (const role of [...this.#highest.keys()]) {
          if (role !== SNAPSHOT && role !== TIMESTAMP) this.#highest.delete(role)
        }
        for (const sha256 of this.#present) this.#past.add(sha256)
        this.#present.clear()
        this.#listed.clear()
        this.#client = undefined
        served.startAgain()
        if (!act.sameKeys) {
          served.builder.role(ROOT).keys = [served.builder.rootKey(`root ${++this.#keys}`)]
          served.builder.role(TARGETS).keys = [testKey(`targets ${this.#keys}`)]
        }
        await served.takeKeys()
        // A file of old with the same bytes would be refused.
        served.builder.put(TARGETS, 'life', `${this.#past.size}`)
        for (const role of [ROOT, TARGETS, RELEASES, ALICE]) {
          served.builder.role(role).expiresAt = new Date(
            served.builder.role(role).expiresAt.getTime() + 1000 * ++this.#keys,
          )
        }
        this.#isPublished = true
        return this.#own(ROOT, TARGETS, RELEASES, ALICE)
      }
      case 'refresh':
        if (!this.#isPublished) return
        this.#holder.now = new Date(this.#holder.now.getTime() + act.hours * 3_600_000)
        if (act.role === 'snapshot' && this.#isClientHeld()) return
        await served.refresh(act.role)
        return
      case 'lose-answer': {
        if (!this.#isPublished) return
        // Signed, and the trust server crashed: it asks again, after the key holder was restarted.
        builder.nextVersions(RELEASES)
        const files = this.#filesOf(RELEASES)
        const request = { gun: served.gun, files: [...files.keys()], evidence: EVIDENCE }
        const first = await this.#holder.trustServer.call('serve-update', request, files)
        await this.#restart()
        this.#note(files)
        expect(await served.send(files)).to.deep.equal({ ...first.response, repeated: true })
        return
      }
      case 'restart':
        return this.#restart()
      case 'replay': {
        const files = new Map<string, Uint8Array>()
        for (const pick of act.picks) {
          const file = this.#uploaded[pick % this.#uploaded.length]
          if (file !== undefined) files.set(file.role, file.bytes)
        }
        return this.#hostile(files)
      }
      case 'replay-snapshot':
        return this.#hostile(new Map([[SNAPSHOT, served.history[act.pick % served.history.length] ?? Buffer.alloc(0)]]))
    }
  }

  /** Holds everything signed since the last time against everything signed before, and lets the client come. */
  check(): void {
    for (; this.#checked < this.served.history.length; this.#checked++) {
      const bytes = this.served.history[this.#checked] ?? Buffer.alloc(0)
      if (Buffer.from(bytes).includes('"_type":"Timestamp"')) {
        this.#raise(TIMESTAMP, parseTimestamp(bytes).metadata.version, true)
      } else this.#checkSnapshot(bytes)
    }
    if (!this.#isPublished) return
    const trusted = this.served.verify(this.#client?.highest, this.#client?.root)
    const highest = this.#client?.highest ?? new Map<RoleName, KnownVersion>()
    for (const [role, known] of remembered(trusted)) highest.set(role, known)
    this.#client = { highest, root: trusted.root.bytes }
  }

  #checkSnapshot(bytes: Uint8Array): void {
    const { version, meta } = parseSnapshot(bytes).metadata
    this.#raise(SNAPSHOT, version, true)
    for (const [role, listed] of meta) {
      const hex = hexOfBase64Digest(listed.hashes.get('sha256') ?? '')
      const file = this.#uploaded.find((one) => sha256Of(one.bytes) === hex)
      expect(file, `${role} in snapshot ${version} was never uploaded`).to.not.equal(undefined)
      expect(this.#past.has(hex), `${role} in snapshot ${version} is of an earlier life`).to.equal(false)
      this.#present.add(hex)
      this.#raise(role, versionOf(role, file?.bytes ?? Buffer.alloc(0)), false)
    }
    if (!this.#isClientHeld()) {
      expect(
        [...this.#listed].filter((role) => !meta.has(role)),
        'entries vanished',
      ).to.deep.equal([])
    }
    this.#listed = new Set(meta.keys())
  }

  #raise(role: string, version: number, strictly: boolean): void {
    const highest = this.#highest.get(role) ?? 0
    if (strictly) expect(version, role).to.be.greaterThan(highest)
    else expect(version, role).to.be.at.least(highest)
    this.#highest.set(role, version)
  }

  #isClientHeld(): boolean {
    return this.served.builder.role(SNAPSHOT).keys.some(({ privateKey }) => privateKey !== testKey('nobody').privateKey)
  }

  #filesOf(...names: RoleName[]): Map<string, Uint8Array> {
    if (!this.#isClientHeld()) return this.served.files(...names)
    this.served.builder.role(SNAPSHOT).version = (this.#highest.get(SNAPSHOT) ?? 0) + 1
    return this.served.files(...names, SNAPSHOT)
  }

  /** What the owner publishes is taken, unless the repository is deleted. */
  async #own(...names: RoleName[]): Promise<void> {
    for (const name of names) delete this.served.builder.role(name).signers
    const files = this.#filesOf(...names)
    this.#note(files)
    if (this.#isPublished) await this.served.send(files)
    else await this.#hostile(files)
  }

  async #refused(code: string, ...names: RoleName[]): Promise<void> {
    const files = this.#filesOf(...names)
    this.#note(files)
    try {
      await this.served.send(files)
    } catch (error) {
      expect((error as KeyHolderError).code).to.equal(code)
      return
    }
    expect.fail(`${code} did not come`)
  }

  /** Whatever comes of it; what is signed is served and checked like everything else. */
  async #hostile(files: Map<string, Uint8Array>): Promise<void> {
    try {
      await this.served.send(files)
      this.#isPublished = true
    } catch (error) {
      if (!(error instanceof KeyHolderError) || error.code === 'KEY_HOLDER_INTERNAL') throw error
    }
  }

  async #restart(): Promise<void> {
    await this.#holder.stop()
    await this.#holder.start()
  }

  #note(files: ReadonlyMap<string, Uint8Array>): void {
    for (const [role, bytes] of files) this.#uploaded.push({ role, bytes })
  }
}

function versionOf(role: string, bytes: Uint8Array): number {
  return (role === ROOT ? parseRoot(bytes) : parseTargets(bytes, parseRoleName(role))).metadata.version
}

describe('the sequence of snapshots and timestamps', () => {
  it('takes no role back, whatever happens; clients follow', async () => {
    const accepted = { acts: 0, signed: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(1), act), { minLength: 10, maxLength: 40 }), async (history) => {
        const scope = new Scope()
        try {
          const holder = await TestKeyHolder.start(scope)
          const actors = []
          for (const name of ['a', 'b']) {
            const gun = `registry.example.com/team/${name}`
            actors.push(new Actor(holder, await ServedRepository.create(holder, gun)))
          }
          for (const [index, one] of history) {
            const actor = actors[index]
            await actor?.act(one)
            for (const each of actors) each.check()
            accepted.acts++
          }
          accepted.signed += actors.reduce((sum, { served }) => sum + served.history.length, 0)
        } finally {
          await scope.close()
        }
      }),
      runs(6),
    )
    // Most acts end in something signed: the property is not about refusals.
    expect(accepted.signed).to.be.greaterThan(accepted.acts / 2)
  }).timeout(PROPERTY_TIMEOUT_MS)
})
