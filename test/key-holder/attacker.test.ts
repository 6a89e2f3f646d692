// The daemon played by an attacker with the service socket in hand: whatever is sent is refused with its code, recorded in the log,
// and nothing but next versions with declared changes is ever about to be signed.
import {
  METADATA_LIMITS,
  parseJson,
  parseRoleName,
  parseTargets,
  RELEASES,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
} from '@countersign/tuf'
import { expect } from 'chai'
import { KeyHolderError, type KeyHolderErrorCode } from '../../src/key-holder-protocol/errors.ts'
import type { OperationName } from '../../src/key-holder-protocol/operations.ts'
import { EVIDENCE, drop, HeldRepository, initialization, put, TestKeyHolder } from '../support/key-holder.ts'
import { imageOf, NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { exchange, rawFrame } from '../support/raw-frames.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'

const LIMITS = `
repositories:
  - { gun: "registry.example.com/team/*", initialize: true, lockedTags: ["v*"] }
  - gun: "registry.example.com/narrow/*"
    initialize: true
    tags: ["rc-*"]
    maxEntries: 3
    versionsPerHour: 6
    entriesPerHour: 6
  - { gun: "registry.example.com/closed/*" }
recordsPerHour: 100000
`
const DAY_MS = 86_400_000

interface World {
  readonly holder: TestKeyHolder
  /** Made by the key holder: tags `latest` and `v1`, the latter locked. */
  readonly app: HeldRepository
  /** Made by the key holder, without delegations. */
  readonly plain: HeldRepository
  /** In the narrow part of the limits file. */
  readonly narrow: HeldRepository
}

interface Attack {
  readonly name: string
  readonly code: KeyHolderErrorCode
  readonly act: (world: World) => Promise<unknown>
}

/** Any request at all on the service socket; what the types forbid is what an attacker sends. */
function send(world: World, operation: string, request: unknown, files?: Map<string, Uint8Array>): Promise<unknown> {
  return world.holder.service.call(operation as OperationName, request as never, files)
}

/** A change of `app` with one thing about it replaced. */
function sendChange(
  world: World,
  change: Record<string, unknown>,
  request: Record<string, unknown> = {},
): Promise<unknown> {
  const files = world.app.files()
  const changes = [{ ...put('tag'), ...change }]
  return send(world, 'change-targets', { ...world.app.request([], { files }), changes, ...request }, files)
}

function withFiles(world: World, edit: (files: Map<string, Uint8Array>) => void): Promise<unknown> {
  const files = new Map(world.app.files())
  edit(files)
  return world.app.change([put('tag')], { files })
}

/** A repository of somebody else whose `targets/releases` Alice may sign too. */
async function adopted(world: World, name: string, prepare: (b: RepositoryBuilder) => void = () => undefined) {
  const builder = new RepositoryBuilder(`registry.example.com/team/${name}`)
  prepare(builder)
  const repository = await HeldRepository.pin(world.holder, builder)
  await repository.observe()
  return repository
}

function nameOf(files: Map<string, Uint8Array>, role: string): string {
  const found = [...files.keys()].find((name) => name.startsWith(`${role}.`) && /[0-9a-f]{64}/.test(name))
  if (found === undefined) throw new Error(`no file of ${role}`)
  return found
}

/** Signs nothing: replaces text in a finished file, as a trust server in league with the attacker could. */
function forge(repository: HeldRepository, role: string, from: string, to: string): () => void {
  const source = repository.builder.role(role)
  const before = source.mangle
  source.mangle = (bytes) =>
    Buffer.from(
      Buffer.from(before?.(bytes) ?? bytes)
        .toString()
        .replace(from, to),
    )
  return () => {
    if (before === undefined) delete source.mangle
    else source.mangle = before
  }
}

async function forged(world: World, role: string, from: string, to: string): Promise<unknown> {
  const restore = forge(world.app, role, from, to)
  try {
    return await world.app.change([put('tag')])
  } finally {
    restore()
  }
}

async function later(world: World, milliseconds: number, act: () => Promise<unknown>): Promise<unknown> {
  world.holder.now = new Date(NOW.getTime() + milliseconds)
  try {
    return await act()
  } finally {
    world.holder.now = NOW
  }
}

/** Sends bytes as they are and throws what comes back. */
async function sendRaw(world: World, bytes: Buffer, o?: { end?: boolean; count?: number }): Promise<never> {
  const [answer] = await exchange(world.holder.config.serviceSocket, bytes, o)
  const { code, message, facts } = answer!.error!
  throw new KeyHolderError(code as KeyHolderErrorCode, message, facts)
}

const BASE_ATTACKS: readonly Attack[] = [
  {
    name: 'an older base',
    code: 'BASE_OLDER_THAN_KNOWN',
    act: async ({ app }) => {
      const older = app.files()
      app.builder.nextVersions()
      await app.observe()
      return app.change([put('tag')], { files: older })
    },
  },
  {
    name: 'an older base for observation',
    code: 'BASE_OLDER_THAN_KNOWN',
    act: async (world) => {
      const older = world.app.files()
      world.app.builder.nextVersions()
      await world.app.observe()
      return send(world, 'observe-repository', { gun: world.app.gun, files: [...older.keys()] }, older)
    },
  },
  {
    name: 'a known timestamp version with another content',
    code: 'BASE_DIFFERS_FROM_KNOWN',
    act: async ({ app }) => {
      const timestamp = app.builder.role(TIMESTAMP)
      const before = timestamp.expiresAt
      timestamp.expiresAt = new Date(before.getTime() + 1000)
      try {
        return await app.change([put('tag')])
      } finally {
        timestamp.expiresAt = before
      }
    },
  },
  {
    name: 'the base of another GUN',
    code: 'BASE_NOT_VERIFIED',
    act: ({ app, plain }) => app.change([put('tag')], { files: plain.files() }),
  },
  {
    name: 'a repository of the attacker under the same name',
    code: 'BASE_NOT_VERIFIED',
    act: ({ app }) => app.change([put('tag')], { files: RepositoryBuilder.withSigner('countersign', app.gun).files() }),
  },
  {
    name: 'a second root that the first did not sign',
    code: 'BASE_NOT_VERIFIED',
    act: ({ app }) => {
      const foreign = RepositoryBuilder.withSigner('countersign', app.gun).nextRoot().files()
      return app.change([put('tag')], { files: foreign })
    },
  },
  {
    name: 'no files at all',
    code: 'BASE_NOT_VERIFIED',
    act: ({ app }) => app.change([put('tag')], { files: new Map() }),
  },
  {
    name: 'a base without its timestamp',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => withFiles(world, (files) => files.delete('timestamp.json')),
  },
  {
    name: 'a base without its snapshot',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => withFiles(world, (files) => files.delete(nameOf(files, 'snapshot'))),
  },
  {
    name: 'a base without its targets',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => withFiles(world, (files) => files.delete(nameOf(files, 'targets'))),
  },
  {
    name: 'the snapshot of another moment',
    code: 'BASE_NOT_VERIFIED',
    act: ({ app }) => {
      const older = app.files()
      app.builder.nextVersions()
      const files = new Map(app.files())
      files.set(nameOf(files, 'snapshot'), older.get(nameOf(older, 'snapshot'))!)
      return app.change([put('tag')], { files })
    },
  },
  {
    name: 'files that were mixed up',
    code: 'BASE_NOT_VERIFIED',
    act: (world) =>
      withFiles(world, (files) => {
        const [one, other] = [nameOf(files, 'snapshot'), nameOf(files, 'targets')]
        const bytes = files.get(one)!
        files.set(one, files.get(other)!).set(other, bytes)
      }),
  },
  {
    name: 'a truncated file',
    code: 'BASE_NOT_VERIFIED',
    act: (world) =>
      withFiles(world, (files) => files.set('timestamp.json', files.get('timestamp.json')!.subarray(0, -1))),
  },
  {
    name: 'a file of zero bytes',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => withFiles(world, (files) => files.set('timestamp.json', Buffer.alloc(0))),
  },
  {
    name: 'a file that nests without end',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => withFiles(world, (files) => files.set('timestamp.json', Buffer.from('['.repeat(100_000)))),
  },
  {
    name: 'a timestamp that is larger than any',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => withFiles(world, (files) => files.set('timestamp.json', Buffer.alloc(2 * 1024 * 1024, 0x20))),
  },
  {
    name: 'a member twice',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => forged(world, TIMESTAMP, '"version":', '"version":1,"version":'),
  },
  {
    name: 'a timestamp that nobody signed',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => forged(world, TIMESTAMP, '"expires":"2026', '"expires":"2036'),
  },
  {
    name: 'a snapshot that nobody signed',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => forged(world, SNAPSHOT, '"expires":"2029', '"expires":"2039'),
  },
  {
    name: 'a threshold that was changed',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => forged(world, TARGETS, '"threshold":1', '"threshold":0'),
  },
  {
    name: 'a delegation that was renamed',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => forged(world, TARGETS, '"targets/countersign"', '"targets/mallory"'),
  },
  {
    name: 'an entry smuggled into a delegation',
    code: 'BASE_NOT_VERIFIED',
    act: (world) =>
      forged(world, RELEASES, '"targets":{', '"targets":{"evil":{"hashes":{"sha256":"AAAA"},"length":1},'),
  },
  {
    name: 'an entry taken out of a delegation',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => forged(world, RELEASES, '"v1"', '"v9"'),
  },
  {
    name: 'an expired timestamp',
    code: 'BASE_NOT_VERIFIED',
    act: (world) => later(world, 20 * DAY_MS, () => world.app.change([put('tag')])),
  },
  {
    name: 'a delegation that expired, which must not begin anew',
    code: 'BASE_NOT_VERIFIED',
    act: async (world) => {
      const repository = await adopted(world, 'expired')
      repository.builder.role(RELEASES).expiresAt = new Date(NOW.getTime() + DAY_MS)
      repository.builder.nextVersions(RELEASES)
      return later(world, 2 * DAY_MS, () => repository.change([put('tag')]))
    },
  },
  {
    name: 'a delegation that the snapshot names no more',
    code: 'BASE_OLDER_THAN_KNOWN',
    act: async (world) => {
      const repository = await adopted(world, 'hidden')
      repository.builder.role(RELEASES).published = false
      repository.builder.nextVersions()
      return repository.change([put('tag')])
    },
  },
  {
    name: 'a jump of versions',
    code: 'BASE_VERSION_IMPLAUSIBLE',
    act: async (world) => {
      const repository = await adopted(world, 'jump')
      repository.builder.role(RELEASES).version = 1_000_002
      repository.builder.nextVersions()
      return repository.change([put('tag')])
    },
  },
  {
    name: 'the last version there can be',
    code: 'BASE_VERSION_IMPLAUSIBLE',
    act: async (world) => {
      const repository = await adopted(world, 'last')
      repository.builder.role(RELEASES).version = 2_147_483_647
      repository.builder.nextVersions()
      return repository.change([put('tag')])
    },
  },
]

const CHANGE_ATTACKS: readonly Attack[] = [
  {
    name: 'a repository that is not managed',
    code: 'GUN_NOT_MANAGED',
    act: (world) => sendChange(world, {}, { gun: 'registry.example.com/team/other' }),
  },
  {
    name: 'a put into base targets beside delegations',
    code: 'CHANGE_REFUSED',
    act: ({ app }) => app.change([put('tag')], { roles: [TARGETS] }),
  },
  {
    name: 'a put into base targets among other roles',
    code: 'CHANGE_REFUSED',
    act: ({ app }) => app.change([put('tag')], { roles: [TARGETS, RELEASES, 'targets/countersign'] }),
  },
  {
    name: 'two digests for one tag',
    code: 'CHANGE_REFUSED',
    act: ({ app }) => app.change([put('latest', 'other')], { roles: [RELEASES] }),
  },
  { name: 'the role root', code: 'ROLE_NOT_SIGNABLE', act: ({ app }) => app.change([put('tag')], { roles: [ROOT] }) },
  {
    name: 'the role snapshot',
    code: 'ROLE_NOT_SIGNABLE',
    act: ({ app }) => app.change([put('tag')], { roles: [SNAPSHOT] }),
  },
  {
    name: 'the role timestamp',
    code: 'ROLE_NOT_SIGNABLE',
    act: ({ app }) => app.change([put('tag')], { roles: [TIMESTAMP] }),
  },
  {
    name: 'a role that nobody delegated',
    code: 'ROLE_NOT_SIGNABLE',
    act: ({ app }) => app.change([put('tag')], { roles: ['targets/mallory'] }),
  },
  {
    name: 'a role below a delegation',
    code: 'ROLE_NOT_SIGNABLE',
    act: ({ app }) => app.change([put('tag')], { roles: ['targets/releases/x'] }),
  },
  {
    name: 'a role of another signer',
    code: 'ROLE_NOT_SIGNABLE',
    act: async (world) => {
      const repository = await adopted(world, 'alices', (builder) => builder.delegate('targets/alice'))
      return repository.change([put('tag')], { roles: ['targets/alice'] })
    },
  },
  {
    name: 'a role whose threshold needs another key',
    code: 'ROLE_NOT_SIGNABLE',
    act: async (world) => {
      const repository = await HeldRepository.pin(
        world.holder,
        new RepositoryBuilder('registry.example.com/team/two'),
        [testKey('alice'), testKey('bob')],
      )
      repository.builder.role(RELEASES).threshold = 2
      return repository.change([put('tag')], { roles: [RELEASES] })
    },
  },
  {
    name: 'a tag outside the paths of the role',
    code: 'ROLE_NOT_SIGNABLE',
    act: async (world) => {
      const repository = await adopted(world, 'paths')
      repository.builder.role(RELEASES).paths = ['release-']
      repository.builder.nextVersions(TARGETS)
      return repository.change([put('tag')], { roles: [RELEASES] })
    },
  },
  {
    name: 'a role twice',
    code: 'CHANGE_MALFORMED',
    act: ({ app }) => app.change([put('tag')], { roles: [RELEASES, RELEASES] }),
  },
  { name: 'a tag twice', code: 'CHANGE_MALFORMED', act: ({ app }) => app.change([put('tag'), put('tag', 'other')]) },
  {
    name: 'a tag dropped and put at once',
    code: 'CHANGE_MALFORMED',
    act: ({ app }) => app.change([drop('v1'), put('v1', 'other')]),
  },
  { name: 'a change that changes nothing', code: 'CHANGE_EMPTY', act: ({ app }) => app.change([put('latest')]) },
  { name: 'a locked tag moved', code: 'LIMIT_TAG_LOCKED', act: ({ app }) => app.change([put('v1', 'other')]) },
  {
    name: 'a locked tag dropped, then put again with another digest',
    code: 'LIMIT_TAG_LOCKED',
    act: async ({ app }) => {
      await app.sign([put('v2')])
      await app.sign([drop('v2')])
      return app.change([put('v2', 'other')])
    },
  },
  {
    name: 'a locked tag signed but not published, then put with another digest',
    code: 'LIMIT_TAG_LOCKED',
    act: async ({ app }) => {
      await app.change([put('v3')])
      return app.change([put('v3', 'other')])
    },
  },
  {
    name: 'a locked tag of another signer moved',
    code: 'LIMIT_TAG_LOCKED',
    act: async (world) => {
      const repository = await adopted(world, 'locked')
      repository.builder.put(RELEASES, 'v1', imageOf('the image of Alice')).nextVersions(RELEASES)
      return repository.change([put('v1', 'other')])
    },
  },
  {
    name: 'a locked tag of another signer dropped, then put with another digest',
    code: 'LIMIT_TAG_LOCKED',
    act: async (world) => {
      const repository = await adopted(world, 'relocked')
      repository.builder.put(RELEASES, 'v1', imageOf('the image of Alice')).nextVersions(RELEASES)
      await repository.sign([drop('v1')])
      return repository.change([put('v1', 'other')])
    },
  },
  { name: 'a tag outside the limits', code: 'LIMIT_TAG', act: ({ narrow }) => narrow.change([put('latest')]) },
  { name: 'a drop outside the limits', code: 'LIMIT_TAG', act: ({ narrow }) => narrow.change([drop('latest')]) },
  {
    name: 'more tags than a role may hold',
    code: 'LIMIT_ENTRIES',
    act: ({ narrow }) => narrow.change(['a', 'b', 'c', 'd'].map((n) => put(`rc-${n}`))),
  },
  {
    name: 'more entries within an hour than allowed',
    code: 'LIMIT_ENTRIES',
    act: async (world) => {
      const narrow = await HeldRepository.initialize(world.holder, 'registry.example.com/narrow/entries')
      await narrow.sign([put('rc-1'), put('rc-2'), put('rc-3')])
      await narrow.sign([drop('rc-1'), drop('rc-2')])
      return narrow.change([drop('rc-3'), put('rc-4')])
    },
  },
  {
    name: 'more versions within an hour than allowed',
    code: 'LIMIT_VERSIONS',
    act: async (world) => {
      const narrow = await HeldRepository.initialize(world.holder, 'registry.example.com/narrow/versions')
      for (const tag of ['rc-1', 'rc-2', 'rc-3']) await narrow.sign([put(tag)])
      return narrow.change([drop('rc-1')])
    },
  },
  {
    name: 'a publication again with another change',
    code: 'PUBLICATION_REPLAYED',
    act: async ({ app }) => {
      await app.change([put('tag')], { publication: 'replayed' })
      return app.change([put('tag', 'other')], { publication: 'replayed' })
    },
  },
  {
    name: 'a publication again with other roles',
    code: 'PUBLICATION_REPLAYED',
    act: async ({ app }) => {
      await app.change([put('tag')], { publication: 'replayed-roles' })
      return app.change([put('tag')], { publication: 'replayed-roles', roles: [RELEASES] })
    },
  },
  {
    name: 'a publication again with other evidence',
    code: 'PUBLICATION_REPLAYED',
    act: async ({ app }) => {
      await app.change([put('tag')], { publication: 'replayed-evidence' })
      const change = { ...put('tag'), evidence: { request: 'req-1', principal: 'somebody else' } }
      return app.change([change], { publication: 'replayed-evidence' })
    },
  },
  {
    name: 'a publication again with another base',
    code: 'PUBLICATION_REPLAYED',
    act: async ({ app }) => {
      await app.change([put('tag')], { publication: 'replayed-base' })
      app.builder.nextVersions()
      return app.change([put('tag')], { publication: 'replayed-base' })
    },
  },
  {
    name: 'a publication again for another repository',
    code: 'PUBLICATION_REPLAYED',
    act: async ({ app, plain }) => {
      await app.change([put('tag')], { publication: 'replayed-gun' })
      return plain.change([put('tag')], { publication: 'replayed-gun', roles: [TARGETS] })
    },
  },
]

const SHAPES: readonly (readonly [string, Record<string, unknown>, Record<string, unknown>?])[] = [
  ['a version of his choice', {}, { version: 7 }],
  ['delegations of his choice', {}, { delegations: { keys: {}, roles: [] } }],
  ['a threshold of his choice', {}, { threshold: 1 }],
  ['bytes to be signed', {}, { message: 'AAAA' }],
  ['an expiry of his choice', { expires: '2099-01-01T00:00:00Z' }],
  ['custom data', { custom: { a: 1 } }],
  ['an unknown kind of change', { kind: 'delegate' }],
  ['no changes', {}, { changes: [] }],
  ['too many changes', {}, { changes: Array(5001).fill(drop('a')) }],
  ['changes that are no list', {}, { changes: { 0: drop('a') } }],
  ['no roles', {}, { roles: [] }],
  ['too many roles', {}, { roles: Array(17).fill('targets') }],
  ['a role that is a number', {}, { roles: [7] }],
  ['a role with a path in it', {}, { roles: ['targets/../root'] }],
  ['a role in capitals', {}, { roles: ['Targets'] }],
  ['a role with a trailing slash', {}, { roles: ['targets/releases/'] }],
  ['a role with a zero byte', {}, { roles: ['targets/rel\0eases'] }],
  ['a role called __proto__', {}, { roles: ['__proto__'] }],
  ['a GUN with a path in it', {}, { gun: '../../etc/passwd' }],
  ['a GUN with a control character', {}, { gun: 'registry.example.com/team/app\n' }],
  ['a GUN in percent encoding', {}, { gun: 'registry.example.com%2Fteam%2Fapp' }],
  ['a GUN called constructor', {}, { gun: 'constructor' }],
  ['a GUN that is too long', {}, { gun: `registry.example.com/${'a'.repeat(300)}` }],
  ['a GUN that is a list', {}, { gun: ['registry.example.com/team/app'] }],
  ['no GUN', {}, { gun: undefined }],
  ['no publication', {}, { publication: '' }],
  ['a publication that is too long', {}, { publication: 'x'.repeat(65) }],
  ['a tag with a slash', { tag: '../releases' }],
  ['a tag with a control character', { tag: 'a\u0001' }],
  ['a tag with a line break', { tag: 'a\n' }],
  ['a tag in another script', { tag: 'ａ' }],
  ['a tag that is too long', { tag: 'a'.repeat(129) }],
  ['a tag that is a number', { tag: 10 }],
  ['an empty tag', { tag: '' }],
  ['a digest in capitals', { sha256: 'A'.repeat(64) }],
  ['a digest that is short', { sha256: 'a'.repeat(63) }],
  ['a digest with its algorithm', { sha256: `sha256:${'a'.repeat(64)}` }],
  ['a length of zero', { length: 0 }],
  ['a negative length', { length: -1 }],
  ['a fraction of a length', { length: 1.5 }],
  ['a length beyond 2^53', { length: 2 ** 53 }],
  ['a length that is text', { length: '12' }],
  ['no evidence', { evidence: undefined }],
  ['evidence that is too long', { evidence: { ...EVIDENCE, origin: 'x'.repeat(1025) } }],
  ['evidence with another member', { evidence: { ...EVIDENCE, approved: true } }],
  ['a list of files that are not attached', {}, { files: ['timestamp.json'] }],
  ['a file name with a path in it', {}, { files: ['../key-holder.db'] }],
  ['an absolute file name', {}, { files: ['/etc/passwd'] }],
  ['a file name in capitals', {}, { files: ['Root.json'] }],
]

const SHAPE_ATTACKS: readonly Attack[] = [
  ...SHAPES.map(([name, change, request]): Attack => ({
    name,
    code: 'OPERATION_MALFORMED',
    act: (world) => sendChange(world, change, request),
  })),
  ...[null, [], 'x', 7].map((request): Attack => ({
    name: `the request ${JSON.stringify(request)}`,
    code: 'OPERATION_MALFORMED',
    act: (world) => send(world, 'change-targets', request),
  })),
  {
    name: 'an attachment that no list names',
    code: 'OPERATION_MALFORMED',
    act: ({ app }) => {
      const files = app.files()
      const more = new Map([...files, ['message', Buffer.from('sign me')] as const])
      return app.service.call('change-targets', app.request([put('tag')], { files }), more)
    },
  },
  {
    name: 'an attachment beside an operation that has none',
    code: 'OPERATION_MALFORMED',
    act: (world) => send(world, 'status', {}, new Map([['message', Buffer.from('sign me')]])),
  },
  {
    name: 'a file listed twice',
    code: 'OPERATION_MALFORMED',
    act: ({ app }) => {
      const files = app.files()
      const request = app.request([put('tag')], { files })
      return app.service.call('change-targets', { ...request, files: [...request.files, 'timestamp.json'] }, files)
    },
  },
]

const UNKNOWN = [
  'sign',
  'sign-bytes',
  'export-private-key',
  'sign-root',
  'Status',
  'status ',
  '',
  '__proto__',
  'constructor',
  'toString',
]

const OPERATION_ATTACKS: readonly Attack[] = [
  ...UNKNOWN.map((operation): Attack => ({
    name: `the operation ${JSON.stringify(operation)}`,
    code: 'OPERATION_UNKNOWN',
    act: (world) => send(world, operation, {}),
  })),
  ...(
    [
      'pin-repository',
      'begin-key-import',
      'import-key',
      'stage-key',
      'seal',
      'unseal',
      'begin-backup',
      'read-backup',
      'export-pins',
      'export-root-key',
      'freeze',
      'unfreeze',
    ] as const
  ).map((operation): Attack => ({
    name: `the operator’s operation ${operation}`,
    code: 'OPERATION_NOT_ON_THIS_SOCKET',
    act: (world) => send(world, operation, { gun: world.app.gun, reason: 'none', evidence: EVIDENCE }),
  })),
  {
    name: 'the private key of a repository by its public export',
    code: 'OPERATION_MALFORMED',
    act: (world) => send(world, 'export-public-key', { gun: world.app.gun, role: TARGETS, private: true }),
  },
  {
    name: 'a key that is not there',
    code: 'KEY_NOT_FOUND',
    act: (world) => send(world, 'export-public-key', { gun: world.app.gun, role: 'targets/mallory' }),
  },
  {
    name: 'the key of the audit log',
    code: 'OPERATION_MALFORMED',
    act: (world) => send(world, 'export-public-key', { gun: '', role: 'audit-log' }),
  },
  ...[ROOT, TARGETS, SNAPSHOT, TIMESTAMP].map((role): Attack => ({
    name: `a new key for ${role}`,
    code: 'ROLE_NOT_SIGNABLE',
    act: (world) => send(world, 'create-delegation-key', { gun: world.app.gun, role, evidence: EVIDENCE }),
  })),
  {
    name: 'a key outside the limits',
    code: 'LIMIT_GUN',
    act: (world) =>
      send(world, 'create-delegation-key', { gun: 'registry.example.org/x', role: 'targets/x', evidence: EVIDENCE }),
  },
  {
    name: 'a new repository outside the limits',
    code: 'LIMIT_GUN',
    act: (world) => send(world, 'initialize-repository', initialization('registry.example.org/x')),
  },
  {
    name: 'a new repository where none may be made',
    code: 'LIMIT_INITIALIZE',
    act: (world) => send(world, 'initialize-repository', initialization('registry.example.com/closed/x')),
  },
  {
    name: 'a new root for a repository that has one',
    code: 'GUN_ALREADY_MANAGED',
    act: (world) => send(world, 'initialize-repository', initialization(world.app.gun, 'mallory')),
  },
  {
    name: 'a signer called releases',
    code: 'CHANGE_MALFORMED',
    act: (world) => send(world, 'initialize-repository', initialization('registry.example.com/team/r', 'releases')),
  },
  {
    name: 'a private key where a public one belongs',
    code: 'OPERATION_MALFORMED',
    act: (world) => {
      const snapshotKey = { keytype: 'ecdsa', keyval: { private: 'AAAA', public: 'AAAA' } }
      return send(world, 'initialize-repository', { ...initialization('registry.example.com/team/p'), snapshotKey })
    },
  },
  {
    name: 'a snapshot key that verifies nothing',
    code: 'OPERATION_MALFORMED',
    act: (world) => {
      const snapshotKey = { keytype: 'ecdsa', keyval: { private: null, public: 'AAAA' } }
      return send(world, 'initialize-repository', { ...initialization('registry.example.com/team/p'), snapshotKey })
    },
  },
  {
    name: 'a root certificate for another repository',
    code: 'ROOT_CERTIFICATE_INVALID',
    act: (world) => {
      const foreign = new RepositoryBuilder('registry.example.com/team/mallory').rootKey('mallory')
      const certificatePem = Buffer.from(foreign.publicKey.publicValue, 'base64').toString()
      const root = { kind: 'offline', certificatePem }
      return send(world, 'initialize-repository', { ...initialization('registry.example.com/team/c'), root })
    },
  },
  {
    name: 'a root certificate that is none',
    code: 'ROOT_CERTIFICATE_INVALID',
    act: (world) => {
      const root = { kind: 'offline', certificatePem: 'x' }
      return send(world, 'initialize-repository', { ...initialization('registry.example.com/team/c'), root })
    },
  },
  {
    name: 'a root signature that nobody expects',
    code: 'GUN_ALREADY_MANAGED',
    act: (world) => {
      const signatures = [{ keyId: 'a'.repeat(64), method: 'ecdsa', signature: 'AAAA' }]
      return send(world, 'complete-initialization', { gun: world.app.gun, signatures, evidence: EVIDENCE })
    },
  },
  {
    name: 'a record with a name of his choice',
    code: 'OPERATION_MALFORMED',
    act: (world) => send(world, 'append-record', { kind: 'Targets-Change', facts: {} }),
  },
  {
    name: 'a record that fills an entry',
    code: 'OPERATION_MALFORMED',
    act: (world) => {
      const facts = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`fact-${index}`, 'x'.repeat(4000)]))
      return send(world, 'append-record', { kind: 'flood', facts })
    },
  },
  {
    name: 'a record with structure in it',
    code: 'OPERATION_MALFORMED',
    act: (world) => send(world, 'append-record', { kind: 'nested', facts: { a: { b: 1 } } }),
  },
]

