// The recorded answers of notary-server 0.7.0 to 139 requests: each is made again here, in its order, and gets the original's status and code,
// or what a row of the table of differences says.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { isJsonArray, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type JsonValue, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { encodeMultipart } from '../../src/notary/multipart.ts'
import { DIFFERENCES } from '../../src/trust-server/differences.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testCertificateKey, testKey } from '../support/test-keys.ts'
import {
  BOUNDARY,
  newRepository,
  startTestTrustServer,
  useServerKey,
  type Answer,
  type TestTrustServer,
} from '../support/trust-server/server.ts'

interface Recorded {
  readonly status: number
  readonly body: unknown
}
type RecordedCase = { readonly case: string } & Readonly<Record<string, Recorded | string>>

const file = resolve(import.meta.dirname, '../vectors/notary-v1/server-errors.json')
const CASES = JSON.parse(readFileSync(file, 'utf8')) as RecordedCase[]

type Builder = RepositoryBuilder
type Change = (builder: Builder) => unknown
type Files = Map<RoleName, Uint8Array>

/** One repository at the server, and what the script does to it. */
class World {
  readonly server: TestTrustServer
  readonly builder: Builder

  constructor(server: TestTrustServer, builder: Builder) {
    this.server = server
    this.builder = builder
  }

  get gun(): string {
    return this.builder.gun
  }

  /** Files as they would be after a change that is taken back. */
  files(change: Change, ...roles: readonly string[]): Files {
    const { roles: sources, pastRoots } = this.builder
    const saved = new Map(
      [...sources].map(([name, source]) => [
        name,
        { ...source, keys: [...source.keys], targets: new Map(source.targets) },
      ]),
    )
    const past = [...pastRoots]
    const pastKeys = Reflect.get(this.builder, 'pastRootKeys') as unknown
    change(this.builder)
    const built = this.builder.files()
    const files = new Map(roles.map((role) => [role as RoleName, built.get(`${role}.json`) ?? new Uint8Array()]))
    sources.clear()
    for (const [name, source] of saved) sources.set(name, source)
    pastRoots.splice(0, pastRoots.length, ...past)
    Reflect.set(this.builder, 'pastRootKeys', pastKeys)
    return files
  }

  /** Posts what a change would make, and takes the change back. */
  try(roles: readonly string[], change: Change = () => undefined): Promise<Answer> {
    return this.post(this.files(change, ...roles))
  }

  /** Posts what a change makes, and keeps it. */
  keep(roles: readonly string[], change: Change = () => undefined): Promise<Answer> {
    change(this.builder)
    return this.try(roles)
  }

  /** Targets at the next version, in other words than those of a file. */
  raw(role: string, change: (text: string) => string): Promise<Answer> {
    const bytes = this.files((b) => b.nextVersions(TARGETS), TARGETS).get(TARGETS) ?? new Uint8Array()
    return this.post(new Map([[role as RoleName, Buffer.from(change(Buffer.from(bytes).toString('utf8')))]]))
  }

  post(files: Files): Promise<Answer> {
    return this.server.http.post(this.gun, files)
  }

  call(method: string, path: string): Promise<Answer> {
    return this.server.http.call({ method, path })
  }

  get(name: string): Promise<Answer> {
    return this.server.http.get(this.gun, name)
  }
}

type Step = (world: World) => Promise<Answer>

const v =
  (role: string, version: number): Change =>
  (b) =>
    (b.role(role).version = version)
const both =
  (...changes: Change[]): Change =>
  (b) => {
    for (const change of changes) change(b)
  }
const signedBy =
  (role: string, ...names: string[]): Change =>
  (b) =>
    (b.role(role).signers = names.map((name) => testKey(name)))
const expired =
  (role: string): Change =>
  (b) =>
    (b.role(role).expiresAt = new Date('2020-01-01T00:00:00Z'))
const edit =
  (role: string, change: (signed: Map<string, JsonValue>) => void): Change =>
  (b) =>
    (b.role(role).edit = change)
const editRoles = (change: (roles: Map<string, Map<string, JsonValue>>) => void): Change =>
  edit(ROOT, (signed) => {
    change(signed.get('roles') as Map<string, Map<string, JsonValue>>)
  })
