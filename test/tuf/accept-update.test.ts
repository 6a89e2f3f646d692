import {
  acceptUpdate,
  deletedState,
  EMPTY_STATE,
  parseRoleName,
  parseSnapshot,
  ROOT,
  SNAPSHOT,
  snapshotOf,
  TARGETS,
  TIMESTAMP,
  type AcceptedUpdate,
  type JsonValue,
  type RoleName,
  type ServedState,
  type TufKeyId,
} from '@countersign/tuf'
import { expect } from 'chai'
import { expectCode } from '../support/expect-code.ts'
import { NOW, RepositoryBuilder, sha256Of } from '../support/repository-builder.ts'
import { testCertificateKey, testKey } from '../support/test-keys.ts'

const RELEASES = parseRoleName('targets/releases')
const SIGNER = parseRoleName('targets/countersign')

/** A server that holds the keys named, and a repository that a test changes and publishes. */
class Server {
  readonly builder: RepositoryBuilder
  state: ServedState = EMPTY_STATE
  readonly keys: { snapshot: ReadonlySet<TufKeyId>; timestamp: ReadonlySet<TufKeyId> }

  constructor(builder: RepositoryBuilder, held: readonly RoleName[] = [SNAPSHOT, TIMESTAMP]) {
    this.builder = builder
    const idsOf = (role: RoleName) =>
      new Set(held.includes(role) ? builder.role(role).keys.map((k) => k.publicKey.tufKeyId) : [])
    this.keys = { snapshot: idsOf(SNAPSHOT), timestamp: idsOf(TIMESTAMP) }
  }

  try(...roles: string[]): AcceptedUpdate {
    const built = this.builder.files()
    const files = new Map(roles.map((role) => [parseRoleName(role), built.get(`${role}.json`) ?? new Uint8Array()]))
    return acceptUpdate(this.state, files, { gun: this.builder.gun, now: NOW, serverKeys: this.keys })
  }

  publish(...roles: string[]): AcceptedUpdate {
    const accepted = this.try(...roles)
    this.state = accepted.next
    return accepted
  }
}

function initialised(): Server {
  const server = new Server(RepositoryBuilder.withSigner())
  server.publish(ROOT, TARGETS, RELEASES, SIGNER)
  return server
}

function refused(code: string, reason: string, work: () => unknown): void {
  expect(expectCode(code, work).facts).to.include({ reason })
}

