// The trust server played by an attacker with its socket in hand, and with every file that was ever uploaded: whatever it asks for
// is refused with its code, recorded in the log, and no snapshot or timestamp is signed for it.
import { RELEASES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type JsonValue } from '@countersign/tuf'
import { expect } from 'chai'
import { KeyHolderError, type KeyHolderErrorCode } from '../../src/key-holder-protocol/errors.ts'
import type { OperationName } from '../../src/key-holder-protocol/operations.ts'
import { EVIDENCE, TestKeyHolder } from '../support/key-holder.ts'
import { NOW } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { remembered, SERVED_GUN, ServedRepository } from '../support/served-repository.ts'
import { testKey } from '../support/test-keys.ts'

type Files = Map<string, Uint8Array>

interface World {
  readonly holder: TestKeyHolder
  /** Published three times; `old` are the first files of each role, `now` the newest. */
  readonly served: ServedRepository
  readonly old: Files
  readonly now: Files
  /** Deleted after one publication. */
  readonly deleted: ServedRepository
  /** Another one with the same targets keys. */
  readonly other: ServedRepository
}

interface Attack {
  readonly name: string
  readonly code: KeyHolderErrorCode
  readonly reason?: string
  readonly act: (world: World) => Promise<unknown>
}

function update(world: World, files: Files, gun = SERVED_GUN): Promise<unknown> {
  return world.holder.trustServer.call('serve-update', { gun, files: [...files.keys()], evidence: EVIDENCE }, files)
}

/** Any request at all; what the types forbid is what an attacker sends. */
function send(world: World, operation: string, request: unknown, files?: Files): Promise<unknown> {
  return world.holder.trustServer.call(operation as OperationName, request as never, files)
}

function pick(files: Files, ...roles: string[]): Files {
  return new Map(roles.map((role) => [role, files.get(role) ?? Buffer.alloc(0)]))
}

/** The owner's next files with something about them changed, and the owner's own state put back afterwards. */
async function altered(world: World, change: (served: ServedRepository) => string[]): Promise<unknown> {
  const copy = new ServedRepository(world.holder)
  copy.builder.roles.clear()
  for (const [name, role] of world.served.builder.roles) {
    copy.builder.roles.set(name, { ...role, keys: [...role.keys], targets: new Map(role.targets) })
  }
  return update(world, copy.files(...change(copy)))
}

