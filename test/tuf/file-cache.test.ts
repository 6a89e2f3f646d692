// A warm cache changes no verdict: every stale or forged state is refused with the code that it has without one.
import {
  FileCache,
  parseGun,
  parseRoleName,
  parseTargets,
  RELEASES,
  TARGETS,
  type TufErrorCode,
  type VerifierOptions,
} from '@countersign/tuf'
import { expect } from 'chai'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { testKey } from '../support/test-keys.ts'
import { expectCode } from './expect-code.ts'

const LARGE = 64 * 1024 * 1024
const YEAR_MS = 365 * 86_400_000

interface Attack {
  readonly title: string
  readonly code: TufErrorCode
  /** What the server, or time, does after the cache is warm. */
  readonly act: (builder: RepositoryBuilder) => Partial<VerifierOptions> | undefined
}

/** What the client knows of a state that it has seen. */
function seen(builder: RepositoryBuilder): Pick<VerifierOptions, 'highest'> {
  const { timestamp, snapshot, targets } = builder.verify()
  const known = [timestamp, snapshot, targets].map(({ metadata, sha256 }) => ({ version: metadata.version, sha256 }))
  const names = ['timestamp', 'snapshot', 'targets'].map(parseRoleName)
  return { highest: new Map(names.map((name, at) => [name, known[at]!])) }
}

const ATTACKS: readonly Attack[] = [
  {
    title: 'the whole state is rolled back to one that was good',
    code: 'VERSION_ROLLED_BACK',
    act: (builder) => {
      builder.nextVersions('targets')
      const options = seen(builder)
      for (const role of ['timestamp', 'snapshot', 'targets']) builder.role(role).version--
      return options
    },
  },
  {
    title: 'a version that was seen has another content',
    code: 'VERSION_FORKED',
    act: (builder) => {
      const options = seen(builder)
      builder.put('targets', 'forged', 'forged')
      return options
    },
  },
  {
    title: 'the timestamp expires while it is cached',
    code: 'ROLE_EXPIRED',
    act: (builder) => ({ now: new Date(builder.role('timestamp').expiresAt.getTime() + 1000) }),
  },
  {
    title: 'only targets expires while it is cached',
    code: 'ROLE_EXPIRED',
    act: (builder) => {
      const now = new Date(builder.role('targets').expiresAt.getTime() + 1000)
      for (const role of ['timestamp', 'snapshot']) builder.role(role).expiresAt = new Date(now.getTime() + YEAR_MS)
      return { now }
    },
  },
  {
    title: 'the root has lost the key of targets, whose good signature is remembered',
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: (builder) => {
      builder.role('targets').signers = builder.role('targets').keys
      builder.nextRoot().role('targets').keys = [testKey('another')]
      builder.nextVersions()
      return undefined
    },
  },
  {
    title: 'the root asks for a second signature of targets',
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: (builder) => {
      builder.nextRoot().role('targets').threshold = 2
      builder.nextVersions()
      return undefined
    },
  },
  {
    title: 'the root has lost the key of the timestamp, and an old timestamp is served',
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: (builder) => {
      builder.role('timestamp').signers = builder.role('timestamp').keys
      builder.nextRoot().role('timestamp').keys = [testKey('another')]
      return undefined
    },
  },
  {
    title: 'another signature stands over a message that is cached',
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: (builder) => {
      builder.role('targets').editSignatures = (signatures) =>
        signatures.map((entry) => ({
          ...entry,
          signature: entry.signature.map((byte, at) => (at === 7 ? byte ^ 1 : byte)),
        }))
      return undefined
    },
  },
  {
    title: 'the listed hash is not that of the cached file',
    code: 'FILE_HASH_MISMATCH',
    act: (builder) => {
      builder.role('targets').editListed = (meta) => {
        meta.set('hashes', new Map([...(meta.get('hashes') as Map<string, string>), ['sha512', `${'A'.repeat(86)}==`]]))
      }
      return undefined
    },
  },
  {
    title: 'the same files are served for another repository',
    code: 'CERTIFICATE_NAME',
    act: () => ({ gun: parseGun('registry.example.com/team/other') }),
  },
  {
    title: 'the certificate of the root expires while it is cached',
    code: 'CERTIFICATE_EXPIRED',
    act: (builder) => {
      const now = new Date(NOW.getTime() + 40 * YEAR_MS)
      for (const role of builder.roles.values()) role.expiresAt = new Date(now.getTime() + YEAR_MS)
      return { now }
    },
  },
]

