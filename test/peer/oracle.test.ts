// The stock client is the judge of our verification: over many states, good and forged, Countersign never accepts a tag that
// `docker trust inspect` or a trusted pull refuses. Where it refuses what Docker accepts, the code stands in docs/errors.md.
import {
  findTarget,
  hexOfBase64Digest,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  TufError,
  verifyFiles,
  type FileMeta,
} from '@countersign/tuf'
import { expect } from 'chai'
import { STRICTER_THAN_DOCKER } from '../../src/http/stricter.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startMetadataServer, type MetadataServer } from '../support/peers/metadata-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { imageOf, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import * as swizzle from '../support/swizzler.ts'
import { testCertificateKey, testKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'

const TAG = '1.0'
const DAY_MS = 86_400_000

type State = readonly [name: string, make: (gun: string) => RepositoryBuilder]

/** A tag signed as Countersign does it, with an expiry that the stock client's real clock accepts. */
function signed(gun: string): RepositoryBuilder {
  const builder = RepositoryBuilder.withSigner('countersign', gun)
  builder.put('targets/releases', TAG, 'image').put('targets/countersign', TAG, 'image')
  return alive(builder)
}

function alive(builder: RepositoryBuilder): RepositoryBuilder {
  const now = Date.now()
  for (const [name, role] of builder.roles) role.expiresAt = new Date(now + (name === TIMESTAMP ? 10 : 900) * DAY_MS)
  return builder
}

function with_(change: (builder: RepositoryBuilder) => unknown): (gun: string) => RepositoryBuilder {
  return (gun) => {
    const builder = signed(gun)
    change(builder)
    return builder
  }
}

const ROLES = ['root', 'timestamp', 'snapshot', 'targets', 'targets/releases', 'targets/countersign']

const DAMAGES: readonly (readonly [string, swizzle.Damage])[] = [
  ['expired', swizzle.expire],
  ['with a version of 0', swizzle.offsetVersion(-1)],
  ['with the highest version there is', swizzle.offsetVersion(2_147_483_646)],
  ['with a version beyond 31 bits', swizzle.offsetVersion(2_147_483_647)],
  ['signed by a foreign key', swizzle.signWithForeignKey],
  ['without signatures', swizzle.stripSignatures],
  ['with broken signatures', swizzle.breakSignatures],
  ['with another method named', swizzle.relabelMethod('eddsa')],
  ['with an unknown method named', swizzle.relabelMethod('quantum')],
  ['whose key stands under a wrong ID', swizzle.listKeyUnderWrongId],
  ['of an unknown type', swizzle.setMember('_type', 'Mirrors')],
  [
    'of its own type in lower case',
    swizzle.editSigned((it) => {
      const type = it.get('_type')
      if (typeof type === 'string') it.set('_type', type.toLowerCase())
    }),
  ],
  ['without a version', swizzle.dropMember('version')],
  ['whose version is text', swizzle.setMember('version', '1')],
  ['without an expiry', swizzle.dropMember('expires')],
  ['whose expiry has no seconds', swizzle.setMember('expires', '2031-01-01T00:00Z')],
  ['whose expiry has a fraction', swizzle.setMember('expires', '2031-01-01T00:00:00.5Z')],
  ['whose expiry has an offset', swizzle.setMember('expires', '2031-01-01T00:00:00+02:00')],
  ['with an unknown member', swizzle.setMember('spec_version', '1.0')],
  ['with a member that differs by case', swizzle.setMember('Version', 7)],
  ['with a threshold that cannot be met', swizzle.setThreshold(2)],
  ['with a duplicate member', swizzle.replaceText('"signed":{', '"signed":{"_type":"x",')],
  ['with space around the document', swizzle.replaceText('{"signed"', ' \n{"signed"')],
  ['with bytes behind the document', swizzle.replaceText(']}', ']} x')],
]
const LISTED: readonly (readonly [string, swizzle.Damage])[] = [
  ['listed with a wrong SHA-256', swizzle.declareWrongHash('sha256')],
  ['listed with a wrong SHA-512', swizzle.declareWrongHash('sha512')],
  ['listed as shorter than it is', swizzle.declareLength(-1)],
  ['listed as longer than it is', swizzle.declareLength(1)],
]

const STATES: readonly State[] = [
  ['a tag signed by Countersign', signed],
  ['a tag in targets, without delegations', (gun) => alive(new RepositoryBuilder(gun).put(TARGETS, TAG, 'image'))],
  ['no such tag', (gun) => alive(RepositoryBuilder.withSigner('countersign', gun))],
  [
    'a tag of the signer alone (trap Q9)',
    (gun) => alive(RepositoryBuilder.withSigner('countersign', gun).put('targets/countersign', TAG, 'image')),
  ],
  [
    'a tag in releases alone',
    (gun) => alive(RepositoryBuilder.withSigner('countersign', gun).put('targets/releases', TAG, 'image')),
  ],
  ['another digest in targets than in releases (trap Q6)', with_((it) => it.put(TARGETS, TAG, 'older image'))],
  ['another digest at the signer', with_((it) => it.put('targets/countersign', TAG, 'older image'))],
  [
    'releases expired, the tag in targets too (trap Q8)',
    with_((it) => {
      it.put(TARGETS, TAG, 'older image')
      swizzle.expire(it, 'targets/releases')
    }),
  ],
  [
    'a tag outside the paths of releases (trap Q37)',
    with_((it) => {
      it.role('targets/releases').paths = ['v']
    }),
  ],
  [
    'a delegation of releases that holds the tag',
    (gun) =>
      alive(
        RepositoryBuilder.withSigner('countersign', gun)
          .delegate('targets/releases/x')
          .put('targets/releases/x', TAG, 'image'),
      ),
  ],
  [
    'releases not in the snapshot',
    with_((it) => {
      it.role('targets/releases').published = false
    }),
  ],
  [
    'an entry without SHA-256',
    with_((it) =>
      it.role('targets/releases').targets.set(
        TAG,
        new Map([
          ['hashes', new Map([['sha512', Buffer.alloc(64).toString('base64')]])],
          ['length', 3],
        ] as never),
      ),
    ),
  ],
  [
    'an entry with a negative length (trap Q30)',
    with_((it) => it.put('targets/releases', TAG, { sha256: imageOf('image').sha256, length: -1 })),
  ],
  [
    'a certificate for another repository',
    with_((it) => {
      it.role('root').keys = [testCertificateKey('other', { commonName: 'registry.example.com/other' })]
    }),
  ],
  [
    'a certificate for a pattern',
    with_((it) => {
      it.role('root').keys = [testCertificateKey('pattern', { commonName: 'registry.example.com/team/*' })]
    }),
  ],
  [
    'a certificate that has expired',
    with_((it) => {
      it.role('root').keys = [
        testCertificateKey('old', {
          commonName: it.gun,
          notBefore: new Date('2020-01-01'),
          notAfter: new Date('2021-01-01'),
        }),
      ]
    }),
  ],
  [
    'a root key that is no certificate',
    with_((it) => {
      it.role('root').keys = [testKey('bare')]
    }),
  ],
  [
    'one key in two certificates for a threshold of two (trap Q22)',
    with_((it) => {
      it.role('root').keys = [it.rootKey('root'), testCertificateKey('root', { commonName: 'registry.example.com/*' })]
      it.role('root').threshold = 2
    }),
  ],
  ...[1024, 2048]
    .map((bits): State => [
      `a delegation certificate with an RSA key of ${bits} bits (trap Q33)`,
      with_((it) => {
        it.role('targets/countersign').keys.push(
          testCertificateKey('weak', { commonName: 'x', rsaBits: bits } as never),
        )
      }),
    ])
    .slice(1),
  ...ROLES.flatMap((role) =>
    DAMAGES.map(([what, damage]): State => [
      `${role} ${what}`,
      with_((it) => {
        damage(it, role)
      }),
    ]),
  ),
  ...[SNAPSHOT, TARGETS, 'targets/releases', 'root'].flatMap((role) =>
    LISTED.map(([what, damage]): State => [
      `${role} ${what}`,
      with_((it) => {
        damage(it, role)
      }),
    ]),
  ),
]

interface Look {
  readonly ours: { readonly digest?: string; readonly code?: string }
  readonly listed: readonly string[]
  readonly pulled: string | undefined
}

/** Clients at the same time: they wait more than they work. */
const PARALLEL = 6

describe('the stock client as judge of every state', function () {
  this.timeout(20_000)
  const scope = new Scope()
  const looks = new Map<string, Look>()
  const verdicts = { both: 0, neither: 0, stricter: 0 }

  before(async function () {
    this.timeout(600_000)
    requirePeers(this, 'docker')
    const server = await startMetadataServer(scope, createTestCa())
    const waiting = [...STATES.entries()]
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, [name, make]] = next
        looks.set(name, await look(scope, server, make(`registry.example.com/team/app-${index}`)))
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, work))
  })
  after(() => scope.close())

  for (const [name] of STATES) {
    it(name, () => {
      const { ours, listed, pulled } = looks.get(name)!
      if (ours.digest !== undefined) {
        expect(pulled, 'a trusted pull').to.equal(ours.digest)
        expect(listed, 'docker trust inspect').to.include(ours.digest)
        verdicts.both++
      } else if (pulled === undefined) {
        verdicts.neither++
      } else {
        expect(Object.keys(STRICTER_THAN_DOCKER), `Docker accepts ${pulled}`).to.include(ours.code ?? 'no code')
        verdicts.stricter++
      }
    })
  }

  it('saw accepted, refused and more strictly refused states', () => {
    expect(verdicts.both).to.be.greaterThan(10)
    expect(verdicts.neither).to.be.greaterThan(50)
    expect(verdicts.stricter).to.be.greaterThan(0)
  })
})