const ATTACKS: readonly Attack[] = [
  // taking a role back
  { name: 'an old targets file', code: 'UPDATE_VERSION', act: (w) => update(w, pick(w.old, 'targets')) },
  { name: 'an old delegation', code: 'UPDATE_VERSION', act: (w) => update(w, pick(w.old, 'targets/releases')) },
  { name: 'the newest files once more', code: 'UPDATE_VERSION', act: (w) => update(w, pick(w.now, 'targets')) },
  {
    name: 'an old file among new ones',
    code: 'UPDATE_VERSION',
    act: (w) => {
      const builder = w.served.builder
      builder.nextVersions('targets/alice')
      return update(w, new Map([...w.served.files('targets/alice'), ...pick(w.old, 'targets/releases')]))
    },
  },
  {
    name: 'another content at the newest version',
    code: 'UPDATE_VERSION',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.put('targets/releases', 'evil', 'evil')
        return ['targets/releases']
      }),
  },
  { name: 'the first root again', code: 'UPDATE_BAD_ROOT', act: (w) => update(w, pick(w.old, 'root', 'targets')) },
  { name: 'the newest root again', code: 'UPDATE_VERSION', act: (w) => update(w, pick(w.now, 'root')) },
  {
    name: 'our own newest snapshot as an upload',
    code: 'UPDATE_VERSION',
    act: (w) => update(w, new Map([['snapshot', w.served.published.get('snapshot.json') ?? Buffer.alloc(0)]])),
  },
  {
    name: 'our own first snapshot as an upload',
    code: 'UPDATE_BAD_SNAPSHOT',
    act: (w) => update(w, new Map([['snapshot', w.served.history[0] ?? Buffer.alloc(0)]])),
  },
  {
    name: 'a snapshot signed by a stranger',
    code: 'UPDATE_BAD_SNAPSHOT',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(SNAPSHOT).signers = [testKey('stranger')]
        builder.role(SNAPSHOT).version = 99
        return ['snapshot']
      }),
  },
  { name: 'a timestamp alone', code: 'OPERATION_MALFORMED', act: (w) => update(w, new Map([['timestamp', NOTHING]])) },
  {
    name: 'a timestamp among new files',
    code: 'OPERATION_MALFORMED',
    act: (w) => update(w, new Map([...pick(w.now, 'targets'), ['timestamp', NOTHING]])),
  },
  { name: 'no file at all', code: 'OPERATION_MALFORMED', act: (w) => update(w, new Map()) },

  // other keys
  {
    name: 'targets signed by a stranger',
    code: 'UPDATE_BAD_TARGETS',
    reason: 'SIGNATURE_BELOW_THRESHOLD',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.nextVersions(TARGETS).role(TARGETS).signers = [testKey('stranger')]
        return ['targets']
      }),
  },
  {
    name: "a delegation signed by another delegation's key",
    code: 'UPDATE_BAD_TARGETS',
    reason: 'SIGNATURE_BELOW_THRESHOLD',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.nextVersions(RELEASES).role(RELEASES).signers = [testKey('targets/alice')]
        return ['targets/releases']
      }),
  },
  {
    name: 'a role that nobody delegates',
    code: 'UPDATE_BAD_TARGETS',
    reason: 'ROLE_NOT_DELEGATED',
    act: (w) => update(w, new Map([['targets/mallory', w.now.get('targets/alice') ?? NOTHING]])),
  },
  {
    name: "a file under another role's name",
    code: 'UPDATE_BAD_TARGETS',
    act: (w) => update(w, new Map([['targets', w.now.get('targets/alice') ?? NOTHING]])),
  },
  {
    name: 'a root that the old one did not sign',
    code: 'UPDATE_BAD_ROOT',
    reason: 'SIGNATURE_BELOW_THRESHOLD',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(ROOT).version++
        builder.role(ROOT).keys = [builder.rootKey('mallory')]
        return ['root']
      }),
  },
  {
    name: 'the root of another repository',
    code: 'UPDATE_BAD_ROOT',
    act: (w) => {
      w.other.builder.role(ROOT).version = 3
      return update(w, w.other.files('root'))
    },
  },
  {
    name: 'a root that leaves a version out',
    code: 'UPDATE_BAD_ROOT',
    reason: 'ROOT_VERSION',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(ROOT).version += 2
        return ['root']
      }),
  },
  {
    name: 'a root with a timestamp key from elsewhere',
    code: 'UPDATE_NO_TIMESTAMP_KEY',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(ROOT).version++
        builder.role(TIMESTAMP).keys = [testKey('elsewhere')]
        return ['root']
      }),
  },
  {
    name: "a root with another repository's server keys",
    code: 'UPDATE_NO_SNAPSHOT',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(ROOT).version++
        builder.role(SNAPSHOT).keys = w.other.builder.role(SNAPSHOT).keys
        return ['root']
      }),
  },
  {
    name: 'a root that orphans targets',
    code: 'UPDATE_ORPHANS_TARGETS',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(ROOT).version++
        builder.role(TARGETS).keys = [testKey('other targets')]
        return ['root']
      }),
  },
  {
    name: 'a root that names another key by the ID of the targets key',
    code: 'UPDATE_ORPHANS_TARGETS',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(ROOT).version++
        builder.role(ROOT).edit = (signed) => {
          const id = builder.role(TARGETS).keys[0]?.publicKey.tufKeyId as string
          const keys = new Map(signed.get('keys') as Map<string, JsonValue>)
          const other = builder.role(TIMESTAMP).keys[0]?.publicKey.tufKeyId as string
          signed.set('keys', keys.set(id, keys.get(other) ?? null))
        }
        return ['root']
      }),
  },

  // time and numbers
  {
    name: 'an expired file',
    code: 'UPDATE_BAD_TARGETS',
    reason: 'ROLE_EXPIRED',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.nextVersions(RELEASES).role(RELEASES).expiresAt = new Date(NOW.getTime() - 1000)
        return ['targets/releases']
      }),
  },
  {
    name: 'the largest version',
    code: 'UPDATE_BAD_TARGETS',
    reason: 'VERSION_IMPLAUSIBLE',
    act: (w) =>
      altered(w, ({ builder }) => {
        builder.role(RELEASES).version = 2_147_483_647
        return ['targets/releases']
      }),
  },

  // deletion
  {
    name: 'new targets for a deleted repository',
    code: 'SERVED_REPOSITORY_DELETED',
    act: (w) => {
      w.deleted.builder.nextVersions(TARGETS)
      return update(w, w.deleted.files('targets'), w.deleted.gun)
    },
  },
  {
    name: 'the old root of a deleted repository',
    code: 'UPDATE_VERSION',
    act: (w) => update(w, w.deleted.files('root', 'targets'), w.deleted.gun),
  },
  {
    name: 'another root for a deleted repository',
    code: 'SERVED_RECREATION_REFUSED',
    act: (w) => {
      const mallory = new ServedRepository(w.holder, w.deleted.gun)
      mallory.builder.role(ROOT).keys = [mallory.builder.rootKey('mallory')]
      mallory.builder.role(SNAPSHOT).keys = w.deleted.builder.role(SNAPSHOT).keys
      mallory.builder.role(TIMESTAMP).keys = w.deleted.builder.role(TIMESTAMP).keys
      return update(w, mallory.files('root', 'targets'), w.deleted.gun)
    },
  },
  {
    name: 'a refresh of a deleted repository',
    code: 'SERVED_REPOSITORY_DELETED',
    act: (w) => send(w, 'serve-refresh', { gun: w.deleted.gun, role: 'timestamp' }),
  },
  {
    name: 'its own permission to begin again',
    code: 'OPERATION_NOT_ON_THIS_SOCKET',
    act: (w) =>
      send(w, 'permit-recreation', { gun: w.deleted.gun, versions: 'start-again', reason: 'x', evidence: EVIDENCE }),
  },

  // other repositories, other operations, other shapes
  {
    name: 'a repository that the operator does not let be served',
    code: 'SERVED_REPOSITORY_NOT_ALLOWED',
    act: (w) => update(w, pick(w.now, 'targets'), 'registry.example.com/narrow/app'),
  },
  {
    name: 'a first publication without a root',
    code: 'UPDATE_NO_ROOT',
    act: (w) => update(w, pick(w.now, 'targets'), 'registry.example.com/team/new'),
  },
  {
    name: 'a change of targets',
    code: 'OPERATION_NOT_ON_THIS_SOCKET',
    act: (w) =>
      send(w, 'change-targets', { publication: 'p', gun: SERVED_GUN, roles: ['targets'], changes: [], files: [] }),
  },
  {
    name: 'a key for targets',
    code: 'OPERATION_MALFORMED',
    act: (w) => send(w, 'server-key', { gun: SERVED_GUN, role: 'targets', rotate: false, evidence: EVIDENCE }),
  },
  {
    name: 'a path for a role',
    code: 'OPERATION_MALFORMED',
    act: (w) => update(w, new Map([['targets/../root', NOTHING]])),
  },
  {
    name: 'a GUN that is none',
    code: 'OPERATION_MALFORMED',
    act: (w) => update(w, pick(w.now, 'targets'), '../team/served'),
  },
  {
    name: 'files other than those listed',
    code: 'OPERATION_MALFORMED',
    act: (w) =>
      send(w, 'serve-update', { gun: SERVED_GUN, files: ['targets'], evidence: EVIDENCE }, pick(w.now, 'root')),
  },
  {
    name: 'bytes to be signed',
    code: 'OPERATION_MALFORMED',
    act: (w) => send(w, 'serve-refresh', { gun: SERVED_GUN, role: 'timestamp', message: 'x' }),
  },
]