const editDelegation = (change: (role: Map<string, JsonValue>) => void): Change =>
  edit(TARGETS, (signed) => {
    const roles = (signed.get('delegations') as Map<string, JsonValue>).get('roles')
    if (isJsonArray(roles)) change(roles[0] as Map<string, JsonValue>)
  })
const nextRoot: Change = (b) => b.nextRoot()
const targets: Change = (b) => b.nextVersions(TARGETS)

/** A first repository without delegations, in the order of the records. */
const FIRST: readonly (readonly [string, Step])[] = [
  ['only root on new repo', (w) => w.try([ROOT])],
  ['only targets on new repo', (w) => w.try([TARGETS])],
  ['empty multipart on new repo', (w) => w.post(new Map())],
  ['init ok', (w) => w.keep([ROOT, TARGETS])],
  ['same again', (w) => w.try([ROOT, TARGETS])],
  ['empty multipart on existing', (w) => w.post(new Map())],
  ['targets same version', (w) => w.try([TARGETS], (b) => b.put(TARGETS, 'x', 'y'))],
  ['targets v7 skip', (w) => w.keep([TARGETS], v(TARGETS, 7))],
  ['targets v3 (older)', (w) => w.try([TARGETS], v(TARGETS, 3))],
  ['targets bad sig', (w) => w.try([TARGETS], both(targets, signedBy(TARGETS, 'stranger')))],
  [
    'targets sig corrupted',
    (w) =>
      w.try([TARGETS], (b) => {
        b.nextVersions(TARGETS)
        b.role(TARGETS).editSignatures = (list) => list.map((one) => ({ ...one, signature: Buffer.alloc(64, 1) }))
      }),
  ],
  [
    'targets no sigs',
    (w) =>
      w.try(
        [TARGETS],
        both(targets, (b) => (b.role(TARGETS).editSignatures = () => [])),
      ),
  ],
  ['targets expired', (w) => w.try([TARGETS], both(targets, expired(TARGETS)))],
  ['targets version 0', (w) => w.try([TARGETS], v(TARGETS, 0))],
  [
    'targets _type targets',
    (w) =>
      w.try(
        [TARGETS],
        both(
          targets,
          edit(TARGETS, (s) => s.set('_type', 'targets')),
        ),
      ),
  ],
  ['root v3 jump', (w) => w.try([ROOT], both(nextRoot, v(ROOT, 3)))],
  ['root v2 same keys', (w) => w.keep([ROOT], nextRoot)],
  ['root v2 again', (w) => w.try([ROOT])],
  ['root v1 again', (w) => w.try([ROOT], v(ROOT, 1))],
  [
    'root rotate signed new only',
    (w) =>
      w.try([ROOT], (b) => {
        b.nextRoot()
        b.role(ROOT).keys = b.role(ROOT).signers = [b.rootKey('second')]
      }),
  ],
  [
    'root rotate signed old only',
    (w) =>
      w.try([ROOT], (b) => {
        b.nextRoot()
        b.role(ROOT).signers = b.role(ROOT).keys
        b.role(ROOT).keys = [b.rootKey('second')]
      }),
  ],
  ['root rotate both', (w) => w.keep([ROOT], (b) => b.nextRoot((root) => (root.keys = [b.rootKey('second')])))],
  ['root expired', (w) => w.try([ROOT], both(nextRoot, expired(ROOT)))],
  [
    'root CN mismatch',
    (w) =>
      w.try([ROOT], (b) => {
        b.nextRoot((root) => (root.keys = [testCertificateKey('second', { commonName: 'registry.example.com/other' })]))
      }),
  ],
  ['root plain ecdsa key', (w) => w.try([ROOT], (b) => b.nextRoot((root) => (root.keys = [testKey('plain')])))],
  [
    'root ts key unknown to server',
    (w) =>
      w.try(
        [ROOT],
        both(nextRoot, (b) => (b.role(TIMESTAMP).keys = [testKey('t')])),
      ),
  ],
  [
    'root snap key unknown, no snap',
    (w) =>
      w.try(
        [ROOT],
        both(nextRoot, (b) => (b.role(SNAPSHOT).keys = [testKey('s')])),
      ),
  ],
  [
    'root missing role',
    (w) =>
      w.try(
        [ROOT],
        both(
          nextRoot,
          editRoles((roles) => roles.delete(SNAPSHOT)),
        ),
      ),
  ],
  [
    'root keyid without key',
    (w) =>
      w.try(
        [ROOT],
        both(
          nextRoot,
          editRoles((roles) => roles.get(TARGETS)?.set('keyids', ['0'.repeat(64)])),
        ),
      ),
  ],
  [
    'root thr 0 targets',
    (w) =>
      w.try(
        [ROOT],
        both(
          nextRoot,
          editRoles((roles) => roles.get(TARGETS)?.set('threshold', 0)),
        ),
      ),
  ],
  [
    'root thr 2 targets 1 key',
    (w) =>
      w.try(
        [ROOT],
        both(nextRoot, (b) => (b.role(TARGETS).threshold = 2)),
      ),
  ],
  ...['foo', 'targets/Foo', 'targets/a.b', 'targets/', 'targets//a', 'Targets', 'mirror', 'targets/a/../b'].map(
    (role) => [`role '${role}'`, (w: World) => w.raw(role, (text) => text)] as const,
  ),
  ["role 'targets/aaaaaaaaaaaaaaaaaaaaaa'", (w) => w.raw(`targets/${'a'.repeat(248)}`, (text) => text)],
  ["role 'targets/aaaaaaaaaaaaaaaaaaaaaa'", (w) => w.raw(`targets/${'a'.repeat(247)}`, (text) => text)],
  ["role 'releases'", (w) => w.raw('releases', (text) => text)],
  ["role 'root.json'", (w) => w.raw('root.json', (text) => text)],
  ["role 'targets.json.json'", (w) => w.raw('targets.json.json', (text) => text)],
  ["role ''", (w) => w.raw('', (text) => text)],
  ['not multipart', (w) => w.server.http.upload(w.gun, Buffer.from('{}'), { 'content-type': 'application/json' })],
  [
    'no ctype',
    (w) => w.server.http.call({ method: 'POST', path: `/v2/${w.gun}/_trust/tuf/`, body: Buffer.from('{}') }),
  ],
  ['malformed json', (w) => w.raw(TARGETS, () => '{"signed":')],
  ['trailing garbage', (w) => w.raw(TARGETS, (text) => `${text}x`)],
  ['version as string', (w) => w.raw(TARGETS, (text) => text.replace(/"version":(\d+)/, '"version":"$1"'))],
  ['version float 2.0', (w) => w.raw(TARGETS, (text) => text.replace(/"version":(\d+)/, '"version":$1.0'))],
  ['version 2e0', (w) => w.raw(TARGETS, (text) => text.replace(/"version":(\d+)/, '"version":$1e0'))],
  ['array body', (w) => w.raw(TARGETS, () => '[]')],
  ['null body', (w) => w.raw(TARGETS, () => 'null')],
  ['empty obj', (w) => w.raw(TARGETS, () => '{}')],
  [
    'field name other',
    (w) => {
      w.builder.nextVersions(TARGETS)
      const body = encodeMultipart(
        w.files(() => undefined, TARGETS),
        BOUNDARY,
      )
      return w.server.http.upload(
        w.gun,
        Buffer.from(body.toString('latin1').replace('name="files"', 'name="else"'), 'latin1'),
      )
    },
  ],
  ['filename with .json', (w) => w.post(renamedTo(w, 'targets.json'))],
  ['two targets parts v4,v5', (w) => twice(w, 1)],
  ['two targets parts v6,v6', (w) => twice(w, 0)],
  ['timestamp uploaded (bad sig)', (w) => w.keep([TARGETS, TIMESTAMP], targets)],
  ['timestamp only uploaded', (w) => w.try([TIMESTAMP])],
  ['snapshot uploaded w/ wrong key', (w) => w.try([TARGETS, SNAPSHOT], both(targets, signedBy(SNAPSHOT, 'stranger')))],
  ['GET missing delegation', (w) => w.get('targets/releases.json')],
  ['GET bad role', (w) => w.get('targets/Foo.json')],
  ['GET unknown gun root', (w) => w.server.http.get('registry.example.com/unknown', 'root.json')],
  ['GET unknown gun snapshot', (w) => w.server.http.get('registry.example.com/unknown', 'snapshot.json')],
  ['GET unknown gun timestamp', (w) => w.server.http.get('registry.example.com/unknown', 'timestamp.json')],
  ['HEAD root', (w) => w.call('HEAD', `/v2/${w.gun}/_trust/tuf/root.json`)],
  ['PUT root', (w) => w.call('PUT', `/v2/${w.gun}/_trust/tuf/root.json`)],
  ['POST root.json', (w) => w.call('POST', `/v2/${w.gun}/_trust/tuf/root.json`)],
  ['GET /tuf/', (w) => w.call('GET', `/v2/${w.gun}/_trust/tuf/`)],
  ['GET targets.key', (w) => w.get('targets.key')],
  ['POST root.key', (w) => w.call('POST', `/v2/${w.gun}/_trust/tuf/root.key`)],
  ['GET /v2', (w) => w.call('GET', '/v2')],
  ['GET /', (w) => w.call('GET', '/')],
  ['OPTIONS', (w) => w.call('OPTIONS', `/v2/${w.gun}/_trust/tuf/root.json`)],
  ['PATCH', (w) => w.call('PATCH', `/v2/${w.gun}/_trust/tuf/root.json`)],
  ['POST /v2/', (w) => w.call('POST', '/v2/')],
  ['POST no trailing slash', (w) => w.call('POST', `/v2/${w.gun}/_trust/tuf`)],
  ['gun with *', (w) => w.call('GET', '/v2/registry.example.com/a*b/_trust/tuf/root.json')],
  ['gun with upper', (w) => w.call('GET', '/v2/registry.example.com/Upper/_trust/tuf/root.json')],
  ['gun _trust nested', (w) => w.call('GET', `/v2/${w.gun}/_trust/tuf/x/_trust/tuf/root.json`)],
  ['double slash', (w) => w.call('GET', `/v2//${w.gun}/_trust/tuf/root.json`)],
  ['dotdot', (w) => w.call('GET', `/v2/a/../${w.gun}/_trust/tuf/root.json`)],
]

