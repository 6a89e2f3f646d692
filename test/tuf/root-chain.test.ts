// From the trusted root to the current one: what is walked, what is refused, and where trust may begin.
import { expect } from 'chai'
import {
  MAX_ROOT_FILES,
  RepositoryVerifier,
  type RootPin,
  type TufErrorCode,
  type TufKeyId,
  type VerifierOptions,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { NOW, RepositoryBuilder, sha256Of } from '../support/repository-builder.ts'
import { declareLength, expire } from '../support/swizzler.ts'
import { testCa, testKeyOfCa } from '../support/test-ca.ts'
import { testCertificateKey, testKey, type TestKey } from '../support/test-keys.ts'

const gun = 'registry.example.com/team/app'

/** Names asked for until the end or the refusal. */
function namesAsked(files: ReadonlyMap<string, Uint8Array>, options: VerifierOptions): string[] {
  const names: string[] = []
  const verifier = new RepositoryVerifier(options)
  for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
    names.push(request.fileName)
    verifier.accept(files.get(request.fileName))
  }
  return names
}

function rotate(builder: RepositoryBuilder, ...names: string[]): RepositoryBuilder {
  for (const name of names) builder.nextRoot((root) => (root.keys = [builder.rootKey(name)]))
  return builder
}

function certificate(name: string, o: Partial<Parameters<typeof testCertificateKey>[1]> = {}): TestKey {
  return testCertificateKey(name, { commonName: gun, ...o })
}