const NOTHING = Buffer.from('{}')

describe('a trust server played by an attacker', () => {
  const scope = new Scope()
  let world: World

  before(async () => {
    const holder = await TestKeyHolder.start(scope)
    const served = await ServedRepository.create(holder)
    const all = ['root', 'targets', 'targets/releases', 'targets/alice']
    const old = served.files(...all)
    served.builder.nextVersions(TARGETS, 'targets/alice', RELEASES)
    await served.update('targets', 'targets/alice', 'targets/releases')
    served.builder.nextRoot().nextVersions(RELEASES)
    await served.update('root', 'targets/releases')
    const now = served.files(...all)
    // A further update, so that no set of files in hand is the latest one.
    served.builder.nextVersions('targets/alice')
    await served.update('targets/alice')
    const deleted = await ServedRepository.create(holder, 'registry.example.com/team/deleted')
    await deleted.delete()
    const other = await ServedRepository.create(holder, 'registry.example.com/team/other')
    // What they say of the log begins after this.
    await holder.wholeLog()
    world = { holder, served, old, now, deleted, other }
  })
  after(() => scope.close())

  for (const { name, code, reason, act } of ATTACKS) {
    it(`is refused ${name}: ${code}`, async () => {
      const before = world.holder.log().length
      let error: unknown
      try {
        await act(world)
      } catch (thrown) {
        error = thrown
      }
      expect(error, 'nothing was refused').to.be.instanceOf(KeyHolderError)
      expect((error as KeyHolderError).code).to.equal(code)
      if (reason !== undefined) expect((error as KeyHolderError).facts).to.include({ reason })
      const records = world.holder.log().slice(before)
      expect(records).to.have.length(1)
      expect(records[0]).to.include({ kind: 'refused', by: 'trust-server', code })
    })
  }

  it('gets the newest pair for the latest files, and nothing new', async () => {
    const before = world.holder.log().length
    const client = remembered(world.served.verify())
    const versions = world.served.versions()
    const { builder } = world.served
    builder.nextVersions('targets/alice')
    const files = world.served.files('targets/alice')
    await world.served.send(files)
    for (let times = 0; times < 20; times++) {
      await world.served.send(files)
      await world.served.refresh('timestamp')
      await world.served.refresh('snapshot')
      await world.holder.trustServer.call('serve-state', { gun: SERVED_GUN })
    }
    expect(world.served.versions()).to.deep.equal(versions.map((version) => version + 1))
    expect(world.holder.log()).to.have.length(before + 1)
    world.served.verify(client)
  })

  it('gets one waiting key, however often it asks for another one', async () => {
    const before = world.holder.log().length
    const request = { gun: SERVED_GUN, role: 'snapshot', rotate: true, evidence: EVIDENCE } as const
    const ids = new Set<string>()
    for (let times = 0; times < 20; times++) {
      ids.add((await world.holder.trustServer.call('server-key', request)).response.keyId)
    }
    expect(ids.size).to.equal(1)
    expect(world.holder.log()).to.have.length(before + 1)
  })
})
