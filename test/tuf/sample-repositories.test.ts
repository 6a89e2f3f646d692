// Repositories made by Notary's and Docker's own clients verify, and say what those clients say of them.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import {
  findTarget,
  parseGun,
  RELEASES,
  RepositoryVerifier,
  signersOf,
  signingRole,
  TARGETS,
  targetsOf,
  verifyFiles,
  type RoleName,
  type RootPin,
  type TufKeyId,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { sha256Of } from '../support/repository-builder.ts'

const vectors = resolve(import.meta.dirname, '../vectors/notary-v1')

/** Before the timestamp of the Docker sample expires (2026-12-07). */
const now = new Date('2026-11-25T00:00:00Z')

/** Files by the plain name of the cache, and by hash as a server serves them. */
function readSample(folder: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (const name of readdirSync(join(vectors, folder), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.json') || name === 'keys.json') continue
    const bytes = readFileSync(join(vectors, folder, name))
    files.set(name, bytes).set(`${name.slice(0, -5)}.${sha256Of(bytes)}.json`, bytes)
  }
  return files
}

const samples = [
  {
    folder: 'repo-ecdsa',
    gun: parseGun('registry.example.test/demo/app'),
    certificate: '56d50fdf0112e253a92e546c8d316981fe1ddbef37c034d188e1dd7664349aa2',
    chain: 3,
    released: new Map([
      ['1.0', ['targets/alice']],
      ['1.1', ['targets/bob']],
    ]),
    roles: ['targets/releases', 'targets/alice', 'targets/bob'],
  },
  {
    folder: 'repo-mixed',
    gun: parseGun('registry.example.test/demo/mixed'),
    chain: 3,
    released: new Map([
      ['1.0', ['targets/alice']],
      ['1.1', ['targets/bob']],
    ]),
    roles: ['targets/releases', 'targets/alice', 'targets/bob'],
  },
  {
    folder: 'docker-cli-28.2.2/metadata',
    gun: parseGun('localhost:5055/proto/demo'),
    certificate: '7561ad1d0e61d97345fadce33b542acb41c8e6fd2321b4aec1d3d6e39ed39904',
    chain: 1,
    released: new Map([
      ['1.0', []],
      ['1.1', ['targets/alice']],
    ]),
    roles: ['targets/alice', 'targets/releases'],
  },
]

describe('sample repositories of stock clients', () => {
  for (const { folder, gun, certificate, chain, released, roles } of samples) {
    describe(folder, () => {
      const files = readSample(folder)
      const first = files.get('1.root.json') ?? files.get('root.json')!
      const verify = (pin: RootPin) => verifyFiles(files, { gun, pin, now })

      it('verifies cold', () => {
        const repository = verify({ kind: 'tofu' })
        expect([...repository.delegations.keys()]).to.deep.equal(roles)
        expect(repository.unusable.size).to.equal(0)
        expect(repository.rootChain).to.have.length(1)
      })

      it('verifies from the first root, walking the chain', () => {
        const repository = verify({ kind: 'root', bytes: first })
        expect(repository.rootChain).to.have.length(chain)
        expect(Buffer.compare(repository.rootChain[0]!, first)).to.equal(0)
        expect(repository.rootChain.at(-1)).to.equal(repository.root.bytes)
      })

      if (certificate !== undefined) {
        it('verifies with the certificate pinned, and with no other', () => {
          verify({ kind: 'certificates', tufKeyIds: ['ab'.repeat(32), certificate] as TufKeyId[] })
          expectCode('ROOT_NOT_PINNED', () =>
            verify({ kind: 'certificates', tufKeyIds: ['ab'.repeat(32)] as TufKeyId[] }),
          )
        })
      }

      it('is refused under the name of another repository', () => {
        expectCode('CERTIFICATE_NAME', () =>
          verifyFiles(files, { gun: parseGun('registry.example.test/other'), pin: { kind: 'tofu' }, now }),
        )
      })

      it('finds the tags and signers that docker trust inspect shows', () => {
        const repository = verify({ kind: 'tofu' })
        for (const [tag, signers] of released) {
          const { meta } = findTarget(repository, tag)!
          const digest = Buffer.from(meta.hashes.get('sha256')!, 'base64').toString('hex')
          expect(signersOf(repository, tag, digest), tag).to.deep.equal(signers)
        }
        expect(findTarget(repository, 'no-such-tag')).to.equal(undefined)
      })

      it('verifies again from its own files, with every pin on the chain', () => {
        const repository = verify({ kind: 'root', bytes: first })
        for (const bytes of repository.rootChain) {
          const again = verifyFiles(repository.files, { gun, pin: { kind: 'root', bytes }, now })
          expect(again.root.sha256).to.equal(repository.root.sha256)
        }
        verifyFiles(repository.files, { gun, pin: { kind: 'tofu' }, now })
      })

      it('asks for what a stock client asks for, and for later roots', () => {
        const asked: string[] = []
        const verifier = new RepositoryVerifier({ gun, pin: { kind: 'tofu' }, now })
        for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
          asked.push(request.fileName)
          verifier.accept(files.get(request.fileName))
        }
        const hashed = ['snapshot', 'targets', ...roles].map((role) => {
          return `${role}.${sha256Of(files.get(`${role}.json`)!)}.json`
        })
        expect(asked).to.deep.equal(['root.json', 'timestamp.json', ...hashed])
      })
    })
  }

  it('has releases signed by both signers, one of whom is enough', () => {
    const files = readSample('repo-ecdsa')
    const repository = verifyFiles(files, { gun: samples[0]!.gun, pin: { kind: 'tofu' }, now })
    const releases = signingRole(repository, RELEASES)!
    expect(releases.keys).to.have.length(2)
    expect(releases.threshold).to.equal(1)
    expect(releases.paths).to.deep.equal([''])
    expect(signingRole(repository, TARGETS)!.keys).to.have.length(1)
    expect(signingRole(repository, 'targets/nobody' as RoleName)).to.equal(undefined)
    expect(targetsOf(repository, TARGETS)).to.equal(repository.targets)
  })

  it('expires with its timestamp', () => {
    const files = readSample('docker-cli-28.2.2/metadata')
    const options = { gun: samples[2]!.gun, pin: { kind: 'tofu' } } as const
    const error = expectCode('ROLE_EXPIRED', () =>
      verifyFiles(files, { ...options, now: new Date('2026-12-08T00:00:00Z') }),
    )
    expect(error.facts['role']).to.equal('timestamp')
    expect(existsSync(join(vectors, 'README.md'))).to.equal(true)
  })
})