const DELEGATED: readonly (readonly [string, Step])[] = [
  [
    'targets v2 with delegs',
    async (w) => {
      await w.keep([ROOT, TARGETS])
      return w.keep([TARGETS], (b) => {
        b.delegate('targets/alice', { keys: [testKey('a')] })
        b.delegate('targets/releases', { keys: [testKey('a'), testKey('b')] }).nextVersions(TARGETS)
      })
    },
  ],
  ['releases v1 by a', (w) => w.keep([RELEASES], signedBy(RELEASES, 'a'))],
  [
    'releases v2 by b',
    (w) =>
      w.keep(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'b')),
      ),
  ],
  ['releases v3 by stranger', (w) => w.try([RELEASES], both(v(RELEASES, 3), signedBy(RELEASES, 'stranger')))],
  ['releases v3 expired', (w) => w.try([RELEASES], both(v(RELEASES, 3), expired(RELEASES)))],
  ['unknown delegation role', (w) => w.post(renamed(w, 'targets/zed'))],
  ['nested, parent not delegating', (w) => w.post(renamed(w, 'targets/alice/x'))],
  ['alice + releases one post', (w) => w.keep(['targets/alice', RELEASES], v(RELEASES, 3))],
  [
    'releases target outside paths ok?',
    (w) =>
      w.try([TARGETS, RELEASES], (b) => {
        b.role(RELEASES).paths = ['v1']
        b.put(RELEASES, 'v2', 'image').nextVersions(TARGETS, RELEASES)
      }),
  ],
  [
    'alice delegates to alice/x',
    (w) =>
      w.keep(['targets/alice', 'targets/alice/x'], (b) => b.delegate('targets/alice/x').nextVersions('targets/alice')),
  ],
  [
    'remove alice from targets',
    (w) =>
      w.keep([TARGETS], (b) => {
        b.roles.delete('targets/alice/x' as RoleName)
        b.roles.delete('targets/alice' as RoleName)
        b.nextVersions(TARGETS)
      }),
  ],
  ['upload alice after removal', (w) => w.post(renamed(w, 'targets/alice'))],
  [
    'deleg role not direct child',
    (w) =>
      w.try(
        [TARGETS],
        both(
          targets,
          editDelegation((role) => role.set('name', 'targets/a/b')),
        ),
      ),
  ],
  [
    'deleg role bad name',
    (w) =>
      w.try(
        [TARGETS],
        both(
          targets,
          editDelegation((role) => role.set('name', 'targets/Al')),
        ),
      ),
  ],
  [
    'deleg keyid missing key',
    (w) =>
      w.try(
        [TARGETS],
        both(
          targets,
          editDelegation((role) => role.set('keyids', ['0'.repeat(64)])),
        ),
      ),
  ],
  [
    'deleg thr 0',
    (w) =>
      w.try(
        [TARGETS],
        both(
          targets,
          editDelegation((role) => role.set('threshold', 0)),
        ),
      ),
  ],
  [
    'deleg no keys thr1',
    (w) =>
      w.keep(
        [TARGETS],
        both(targets, (b) => (b.role(RELEASES).keys = [])),
      ),
  ],
  [
    'then releases signed by a',
    (w) =>
      w.try(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a')),
      ),
  ],
  [
    'deleg dup role names',
    (w) =>
      w.keep([TARGETS], (b) => {
        b.role(RELEASES).keys = [testKey('a')]
        b.nextVersions(TARGETS)
        // A second entry of the same name, with another key.
        b.role(TARGETS).edit = (signed) => {
          const delegations = signed.get('delegations') as Map<string, JsonValue>
          const roles = delegations.get('roles') as Map<string, JsonValue>[]
          const key = testKey('b').publicKey
          const keys = delegations.get('keys') as Map<string, JsonValue>
          keys.set(
            key.tufKeyId,
            new Map<string, JsonValue>([
              ['keytype', key.keyType],
              [
                'keyval',
                new Map<string, JsonValue>([
                  ['private', null],
                  ['public', key.publicValue],
                ]),
              ],
            ]),
          )
          const first = roles[0] ?? new Map<string, JsonValue>()
          delegations.set('roles', [first, new Map([...first, ['keyids', [key.tufKeyId]]])])
        }
      }),
  ],
  [
    'releases by b(2nd)',
    (w) =>
      w.try(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'b')),
      ),
  ],
  [
    'releases by a(1st)',
    (w) =>
      w.keep(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a')),
      ),
  ],
  [
    'thr 2 two keys one sig',
    async (w) => {
      await w.keep([TARGETS], (b) => {
        delete b.role(TARGETS).edit
        b.role(RELEASES).keys = [testKey('a'), testKey('b')]
        b.role(RELEASES).threshold = 2
        b.nextVersions(TARGETS)
      })
      return w.try(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a')),
      )
    },
  ],
  [
    'thr 2 two sigs',
    (w) =>
      w.keep(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a', 'b')),
      ),
  ],
  [
    'thr 2 same sig twice',
    (w) =>
      w.try([RELEASES], (b) => {
        b.nextVersions(RELEASES)
        b.role(RELEASES).signers = [testKey('a')]
        b.role(RELEASES).editSignatures = (list) => [...list, ...list]
      }),
  ],
  [
    'thr 2 with stranger',
    (w) =>
      w.try(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a', 'stranger')),
      ),
  ],
  [
    'root v2 replaces targets key, no targets',
    (w) =>
      w.try(
        [ROOT],
        both(nextRoot, (b) => (b.role(TARGETS).keys = [testKey('t2')])),
      ),
  ],
  // Ours never gets into the state that the original cannot leave; what the next ones try is refused or taken for itself.
  [
    'then releases by a+b',
    (w) =>
      w.try(
        [RELEASES],
        both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a', 'b')),
      ),
  ],
  [
    'then targets signed w/ old key',
    (w) =>
      w.try(
        [ROOT, TARGETS],
        both(nextRoot, targets, (b) => (b.role(TARGETS).keys = [testKey('t2')]), signedBy(TARGETS, 'targets')),
      ),
  ],
  [
    'then targets signed w/ new key',
    (w) =>
      w.keep(
        [ROOT, TARGETS],
        both(nextRoot, targets, (b) => (b.role(TARGETS).keys = [testKey('t2')])),
      ),
  ],
  [
    'keyid wrong for key content',
    (w) =>
      w.try([TARGETS], (b) => {
        b.nextVersions(TARGETS)
        const wrong = testKey('wrong').publicKey
        b.role(ROOT).keys = [...b.role(ROOT).keys]
        b.role(TARGETS).editSignatures = (list) => list.map((one) => ({ ...one, keyId: wrong.tufKeyId }))
      }),
  ],
  ['DELETE', (w) => w.call('DELETE', `/v2/${w.gun}/_trust/tuf/`)],
  ['GET after delete', (w) => w.get('root.json')],
  ['DELETE again', (w) => w.call('DELETE', `/v2/${w.gun}/_trust/tuf/`)],
  ['changefeed no records', (w) => w.call('GET', '/v2/_trust/changefeed')],
  ['changefeed bad id', (w) => w.call('GET', '/v2/_trust/changefeed?records=1&change_id=x')],
]