describe('a cache of parsed files', () => {
  for (const { title, code, act } of ATTACKS) {
    it(`does not hide that ${title}`, () => {
      const builder = new RepositoryBuilder().put('targets', '1.0', 'image')
      const cache = new FileCache(LARGE)
      builder.verify({ cache })
      builder.verify({ cache })
      const options = act(builder) ?? {}
      const files = builder.files()
      expectCode(code, () => builder.verify(options, files))
      expectCode(code, () => builder.verify({ ...options, cache }, files))
      // What was refused is not taken for good the second time either.
      expectCode(code, () => builder.verify({ ...options, cache }, files))
    })
  }

  it('does not take a file of one role for another’s', () => {
    const builder = RepositoryBuilder.withSigner()
    const cache = new FileCache(LARGE)
    builder.verify({ cache })
    // The base targets delegate to their children; as the file of a child that is no longer a valid structure.
    const targets = builder.files().get('targets.json')!
    builder.role(RELEASES).mangle = () => targets
    expectCode('METADATA_DELEGATION', () => builder.verify({ cache }))
  })

  it('gives the same file for the same bytes, and parses others', () => {
    const cache = new FileCache(LARGE)
    const builder = new RepositoryBuilder().put('targets', '1.0', 'image')
    const before = builder.verify({ cache })
    expect(builder.verify({ cache }).root).to.equal(before.root)
    expect(builder.verify().root).to.not.equal(before.root)
    builder.put('targets', '1.1', 'another').nextVersions('targets')
    const after = builder.verify({ cache })
    expect([...before.targets.metadata.targets.keys()]).to.deep.equal(['1.0'])
    expect([...after.targets.metadata.targets.keys()]).to.deep.equal(['1.0', '1.1'])
  })

  it('keeps bytes of its own', () => {
    const bytes = new RepositoryBuilder().put('targets', '1.0', 'image').files().get('targets.json')!
    const message = Buffer.concat([Buffer.alloc(100), bytes])
    const cache = new FileCache(LARGE)
    const parse = (part: Uint8Array) => parseTargets(part, TARGETS)
    const file = cache.read(TARGETS, message.subarray(100), parse)
    message.fill(0)
    expect(Buffer.from(file.bytes).equals(bytes)).to.equal(true)
    expect(cache.read(TARGETS, bytes, parse)).to.equal(file)
  })

  it('is bounded: what was used least recently goes first, and what is too large is not kept', () => {
    const files = ['a', 'b', 'c'].map((tag) =>
      new RepositoryBuilder().put('targets', tag, tag).files().get('targets.json')!,
    )
    const [a, b, c] = [files[0]!, files[1]!, files[2]!]
    let parsed = 0
    const read = (cache: FileCache, bytes: Uint8Array): boolean => {
      const before = parsed
      cache.read(TARGETS, bytes, (part) => {
        parsed++
        return parseTargets(part, TARGETS)
      })
      return parsed > before
    }
    // The cost is a multiple of the bytes: room for two of these files.
    const cache = new FileCache(a.byteLength * 11 * 2)
    expect([read(cache, a), read(cache, b), read(cache, a), read(cache, c)]).to.deep.equal([true, true, false, true])
    expect([read(cache, a), read(cache, c), read(cache, b)]).to.deep.equal([false, false, true])
    const small = new FileCache(a.byteLength)
    expect([read(small, a), read(small, a)]).to.deep.equal([true, true])
  })
})