describe('acceptUpdate', () => {
  it('takes a first publication, and lists all of it', () => {
    const server = new Server(RepositoryBuilder.withSigner())
    const { next, changed, clientSnapshot } = server.publish(ROOT, TARGETS, RELEASES, SIGNER)
    expect([...changed.keys()]).to.have.members([ROOT, TARGETS, RELEASES, SIGNER])
    expect(clientSnapshot).to.equal(undefined)
    const files = server.builder.files()
    const meta = snapshotOf(next, 1, NOW).signed.get('meta') as ReadonlyMap<string, JsonValue>
    const listed = parseSnapshot(files.get('snapshot.json') ?? new Uint8Array()).signed.get('meta')
    expect(new Map([...meta].sort())).to.deep.equal(new Map([...(listed as typeof meta)].sort()))
  })

  it('needs a root, then targets', () => {
    const server = new Server(new RepositoryBuilder())
    expectCode('UPDATE_NO_ROOT', () => server.try(TARGETS))
    expectCode('UPDATE_NO_TARGETS', () => server.try(ROOT))
  })

  it('takes an empty update of what is published', () => {
    expect([...initialised().try().changed]).to.deep.equal([])
  })

  it('takes a next version, with versions left out, and no earlier one', () => {
    const server = initialised()
    server.builder.role(RELEASES).version = 7
    server.publish(RELEASES)
    expectCode('UPDATE_VERSION', () => server.try(RELEASES))
    server.builder.role(RELEASES).version = 3
    expectCode('UPDATE_VERSION', () => server.try(RELEASES))
  })

  it('takes a delegation published together with the targets that delegate it', () => {
    const server = initialised()
    server.builder.delegate('targets/alice').nextVersions(TARGETS)
    expect([...server.publish(TARGETS, 'targets/alice').changed.keys()]).to.deep.equal([TARGETS, 'targets/alice'])
  })

  it('refuses a delegation that nobody delegates', () => {
    const server = initialised()
    server.builder.delegate('targets/alice')
    refused('UPDATE_BAD_TARGETS', 'ROLE_NOT_DELEGATED', () => server.try('targets/alice'))
  })

  it('knows a nested delegation after the files that delegate it are gone', () => {
    const server = initialised()
    server.builder.delegate('targets/countersign/x').nextVersions(SIGNER)
    server.publish(SIGNER, 'targets/countersign/x')
    server.builder.nextVersions('targets/countersign/x')
    server.publish('targets/countersign/x')
    server.builder.roles.delete(SIGNER)
    server.builder.nextVersions(TARGETS)
    server.publish(TARGETS)
    server.builder.delegate(SIGNER).nextVersions('targets/countersign/x')
    refused('UPDATE_BAD_TARGETS', 'ROLE_NOT_DELEGATED', () => server.try('targets/countersign/x'))
  })

  for (const [name, reason, change] of [
    ['signed by a stranger', 'SIGNATURE_BELOW_THRESHOLD', (b) => (b.role(RELEASES).signers = [testKey('stranger')])],
    ['unsigned', 'SIGNATURE_NONE', (b) => (b.role(RELEASES).editSignatures = () => [])],
    ['expired', 'ROLE_EXPIRED', (b) => (b.role(RELEASES).expiresAt = new Date('2020-01-01T00:00:00Z'))],
    ['of another type', 'METADATA_TYPE', (b) => (b.role(RELEASES).edit = (s) => s.set('_type', 'targets'))],
    ['of version 0', 'METADATA_VERSION', (b) => (b.role(RELEASES).version = 0)],
    ['of a version nobody reaches', 'VERSION_IMPLAUSIBLE', (b) => (b.role(RELEASES).version = 2_147_483_647)],
    ['no JSON', 'JSON_SYNTAX', (b) => (b.role(RELEASES).mangle = () => Buffer.from('{'))],
    [
      'followed by something',
      'JSON_TRAILING_BYTES',
      (b) => (b.role(RELEASES).mangle = (f) => Buffer.concat([f, Buffer.from('x')])),
    ],
    [
      'followed by a line break (trap Q1)',
      'NORMAL_FORM_BYTES',
      (b) => (b.role(RELEASES).mangle = (f) => Buffer.concat([f, Buffer.from('\n')])),
    ],
    [
      'with an unknown member (trap Q1)',
      'NORMAL_FORM_UNKNOWN_MEMBER',
      (b) => (b.role(RELEASES).edit = (s) => s.set('extra', 1)),
    ],
    [
      'with milliseconds (trap Q2)',
      'NORMAL_FORM_EXPIRES',
      (b) => (b.role(RELEASES).edit = (s) => s.set('expires', '2029-01-01T00:00:00.000Z')),
    ],
  ] as const satisfies readonly (readonly [string, string, (b: RepositoryBuilder) => unknown])[]) {
    it(`refuses a file that is ${name}`, () => {
      const server = initialised()
      server.builder.nextVersions(RELEASES)
      change(server.builder)
      refused('UPDATE_BAD_TARGETS', reason, () => server.try(RELEASES))
    })
  }

  it('refuses names outside the paths, those of the parents included (trap Q37)', () => {
    const server = new Server(
      new RepositoryBuilder()
        .delegate('targets/a', { paths: ['v1'] })
        .delegate('targets/a/b', { paths: ['v1.2', 'v2'] }),
    )
    server.publish(ROOT, TARGETS, 'targets/a', 'targets/a/b')
    server.builder.put('targets/a/b', 'v1.2.3', 'image').nextVersions('targets/a/b')
    server.publish('targets/a/b')
    server.builder.put('targets/a/b', 'v2.0', 'image').nextVersions('targets/a/b')
    refused('UPDATE_BAD_TARGETS', 'TARGET_OUTSIDE_PATHS', () => server.try('targets/a/b'))
  })

  it('refuses a threshold that nobody can meet, and leaves a role without keys alone', () => {
    const server = initialised()
    server.builder.delegate('targets/alice', { threshold: 2, published: false }).nextVersions(TARGETS)
    refused('UPDATE_BAD_TARGETS', 'METADATA_THRESHOLD', () => server.try(TARGETS))
    server.builder.role('targets/alice').keys = []
    server.publish(TARGETS)
    server.builder.nextRoot()
    server.builder.role(TARGETS).threshold = 2
    refused('UPDATE_BAD_ROOT', 'METADATA_THRESHOLD', () => server.try(ROOT))
  })

  describe('a root', () => {
    it('follows by one version, signed by the old keys and the new', () => {
      const server = initialised()
      server.builder.nextRoot((root) => (root.keys = [server.builder.rootKey('second')]))
      server.publish(ROOT)
      server.builder.nextRoot()
      server.publish(ROOT)
    })

    for (const [name, reason, change] of [
      ['two versions on', 'ROOT_VERSION', (b) => (b.role(ROOT).version = 3)],
      [
        'signed by new keys alone',
        'SIGNATURE_BELOW_THRESHOLD',
        (b) => {
          b.role(ROOT).keys = [b.rootKey('second')]
          b.role(ROOT).signers = [b.rootKey('second')]
        },
      ],
      [
        'signed by old keys alone',
        'SIGNATURE_BELOW_THRESHOLD',
        (b) => {
          b.role(ROOT).keys = [b.rootKey('second')]
          b.role(ROOT).signers = [b.rootKey('root')]
        },
      ],
      ['expired', 'ROLE_EXPIRED', (b) => (b.role(ROOT).expiresAt = new Date('2020-01-01T00:00:00Z'))],
      [
        'for another repository',
        'CERTIFICATE_NAME',
        (b) => {
          b.role(ROOT).keys = [testCertificateKey('root', { commonName: 'registry.example.com/other' })]
        },
      ],
      ['without a certificate', 'CERTIFICATE_BUNDLE', (b) => (b.role(ROOT).keys = [testKey('bare')])],
    ] as const satisfies readonly (readonly [string, string, (b: RepositoryBuilder) => unknown])[]) {
      it(`is refused ${name}`, () => {
        const server = initialised()
        server.builder.nextRoot()
        change(server.builder)
        refused('UPDATE_BAD_ROOT', reason, () => server.try(ROOT))
      })
    }

    it('cannot leave targets behind that its keys did not sign (trap Q4)', () => {
      const server = initialised()
      server.builder.nextRoot()
      server.builder.role(TARGETS).keys = [testKey('other targets')]
      refused('UPDATE_ORPHANS_TARGETS', 'SIGNATURE_BELOW_THRESHOLD', () => server.try(ROOT))
      server.builder.nextVersions(TARGETS)
      server.publish(ROOT, TARGETS)
    })

    it('must list timestamp keys that are here', () => {
      const server = initialised()
      server.builder.nextRoot()
      server.builder.role(TIMESTAMP).keys = [testKey('other')]
      refused('UPDATE_NO_TIMESTAMP_KEY', 'KEY_NOT_FOUND', () => server.try(ROOT))
    })
  })

  it('says which delegations clients pass over until they are signed again (trap Q4)', () => {
    const server = initialised()
    server.builder.role(RELEASES).keys = [testKey('next')]
    server.builder.nextVersions(TARGETS)
    expect(server.publish(TARGETS).orphaned).to.deep.equal([RELEASES])
    server.builder.nextVersions(RELEASES)
    expect(server.publish(RELEASES).orphaned).to.deep.equal([])
  })

  it('lets a role be delegated again with another key; its versions go on (trap Q5)', () => {
    const server = initialised()
    server.builder.roles.delete(SIGNER)
    server.builder.nextVersions(TARGETS)
    server.publish(TARGETS)
    server.builder.delegate(SIGNER, { keys: [testKey('another')] }).nextVersions(TARGETS)
    server.publish(TARGETS)
    expectCode('UPDATE_VERSION', () => server.try(SIGNER))
    server.builder.nextVersions(SIGNER)
    server.publish(SIGNER)
  })

  describe('with a snapshot key of the client', () => {
    const client = (): Server => new Server(RepositoryBuilder.withSigner(), [TIMESTAMP])

    it('needs a snapshot', () => {
      expectCode('UPDATE_NO_SNAPSHOT', () => client().try(ROOT, TARGETS, RELEASES, SIGNER))
    })

    it('takes one that describes everything', () => {
      const server = client()
      const { clientSnapshot, next } = server.publish(ROOT, TARGETS, RELEASES, SIGNER, SNAPSHOT)
      expect(clientSnapshot?.sha256).to.equal(sha256Of(server.builder.files().get('snapshot.json') ?? new Uint8Array()))
      expect(next.roles.get(SNAPSHOT)?.version).to.equal(1)
    })

    it('refuses one that is wrong about a role, leaves one out, or describes what is not there', () => {
      const server = client()
      server.publish(ROOT, TARGETS, RELEASES, SIGNER, SNAPSHOT)
      server.builder.nextVersions(RELEASES)
      refused('UPDATE_BAD_SNAPSHOT', 'FILE_HASH_MISMATCH', () => server.try(SNAPSHOT))
      server.builder.role(SIGNER).published = false
      refused('UPDATE_BAD_SNAPSHOT', 'FILE_HASH_MISMATCH', () => server.try(RELEASES, SNAPSHOT))
      server.builder.role(SIGNER).published = true
      server.builder.role(SNAPSHOT).edit = (signed) => {
        const meta = signed.get('meta') as Map<string, JsonValue>
        meta.set('targets/ghost', meta.get(TARGETS) ?? null)
      }
      refused('UPDATE_BAD_SNAPSHOT', 'FILE_MISSING', () => server.try(RELEASES, SNAPSHOT))
    })

    it('lets go of a delegation that it leaves out', () => {
      const server = client()
      server.publish(ROOT, TARGETS, RELEASES, SIGNER, SNAPSHOT)
      server.builder.roles.delete(SIGNER)
      server.builder.nextVersions(TARGETS)
      expect(server.publish(TARGETS, SNAPSHOT).next.roles.get(SIGNER)).to.include({ isListed: false, version: 1 })
    })
  })

  it('starts again after a deletion only with the next root and with targets of a higher version', () => {
    const server = initialised()
    server.state = deletedState(server.state)
    expectCode('UPDATE_NO_TARGETS', () => server.try())
    server.builder.nextRoot()
    refused('UPDATE_VERSION', 'VERSION_ROLLED_BACK', () => server.try(ROOT, TARGETS))
    server.builder.nextVersions(TARGETS)
    expect(server.publish(ROOT, TARGETS).next.roles.get(RELEASES)).to.include({ isListed: false })
  })
})