const RELEASES = 'targets/releases'

const ROTATED: readonly (readonly [string, Step])[] = [
  [
    'root v2 with rotated ts key',
    async (w) => {
      await w.keep([ROOT, TARGETS])
      w.builder.nextRoot()
      await useServerKey(w.server, w.builder, 'timestamp', true)
      return w.keep([ROOT])
    },
  ],
  [
    'root v3 with rotated snapshot key',
    async (w) => {
      w.builder.nextRoot()
      await useServerKey(w.server, w.builder, 'snapshot', true)
      return w.keep([ROOT])
    },
  ],
  ['root v4 client snapshot key, without snapshot', (w) => w.try([ROOT], both(nextRoot, clientSnapshot))],
  [
    'root v4 + client snapshot v1 (low version)',
    (w) => w.try([ROOT, SNAPSHOT], both(nextRoot, clientSnapshot, v(SNAPSHOT, 1))),
  ],
  ['root v4 + client snapshot v9', (w) => w.keep([ROOT, SNAPSHOT], both(nextRoot, clientSnapshot, v(SNAPSHOT, 9)))],
  ['targets v2 without snapshot', (w) => w.try([TARGETS], targets)],
  [
    'pretty targets v2 + snapshot v10',
    (w) =>
      w.try([TARGETS, SNAPSHOT], (b) => {
        b.nextVersions(TARGETS)
        b.role(SNAPSHOT).version = 10
        b.role(TARGETS).mangle = (bytes) =>
          Buffer.from(JSON.stringify(JSON.parse(Buffer.from(bytes).toString()), null, 2))
      }),
  ],
  [
    'targets v3 + snapshot with stale targets hash',
    (w) => {
      const stale = w.files(v(SNAPSHOT, 11), SNAPSHOT)
      return w.post(new Map([...w.files(v(TARGETS, 3), TARGETS), ...stale]))
    },
  ],
  [
    'targets v3 + snapshot missing root meta',
    (w) =>
      w.try(
        [TARGETS, SNAPSHOT],
        both(
          v(TARGETS, 3),
          v(SNAPSHOT, 11),
          editMeta((meta) => meta.delete(ROOT)),
        ),
      ),
  ],
  [
    'targets v3 + snapshot wrong root hash',
    (w) =>
      w.try(
        [TARGETS, SNAPSHOT],
        both(
          v(TARGETS, 3),
          v(SNAPSHOT, 11),
          editMeta((meta) => meta.set(ROOT, meta.get(TARGETS) ?? null)),
        ),
      ),
  ],
  ['targets v3 + snapshot same version', (w) => w.try([TARGETS, SNAPSHOT], both(v(TARGETS, 3), v(SNAPSHOT, 9)))],
  ['snapshot only, expired', (w) => w.try([SNAPSHOT], both(v(SNAPSHOT, 11), expired(SNAPSHOT)))],
  [
    'snapshot only v12 referencing bogus targets hash',
    (w) =>
      w.try(
        [SNAPSHOT],
        both(
          v(SNAPSHOT, 12),
          editMeta((meta) => meta.set(TARGETS, meta.get(ROOT) ?? null)),
        ),
      ),
  ],
  ['GET targets after', (w) => w.get('targets.json')],
]