describe('the chain of roots', () => {
  it('needs no root file where the pinned root is the current one', () => {
    const builder = new RepositoryBuilder()
    const options = { gun: builder.gun, now: NOW, pin: { kind: 'root', bytes: builder.firstRoot() } } as const
    const names = namesAsked(builder.files(), options)
    expect(names.map((name) => name.split('.')[0])).to.deep.equal(['timestamp', 'snapshot', 'targets'])
  })

  it('is walked link by link, and no further than the root that the snapshot names', () => {
    const builder = rotate(new RepositoryBuilder(), 'second', 'third')
    const options = { gun: builder.gun, now: NOW, pin: { kind: 'root', bytes: builder.firstRoot() } } as const
    const names = namesAsked(builder.files(), options)
    expect(names.filter((name) => name.includes('root'))).to.deep.equal(['2.root.json', '3.root.json'])
    expect(names.filter((name) => name === 'timestamp.json')).to.have.length(2)
    expect(builder.verify().rootChain).to.have.length(3)
  })

  it('is walked where timestamp and snapshot have new keys as well', () => {
    for (const role of ['timestamp', 'snapshot', 'targets']) {
      const builder = rotate(new RepositoryBuilder(), 'second')
      builder.role(role).keys = [testKey(`new ${role}`)]
      expect(builder.verify().root.metadata.version, role).to.equal(2)
    }
  })

  it('may pass through roots whose metadata has expired', () => {
    const builder = new RepositoryBuilder()
    expire(builder, 'root')
    rotate(builder, 'second')
    expire(builder, 'root')
    rotate(builder, 'third')
    expect(builder.verify().rootChain).to.have.length(3)
  })

  it('must not end in a root whose metadata has expired', () => {
    const builder = rotate(new RepositoryBuilder(), 'second')
    expire(builder, 'root')
    const error = expectCode('ROLE_EXPIRED', () => builder.verify())
    expect(error.facts['role']).to.equal('root')
  })

  it('trap Q20: is walked from a pinned root that has expired, over any number of rotations', () => {
    const builder = new RepositoryBuilder()
    expire(builder, 'root')
    rotate(builder, 'second', 'third', 'fourth')
    expect(builder.verify().root.metadata.version).to.equal(4)
  })

  it('trap Q19: does not begin at a root whose certificate has expired', () => {
    const builder = new RepositoryBuilder()
    builder.role('root').keys = [certificate('short', { notAfter: new Date('2026-05-31T23:59:59Z') })]
    const bytes = builder.files().get('1.root.json')!
    rotate(builder, 'second')
    expectCode('CERTIFICATE_EXPIRED', () => builder.verify({ pin: { kind: 'root', bytes } }))
    expect(builder.verify({ pin: { kind: 'tofu' } }).root.metadata.version).to.equal(2)
  })

  it('takes an expired certificate of an old root for its successor, where the old root is valid by another', () => {
    const short = certificate('short', { notAfter: new Date('2026-05-01T00:00:00Z') })
    const builder = new RepositoryBuilder()
    builder.role('root').keys = [short, builder.rootKey('long')]
    rotate(builder, 'second')
    builder.role('root').signers = [short, builder.rootKey('second')]
    expect(builder.verify().root.metadata.version).to.equal(2)
  })

  it('hops to the root that the snapshot names where a link is missing and the old key still signs', () => {
    const builder = new RepositoryBuilder()
    const first = builder.rootKey('root')
    rotate(builder, 'second', 'third')
    builder.role('root').signers = [first, builder.rootKey('third')]
    const files = builder.files()
    files.delete('2.root.json')
    const repository = builder.verify({}, files)
    expect(repository.root.metadata.version).to.equal(3)
    expect(repository.rootChain).to.have.length(2)
  })

  it('hops to root.json where no snapshot can be verified to name a root', () => {
    const builder = new RepositoryBuilder()
    const first = builder.rootKey('root')
    rotate(builder, 'second', 'third')
    builder.role('timestamp').keys = [testKey('new timestamp')]
    builder.role('root').signers = [first, builder.rootKey('third')]
    const files = builder.files()
    files.delete('2.root.json')
    const pin = { kind: 'root', bytes: builder.firstRoot() } as const
    expect(namesAsked(files, { gun: builder.gun, now: NOW, pin })).to.include('root.json')
  })

  it('walks on from where a hop led', () => {
    const builder = rotate(new RepositoryBuilder(), 'second', 'third')
    const repository = builder.verify({ pin: { kind: 'root', bytes: builder.files().get('2.root.json')! } })
    expect(repository.rootChain).to.have.length(2)
  })

  describe('is refused with', () => {
    const rows: readonly (readonly [string, TufErrorCode, (builder: RepositoryBuilder) => Map<string, Uint8Array>])[] =
      [
        [
          'a missing link, and a new root that the old key did not sign',
          'SIGNATURE_BELOW_THRESHOLD',
          (builder) => without(rotate(builder, 'second', 'third').files(), '2.root.json'),
        ],
        [
          'a new root signed by its own key only',
          'SIGNATURE_BELOW_THRESHOLD',
          (builder) => {
            rotate(builder, 'second').role('root').signers = [builder.rootKey('second')]
            return builder.files()
          },
        ],
        [
          'a new root signed by the old key only',
          'SIGNATURE_BELOW_THRESHOLD',
          (builder) => {
            rotate(builder, 'second').role('root').signers = [builder.rootKey('root')]
            return builder.files()
          },
        ],
        [
          'a link of another version than its name',
          'ROOT_VERSION',
          (builder) => {
            const files = rotate(builder, 'second', 'third').files()
            return files.set('2.root.json', files.get('3.root.json')!)
          },
        ],
        [
          'no later root at all, though the snapshot names one',
          'ROOT_NOT_CURRENT',
          (builder) => {
            const files = rotate(builder, 'second').files()
            return without(files, '2.root.json', `root.${sha256Of(files.get('root.json')!)}.json`)
          },
        ],
        [
          'another root in the place of the one that the snapshot names',
          'FILE_HASH_MISMATCH',
          (builder) => {
            const first = builder.rootKey('root')
            rotate(builder, 'second', 'third').role('root').signers = [first, builder.rootKey('third')]
            const files = builder.files()
            const named = `root.${sha256Of(files.get('3.root.json')!)}.json`
            return without(files.set(named, files.get('2.root.json')!), '2.root.json')
          },
        ],
        [
          'a root longer than the snapshot says',
          'ROOT_NOT_CURRENT',
          (builder) => {
            declareLength(-1)(builder, 'root')
            return builder.files()
          },
        ],
        [
          'a link from another repository',
          'CERTIFICATE_NAME',
          (builder) => {
            builder.nextRoot((root) => {
              root.keys = [testCertificateKey('other', { commonName: 'registry.example.com/other' })]
            })
            return builder.files()
          },
        ],
        [
          'a root key that is not a certificate',
          'CERTIFICATE_BUNDLE',
          (builder) => builder.nextRoot((root) => (root.keys = [testKey('bare')])).files(),
        ],
        [
          'a certificate that has expired',
          'CERTIFICATE_EXPIRED',
          (builder) =>
            builder
              .nextRoot((root) => {
                root.keys = [certificate('old', { notAfter: new Date('2026-05-31T00:00:00Z') })]
              })
              .files(),
        ],
        [
          'a certificate of the day after tomorrow',
          'CERTIFICATE_NOT_YET_VALID',
          (builder) =>
            builder
              .nextRoot((root) => {
                root.keys = [certificate('young', { notBefore: new Date('2026-06-02T00:00:01Z') })]
              })
              .files(),
        ],
        [
          'more rotations than one verification walks',
          'ROOT_CHAIN_TOO_LONG',
          (builder) => {
            for (let count = 0; count <= MAX_ROOT_FILES; count++) builder.nextRoot()
            return builder.files()
          },
        ],
      ]
    for (const [what, code, damage] of rows) {
      it(what, () => {
        const builder = new RepositoryBuilder()
        const pin = { kind: 'root', bytes: builder.firstRoot() } as const
        const files = damage(builder)
        expectCode(code, () => builder.verify({ pin }, files))
      }).timeout(60_000)
    }

    it('an older root than the pinned one', () => {
      const builder = new RepositoryBuilder()
      const old = builder.files()
      rotate(builder, 'second')
      const bytes = builder.files().get('2.root.json')!
      expectCode('VERSION_ROLLED_BACK', () => builder.verify({ pin: { kind: 'root', bytes } }, old))
    })

    it('another root of the pinned version', () => {
      const builder = new RepositoryBuilder()
      const bytes = builder.firstRoot()
      builder.role('root').expiresAt = new Date('2030-01-01T00:00:00Z')
      expectCode('VERSION_FORKED', () => builder.verify({ pin: { kind: 'root', bytes } }))
    })

    it('a pinned root that does not verify itself', () => {
      const builder = new RepositoryBuilder()
      builder.role('root').signers = [builder.rootKey('other')]
      expectCode('SIGNATURE_BELOW_THRESHOLD', () => builder.verify())
    })
  })

  describe('with several root keys', () => {
    function threeKeys(threshold: number): RepositoryBuilder {
      const builder = new RepositoryBuilder()
      const root = builder.role('root')
      root.keys = ['a', 'b', 'c'].map((name) => builder.rootKey(name))
      root.threshold = threshold
      return builder
    }

    it('meets a threshold of two of three', () => {
      const builder = threeKeys(2)
      builder.role('root').signers = ['c', 'a'].map((name) => builder.rootKey(name))
      expect(builder.verify().root.metadata.roles.size).to.equal(4)
      builder.role('root').signers = [builder.rootKey('b')]
      expectCode('SIGNATURE_BELOW_THRESHOLD', () => builder.verify())
    })

    it('leaves out a certificate that fails, as long as the rest meets the threshold', () => {
      const builder = threeKeys(2)
      const expired = certificate('b', { notAfter: new Date('2026-02-01T00:00:00Z') })
      builder.role('root').keys.splice(1, 1, expired)
      expect(builder.verify().root.metadata.roles.size).to.equal(4)
      builder.role('root').signers = [builder.rootKey('a'), expired]
      expectCode('SIGNATURE_BELOW_THRESHOLD', () => builder.verify())
      builder.role('root').threshold = 3
      expectCode('CERTIFICATE_EXPIRED', () => builder.verify())
    })

    it('trap Q22: one key under two certificates counts once', () => {
      const builder = new RepositoryBuilder()
      const root = builder.role('root')
      root.keys = [certificate('same', { serialNumber: 1 }), certificate('same', { serialNumber: 2 })]
      root.threshold = 2
      expectCode('SIGNATURE_KEY_REPEATED', () => builder.verify())
      root.threshold = 1
      expect(builder.verify().root.metadata.version).to.equal(1)
    })
  })

  describe('begins at', () => {
    const builder = rotate(new RepositoryBuilder(), 'second')
    const idOf = (name: string): TufKeyId => builder.rootKey(name).publicKey.tufKeyId
    const verify = (pin: RootPin) => builder.verify({ pin })

    it('any valid root on first use', () => {
      expect(verify({ kind: 'tofu' }).rootChain).to.have.length(1)
    })

    it('a certificate that is pinned by its ID in metadata', () => {
      verify({ kind: 'certificates', tufKeyIds: [idOf('second')] })
    })

    it('no other certificate: not an earlier one, not the canonical ID', () => {
      expectCode('ROOT_NOT_PINNED', () => verify({ kind: 'certificates', tufKeyIds: [idOf('root')] }))
      const { canonicalKeyId } = builder.rootKey('second').publicKey
      expectCode('ROOT_NOT_PINNED', () => verify({ kind: 'certificates', tufKeyIds: [canonicalKeyId] }))
      expectCode('ROOT_NOT_PINNED', () => verify({ kind: 'certificates', tufKeyIds: [] }))
    })

    it('a certificate of a CA that is pinned, and then only at others of it', () => {
      const vouched = new RepositoryBuilder()
      vouched.role('root').keys = [testKeyOfCa('a', gun, 'authority')]
      const bytes = vouched.firstRoot()
      const ca = (name: string) => ({ kind: 'ca', certificatesPem: testCa(name) }) as const
      expect(vouched.verify({ pin: ca('authority') }).root.metadata.version).to.equal(1)
      expectCode('ROOT_NOT_PINNED', () => vouched.verify({ pin: ca('another authority') }))
      rotate(vouched, 'without authority')
      expectCode('ROOT_NOT_PINNED', () => vouched.verify({ pin: ca('authority') }))
      expect(vouched.verify({ pin: { kind: 'root', bytes } }).root.metadata.version).to.equal(2)
    })

    it('trap Q21: no certificate for code signing only, although its own CA is pinned', () => {
      const certificatesPem = Buffer.from(builder.rootKey('second').publicKey.publicValue, 'base64').toString()
      expectCode('ROOT_NOT_PINNED', () => verify({ kind: 'ca', certificatesPem }))
    })

    it('enough pinned certificates for the threshold', () => {
      const two = new RepositoryBuilder()
      const root = two.role('root')
      root.keys = [two.rootKey('a'), two.rootKey('b')]
      root.threshold = 2
      const ids = root.keys.map(({ publicKey }) => publicKey.tufKeyId)
      two.verify({ pin: { kind: 'certificates', tufKeyIds: ids } })
      expectCode('SIGNATURE_BELOW_THRESHOLD', () =>
        two.verify({ pin: { kind: 'certificates', tufKeyIds: ids.slice(1) } }),
      )
    })

    it('nothing where the server has no root', () => {
      expectCode('FILE_MISSING', () => builder.verify({ pin: { kind: 'tofu' } }, new Map()))
    })

    it('trap Q3: no certificate whose PEM is not as Go writes it', () => {
      const other = new RepositoryBuilder()
      const pem = Buffer.from(other.rootKey('root').publicKey.publicValue, 'base64').toString()
      for (const text of [pem.trimEnd(), pem.replaceAll('\n', '\r\n'), `\n${pem}`]) {
        const key = { ...other.rootKey('root').publicKey, publicValue: Buffer.from(text).toString('base64') }
        const root = other.role('root')
        root.keys = [{ privateKey: other.rootKey('root').privateKey, publicKey: key }]
        expectCode('CERTIFICATE_PEM', () => other.verify({ pin: { kind: 'tofu' } }))
      }
    })
  })
})

function without(files: Map<string, Uint8Array>, ...names: string[]): Map<string, Uint8Array> {
  for (const name of names) files.delete(name)
  return files
}