/** The same files for us and for a client that has never seen the repository. */
async function look(scope: Scope, server: MetadataServer, builder: RepositoryBuilder): Promise<Look> {
  const { gun } = builder
  const files = builder.files()
  server.repositories.set(gun, files)
  const ours = verdictOf(
    () => findTarget(verifyFiles(files, { gun, pin: { kind: 'tofu' }, now: new Date() }), TAG)?.meta,
  )
  const listed = await inspectedDigest(new DockerClient(scope, { notary: server }), `${gun}:${TAG}`)
  const pulled = await pulledDigest(new DockerClient(scope, { notary: server }), `${gun}:${TAG}`)
  return { ours, listed, pulled }
}

function verdictOf(find: () => FileMeta | undefined): { digest?: string; code?: string } {
  try {
    const digest = find()?.hashes.get('sha256')
    return digest === undefined ? {} : { digest: hexOfBase64Digest(digest) }
  } catch (error) {
    if (error instanceof TufError) return { code: error.code }
    throw error
  }
}

async function inspectedDigest(docker: DockerClient, reference: string): Promise<readonly string[]> {
  const { stdout } = await docker.run(['trust', 'inspect', reference])
  const [found] = JSON.parse(stdout) as { SignedTags: { SignedTag: string; Digest: string }[] }[]
  return (found?.SignedTags ?? []).filter(({ SignedTag }) => SignedTag === TAG).map(({ Digest }) => Digest)
}

/** The digest that a trusted pull would fetch: the client prints it before it turns to the engine, of which there is none. */
async function pulledDigest(docker: DockerClient, reference: string): Promise<string | undefined> {
  const { stdout } = await docker.trusted(['--host', 'unix:///nonexistent/docker.sock', 'pull', reference])
  return /Pull \(1 of 1\): \S+@sha256:([0-9a-f]{64})/.exec(stdout)?.[1]
}