const CLIENT_HELD: readonly (readonly [string, Step])[] = [
  ['new repo: root+snapshot, no targets', (w) => w.try([ROOT, SNAPSHOT], clientSnapshot)],
  ['GET targets', (w) => w.get('targets.json')],
  [
    'new repo unknown ts key',
    (w) =>
      w.try(
        [ROOT, TARGETS, SNAPSHOT],
        both(
          clientSnapshot,
          (b) => (b.role(TIMESTAMP).keys = [testKey('t')]),
          editMeta((meta) => meta.set(TARGETS, meta.get(ROOT) ?? null)),
        ),
      ),
  ],
  ['new repo root v3', (w) => w.try([ROOT, TARGETS], v(ROOT, 3))],
  ['new repo root v2', (w) => w.keep([ROOT, TARGETS], v(ROOT, 2))],
  ['root v0', (w) => fresh(w, (b) => (b.role(ROOT).version = 0))],
]

function clientSnapshot(b: Builder): void {
  b.role(SNAPSHOT).keys = [testKey('client snapshot')]
}

function editMeta(change: (meta: Map<string, JsonValue>) => void): Change {
  return edit(SNAPSHOT, (signed) => {
    const meta = new Map(signed.get('meta') as Map<string, JsonValue>)
    change(meta)
    signed.set('meta', meta)
  })
}