const HEADER = { id: 1, operation: 'status', request: {}, attachments: [] as unknown[] }

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes)
  return length
}

const FRAME_ATTACKS: readonly Attack[] = [
  { name: 'a frame larger than any', code: 'FRAME_TOO_LARGE', act: (world) => sendRaw(world, lengthOf(0xffffffff)) },
  {
    name: 'a frame just too large',
    code: 'FRAME_TOO_LARGE',
    act: (world) => sendRaw(world, lengthOf(128 * 1024 * 1024 + 1)),
  },
  { name: 'a frame of nothing', code: 'FRAME_MALFORMED', act: (world) => sendRaw(world, lengthOf(0)) },
  {
    name: 'a header beyond its frame',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, Buffer.concat([lengthOf(8), lengthOf(99), lengthOf(0)])),
  },
  { name: 'a header that is not JSON', code: 'FRAME_MALFORMED', act: (world) => sendRaw(world, rawFrame('{"id":1')) },
  {
    name: 'a header that is not UTF-8',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(Buffer.from([0xff, 0xfe]))),
  },
  {
    name: 'an id that is text',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(JSON.stringify({ ...HEADER, id: '1' }))),
  },
  {
    name: 'an id that is huge',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(JSON.stringify({ ...HEADER, id: 1e300 }))),
  },
  {
    name: 'bytes behind the frame’s end',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(JSON.stringify(HEADER), Buffer.alloc(1))),
  },
  {
    name: 'an attachment twice',
    code: 'FRAME_MALFORMED',
    act: (world) => {
      const attachments = [
        { name: 'a', length: 1 },
        { name: 'a', length: 1 },
      ]
      return sendRaw(world, rawFrame(JSON.stringify({ ...HEADER, attachments }), Buffer.alloc(2)))
    },
  },
  {
    name: 'an attachment longer than the frame',
    code: 'FRAME_MALFORMED',
    act: (world) =>
      sendRaw(world, rawFrame(JSON.stringify({ ...HEADER, attachments: [{ name: 'a', length: 9 }] }), Buffer.alloc(2))),
  },
  {
    name: 'a frame cut in the middle',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(JSON.stringify(HEADER)).subarray(0, -1), { end: true }),
  },
  {
    name: 'a frame that never ends',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(JSON.stringify(HEADER)).subarray(0, -1)),
  },
  {
    name: 'an answer instead of a request',
    code: 'FRAME_MALFORMED',
    act: (world) => sendRaw(world, rawFrame(JSON.stringify({ id: 1, response: {}, attachments: [] }))),
  },
  {
    name: 'more requests at once than a connection may have',
    code: 'KEY_HOLDER_BUSY',
    act: async (world) => {
      const frame = rawFrame(JSON.stringify(HEADER))
      const answers = await exchange(world.holder.config.serviceSocket, Buffer.concat(Array<Buffer>(40).fill(frame)), {
        count: 40,
      })
      const { code, message, facts } = answers.find(({ error }) => error !== undefined)!.error!
      throw new KeyHolderError(code as KeyHolderErrorCode, message, facts)
    },
  },
]