/** Two parts for targets in one update; the second is the later one. */
async function twice(w: World, apart: number): Promise<Answer> {
  w.builder.nextVersions(TARGETS)
  const first = encodeMultipart(
    w.files(() => undefined, TARGETS),
    BOUNDARY,
  )
  w.builder.role(TARGETS).version += apart
  const second = encodeMultipart(
    w.files(() => undefined, TARGETS),
    BOUNDARY,
  )
  return w.server.http.upload(w.gun, Buffer.concat([first.subarray(0, -(BOUNDARY.length + 6)), second]))
}

function renamedTo(w: World, name: string): Files {
  w.builder.nextVersions(TARGETS)
  return new Map([[name as RoleName, w.files(() => undefined, TARGETS).get(TARGETS) ?? new Uint8Array()]])
}

function renamed(w: World, role: string): Files {
  const bytes = w
    .files(
      both((b) => b.nextVersions(RELEASES), signedBy(RELEASES, 'a')),
      RELEASES,
    )
    .get(RELEASES as RoleName)
  return new Map([[role as RoleName, bytes ?? new Uint8Array()]])
}

async function fresh(w: World, change: Change): Promise<Answer> {
  const world = new World(
    w.server,
    await newRepository(w.server, 'registry.example.com/another', (gun) => new RepositoryBuilder(gun)),
  )
  return world.try([ROOT, TARGETS], change)
}

/** Answers that differ: the row of the table, and what is answered in place of the original's. */
const DIFFERING: Readonly<
  Record<string, { readonly row: string; readonly status: number; readonly code?: string; readonly name?: string }>
> = {
  'root thr 2 targets 1 key': { row: 'D3', status: 400, code: 'INVALID_UPDATE', name: 'ErrBadRoot' },
  'releases target outside paths ok?': { row: 'D4', status: 400, code: 'INVALID_UPDATE', name: 'ErrBadTargets' },
  'root v2 replaces targets key, no targets': { row: 'D2', status: 400, code: 'INVALID_UPDATE', name: 'ErrBadTargets' },
  'then releases by a+b': { row: 'D2', status: 200 },
  'double slash': { row: 'D11', status: 404, code: 'METADATA_NOT_FOUND' },
  dotdot: { row: 'D11', status: 404, code: 'METADATA_NOT_FOUND' },
  'pretty targets v2 + snapshot v10': { row: 'D1', status: 400, code: 'INVALID_UPDATE', name: 'ErrBadTargets' },
  'snapshot only v12 referencing bogus targets hash': {
    row: 'D5',
    status: 400,
    code: 'INVALID_UPDATE',
    name: 'ErrBadSnapshot',
  },
  'new repo: root+snapshot, no targets': { row: 'D5', status: 400, code: 'INVALID_UPDATE', name: 'ErrBadSnapshot' },
}