const ATTACKS = [
  ['bases', BASE_ATTACKS],
  ['changes', CHANGE_ATTACKS],
  ['shapes of requests', SHAPE_ATTACKS],
  ['operations', OPERATION_ATTACKS],
  ['frames', FRAME_ATTACKS],
] as const

describe('the daemon played by an attacker with the service socket in hand', () => {
  const scope = new Scope()
  let world: World

  before(async () => {
    const holder = await TestKeyHolder.start(scope, LIMITS, { connectionLimits: { frameTimeMs: 200 } })
    const app = await HeldRepository.initialize(holder, 'registry.example.com/team/app')
    await app.sign([put('latest'), put('v1')])
    await app.observe()
    const plain = await HeldRepository.initialize(holder, 'registry.example.com/team/plain', null)
    const narrow = await HeldRepository.initialize(holder, 'registry.example.com/narrow/app')
    world = { holder, app, plain, narrow }
  })
  after(() => scope.close())

  it('has more than forty ways to try, each with a name of its own', () => {
    const names = ATTACKS.flatMap(([, attacks]) => attacks.map(({ name }) => name))
    expect(new Set(names).size).to.equal(names.length).and.be.greaterThan(40)
  })

  for (const [subject, attacks] of ATTACKS) {
    describe(subject, () => {
      for (const { name, code, act } of attacks) {
        it(`${name}: ${code}`, async () => {
          let thrown: unknown
          await act(world).catch((error: unknown) => {
            thrown = error
          })
          expect(thrown, 'a refusal').to.be.instanceOf(KeyHolderError)
          expect((thrown as KeyHolderError).code).to.equal(code)
          const refusals = world.holder.log().filter(({ kind }) => kind === 'refused')
          expect(refusals[refusals.length - 1]).to.include({ code, by: 'service' })
        })
      }
    })
  }

  describe('and afterwards', () => {
    it('leaves the key holder at work', async () => {
      world.app.builder.nextVersions()
      const { roles } = await world.app.change([put('still-here')])
      expect(roles).to.have.length(2)
    })

    it('has had nothing recorded for signing but next versions with the changes declared', async () => {
      await world.holder.stop()
      const rows = world.holder.database((database) =>
        database
          .prepare<
            [],
            { gun: string; role: string; version: number; message: Buffer; reason: string; publication: string }
          >('SELECT * FROM signed_payloads ORDER BY gun, role, version')
          .all(),
      )
      expect(rows.length).to.be.greaterThan(30)
      for (const { gun, role, version, message, reason, publication } of rows) {
        if (role === 'root') continue
        const { metadata } = parseTargets(
          Buffer.from(`{"signed":${message.toString()},"signatures":[]}`),
          parseRoleName(role),
        )
        expect(metadata.version).to.equal(version)
        if (publication === 'first') {
          expect(metadata.targets.size).to.equal(0)
          continue
        }
        for (const change of JSON.parse(reason) as ReturnType<typeof put>[]) {
          const sha256 = metadata.targets.get(change.tag)?.hashes.get('sha256')
          expect(sha256, `${gun} ${role} ${change.tag}`).to.equal(
            change.kind === 'put' ? Buffer.from(change.sha256, 'hex').toString('base64') : undefined,
          )
        }
        const signed = parseJson(message, METADATA_LIMITS) as ReadonlyMap<string, unknown>
        expect([...signed.keys()]).to.deep.equal(['_type', 'delegations', 'expires', 'targets', 'version'])
      }
      for (const repository of [world.app, world.plain, world.narrow]) {
        const versions = rows
          .filter(({ gun, role }) => gun === repository.gun && role === RELEASES)
          .map(({ version }) => version)
        expect(versions).to.deep.equal(versions.map((_, index) => index + 1))
      }
    })
  })
})