/**
 * Where the recorded servers disagree (memory and keys of its own; PostgreSQL and a signer), ours answers as the first one does; why the other
 * differs.
 */
const DISAGREEING: Readonly<Record<string, string>> = {
  'root ts key unknown to server': 'D10',
  'root snap key unknown, no snap': 'D10',
  'GET missing delegation': 'D8',
  'GET bad role': 'D8',
  'nested, parent not delegating': 'D8',
  'root v4 client snapshot key, without snapshot': 'D10',
  'targets v2 without snapshot': 'D10',
  // It had taken a file that it cannot find any more.
  'GET targets after': 'D1',
}

describe('answers of notary-server', () => {
  const scope = new Scope()
  let server: TestTrustServer
  const answers: { readonly title: string; readonly answer: Answer }[] = []

  before(async () => {
    server = await startTestTrustServer(scope)
    const scripts = [
      ['first', FIRST],
      ['delegated', DELEGATED],
      ['rotated', ROTATED],
      ['held', CLIENT_HELD],
    ] as const
    for (const [name, script] of scripts) {
      const plain = (gun: string) => new RepositoryBuilder(gun)
      const world = new World(server, await newRepository(server, `registry.example.com/conformance/${name}`, plain))
      for (const [title, step] of script) answers.push({ title, answer: await step(world) })
    }
  })
  after(() => scope.close())

  it('are all asked for again, in their order', () => {
    expect(CASES.length).to.equal(139)
    expect(answers.map(({ title }) => title)).to.deep.equal(CASES.map(({ case: title }) => title))
  })

  it('differ only where a row says so', () => {
    const rows = new Set(DIFFERENCES.map(({ id }) => id))
    for (const row of [...Object.values(DIFFERING).map(({ row }) => row), ...Object.values(DISAGREEING)]) {
      expect(rows).to.include(row)
    }
    expect(Object.keys(DIFFERING).filter((title) => !CASES.some((one) => one.case === title))).to.deep.equal([])
  })

  it('are those of the server with keys of its own, where the recorded ones disagree', () => {
    const disagreeing = CASES.filter((recorded) => new Set(answersIn(recorded).values()).size > 1)
    expect(disagreeing.map(({ case: title }) => title)).to.deep.equal(Object.keys(DISAGREEING))
  })

  for (const [index, recorded] of CASES.entries()) {
    it(`${index}: ${recorded.case}`, () => {
      const answer = answers[index]?.answer
      expect(answer).not.to.equal(undefined)
      const got = `${answer?.status} ${answer?.code ?? ''} ${answer?.name ?? ''}`
      const differing = DIFFERING[recorded.case]
      const expected =
        differing === undefined
          ? (answersIn(recorded).get('all') ?? answersIn(recorded).get('memory_local_ed25519'))
          : `${differing.status} ${differing.code ?? ''} ${differing.name ?? ''}`
      expect(got, answer?.words).to.equal(expected)
      // A row that explains nothing is not kept.
      if (differing !== undefined) expect([...answersIn(recorded).values()]).not.to.include(got)
      expect(answer?.body.byteLength).to.be.lessThan(100_000)
      if ((answer?.status ?? 0) >= 400) expect(answer?.body.byteLength).to.be.at.most(1024)
    })
  }
})

/** Status, code and name by recorded server. */
function answersIn(recorded: RecordedCase): ReadonlyMap<string, string> {
  const answers = Object.entries(recorded).filter(([key]) => key !== 'case')
  return new Map(answers.flatMap(([server, value]) => (typeof value === 'string' ? [] : [[server, summary(value)]])))
}

function summary({ status, body }: Recorded): string {
  const error = (body as { errors?: { code: string; detail?: { Name?: string } }[] }).errors?.[0]
  return `${status} ${error?.code ?? ''} ${error?.detail?.Name ?? ''}`
}
