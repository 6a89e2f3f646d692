// `root export`, `show`, `sign` and `apply`: what travels in the file, what is shown before the root key signs, and what it refuses to sign.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import {
  attachSignatures,
  decodeBase64,
  encodeBase64,
  encodeCanonical,
  nextRoot,
  parseGun,
  parseRoot,
  ROOT,
  TARGETS,
  verifyNextRootFile,
  type BaseRoleChange,
  type JsonValue,
} from '@countersign/tuf'
import { expect } from 'chai'
import { openOfflineRoot } from '../../src/cli/root-key/key-file.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { signWith, testKey, type TestKey } from '../support/test-keys.ts'
import { FakeApi, problem, type Answer, type Received } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

interface ChangeFile {
  format: string
  gun: string
  summary: string[]
  current: string
  next: string
  signatures: { keyId: string; method: string; signature: string }[]
}

const EXPIRES = new Date('2036-01-01T00:00:00Z')
const DAY_MS = 86_400_000

describe('cli root export, show, sign, apply', () => {
  let place: Workplace
  let api: FakeApi
  let answer: (request: Received) => Answer
  let builder: RepositoryBuilder
  let rootKey: TestKey
  let successor: TestKey

  before(async function () {
    this.timeout(20_000)
    place = new Workplace()
    place.file('passphrase', 'correct horse battery\n')
    for (const name of ['root.key', 'next.key', 'stranger.key']) {
      const made = await place.run(['root', 'create', '--gun', GUN, '--out', place.path(name), ...passphrase()])
      expect(made.exit, made.stderr).to.equal(0)
    }
    rootKey = await opened('root.key')
    successor = await opened('next.key')
    builder = RepositoryBuilder.withSigner('countersign', GUN)
    builder.role(ROOT).keys = [rootKey]
    for (const { expiresAt } of builder.roles.values()) expiresAt.setTime(Date.now() + 300 * DAY_MS)
    api = await new FakeApi((request) => answer(request)).start()
  })
  after(async () => {
    await api.stop()
    place.remove()
  })

  const passphrase = (): string[] => ['--passphrase-file', place.path('passphrase')]
  const opened = async (name: string): Promise<TestKey> => {
    const { key, privateKey } = await openOfflineRoot(
      place.path(name),
      { passphraseFile: place.path('passphrase'), share: [] },
      parseGun(GUN),
      new Date(),
    )
    return { publicKey: key, privateKey }
  }
  const current = (): Uint8Array => builder.files().get('root.json')!
  const planned = (changes: readonly BaseRoleChange[] = [toSuccessor()]): Uint8Array =>
    nextRoot(builder.verify({ now: new Date() }), changes, EXPIRES).message
  const toSuccessor = (): BaseRoleChange => ({ role: ROOT, keys: [successor.publicKey] })
  const online = (...args: string[]): Promise<Ran> =>
    place.run(['root', ...args], { env: { COUNTERSIGN_SERVER: api.url, COUNTERSIGN_TOKEN: TOKEN } })
  const offline = (...args: string[]): Promise<Ran> => place.run(['root', ...args])
  const sign = (file: string, out: string, key = 'root.key'): Promise<Ran> =>
    offline('sign', place.path(file), '--root', place.path(key), ...passphrase(), '--out', place.path(out))
  const read = (name: string): ChangeFile => JSON.parse(readFileSync(place.path(name), 'utf8')) as ChangeFile
  let files = 0
  /** A change as the server planned it, in a file of its own. */
  async function exported(next = planned(), more: readonly string[] = []): Promise<string> {
    const name = `change-${++files}.json`
    answer = () => ({ status: 200, body: { gun: GUN, current: encodeBase64(current()), next: encodeBase64(next) } })
    const ran = await online('export', GUN, '--out', place.path(name), ...more)
    expect(ran.exit, ran.stderr).to.equal(0)
    return name
  }

  it('export asks for the plan, and writes both roots, words and no signature', async () => {
    const certificate = ['--root-certificate', place.path('next.key.crt'), '--rotate', 'snapshot']
    const name = await exported(planned(), certificate)
    const [request] = api.requests.slice(-1)
    expect(request).to.deep.include({ method: 'POST', path: `/v1/repositories/${encodeURIComponent(GUN)}/root-plans` })
    expect(request?.body).to.deep.equal({
      rootCertificates: [readFileSync(place.path('next.key.crt'), 'utf8')],
      rotate: ['snapshot'],
    })
    const file = read(name)
    expect(file).to.deep.include({ format: 'countersign-root-change/1', gun: GUN, signatures: [] })
    expect(Buffer.from(decodeBase64(file.current))).to.deep.equal(Buffer.from(current()))
    expect(file.summary.join('\n')).to.match(new RegExp(`Role root +NEW +key ${successor.publicKey.tufKeyId}`))
    expect(file.summary.join('\n')).to.match(new RegExp(`Role root +GOES +key ${rootKey.publicKey.tufKeyId}`))
    expect(file.summary.join('\n')).to.match(/Role targets +stays/)
    expect(statSync(place.path(name)).mode & 0o777).to.equal(0o644)
  })

  it('sign shows what it signs; both keys of a succession make a root that follows', async () => {
    const name = await exported()
    const first = await sign(name, 'once.json')
    expect(first.exit, first.stderr).to.equal(0)
    expect(first.stderr).to.include('The root key signs:').and.include('version 1 -> 2')
    expect(first.stdout).to.include('Signed by 1 of the keys of the published root (1 needed)')
    expect(first.stdout).to.include(
      `Signed by 0 of the keys of the next root (1 needed); could sign: ${successor.publicKey.tufKeyId}`,
    )
    expect((await sign('once.json', 'twice.json', 'next.key')).exit).to.equal(0)
    const { next, signatures } = read('twice.json')
    const bytes = attachSignatures(
      { message: decodeBase64(next) },
      signatures.map(({ keyId, method, signature }) => ({
        keyId: keyId as typeof rootKey.publicKey.tufKeyId,
        method,
        signature: decodeBase64(signature),
      })),
    )
    verifyNextRootFile(builder.verify({ now: new Date() }), bytes, [toSuccessor()])
    const shown = (await offline('show', place.path('twice.json'), '--json')).json() as { signatures: object[] }
    expect(shown.signatures).to.deep.equal([
      { of: 'current', threshold: 1, signed: [rootKey.publicKey.tufKeyId], unsigned: [], isComplete: true },
      { of: 'next', threshold: 1, signed: [successor.publicKey.tufKeyId], unsigned: [], isComplete: true },
    ])
  })

  it('apply sends exactly what was signed, and waits for the end', async () => {
    const name = await exported()
    await sign(name, 'a1.json')
    await sign('a1.json', 'a2.json', 'next.key')
    answer = () => ({ status: 201, body: { ...REQUEST, kind: 'root' } })
    const ran = await online('apply', place.path('a2.json'))
    expect(ran.exit, ran.stderr).to.equal(0)
    const [request] = api.requests.slice(-1)
    expect(request?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/root-changes`)
    const { next, signatures } = read('a2.json')
    expect(request?.body).to.deep.equal({ next, signatures })
    answer = () => problem(409, 'ROOT_CHANGE_OUTDATED')
    const late = await online('apply', place.path('a2.json'))
    expect(late.exit).to.equal(1)
    expect(late.codes()).to.deep.equal(['ROOT_CHANGE_OUTDATED'])
  })

  it('ROOT_SIGNATURES_MISSING: apply does not ask before all have signed', async () => {
    const name = await exported()
    await sign(name, 'half.json')
    const asked = api.requests.length
    for (const file of [name, 'half.json']) {
      const ran = await online('apply', place.path(file))
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['ROOT_SIGNATURES_MISSING']])
    }
    expect(api.requests).to.have.length(asked)
  })

  it('ROOT_NOT_AS_EXPECTED: a root key of another repository', async () => {
    const ran = await sign(await exported(), 'stranger.json', 'stranger.key')
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['ROOT_NOT_AS_EXPECTED']])
  })

  it('FILE_EXISTS: nothing is written over', async () => {
    const name = await exported()
    expect((await sign(name, name)).codes()).to.deep.equal(['FILE_EXISTS'])
    expect((await online('export', GUN, '--out', place.path(name))).codes()).to.deep.equal(['FILE_EXISTS'])
  })

  it('2: targets without a reason, a role that cannot be rotated, no file', async () => {
    for (const args of [
      ['export', GUN, '--out', place.path('x'), '--rotate', 'targets'],
      ['export', GUN, '--out', place.path('x'), '--rotate', 'root'],
      ['export', GUN],
      ['sign', place.path('x')],
    ]) {
      expect((await online(...args)).exit, args.join(' ')).to.equal(2)
    }
  })

  describe('ROOT_CHANGE_FILE_INVALID', () => {
    const refuses = (what: string, alter: (file: ChangeFile) => void): void => {
      it(what, async () => {
        const file = read(await exported())
        alter(file)
        const name = `altered-${++files}.json`
        writeFileSync(place.path(name), JSON.stringify(file))
        for (const ran of [
          await offline('show', place.path(name)),
          await sign(name, `signed-${name}`),
          await online('apply', place.path(name)),
        ]) {
          expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([1, ['ROOT_CHANGE_FILE_INVALID']])
        }
      })
    }
    /** The next root with something else changed in it. */
    const altered = (file: ChangeFile, change: (signed: Map<string, JsonValue>) => void): string => {
      const { signed } = parseRoot(
        Buffer.concat([Buffer.from('{"signed":'), decodeBase64(file.next), Buffer.from(',"signatures":[]}')]),
      )
      const content = new Map(signed)
      change(content)
      return encodeBase64(encodeCanonical(content))
    }

    refuses('words that are not those of the bytes', (file) => {
      file.summary = file.summary.map((line) => line.replace('NEW', 'stays'))
    })
    refuses('another change than the words say', (file) => {
      file.next = encodeBase64(planned([{ role: TARGETS, keys: [testKey('thief').publicKey] }]))
    })
    refuses('another repository', (file) => {
      file.gun = 'registry.example.com/team/other'
    })
    refuses('a published root that its own keys did not sign', (file) => {
      const { message, signatures } = parseRoot(decodeBase64(file.current))
      file.current = encodeBase64(
        attachSignatures({ message }, [{ ...signatures[0]!, signature: Buffer.alloc(64, 1) }]),
      )
    })
    refuses('a version left out', (file) => {
      file.next = altered(file, (signed) => signed.set('version', 3))
    })
    refuses('more than keys', (file) => {
      file.next = altered(file, (signed) => signed.set('consistent_snapshot', true))
    })
    refuses('an expiry in the past', (file) => {
      file.next = altered(file, (signed) => signed.set('expires', '2026-01-01T00:00:00Z'))
    })
    refuses('a form that is not canonical', (file) => {
      file.next = encodeBase64(Buffer.concat([Buffer.from(' '), decodeBase64(file.next)]))
    })
    refuses('a signature of somebody else', (file) => {
      const { keyId, method, signature } = signWith(testKey('thief'), decodeBase64(file.next))
      file.signatures = [{ keyId, method, signature: encodeBase64(signature) }]
    })
    refuses('a signature of the root key over something else', (file) => {
      const { keyId, method, signature } = signWith(rootKey, Buffer.from('else'))
      file.signatures = [{ keyId, method, signature: encodeBase64(signature) }]
    })
    refuses('another format', (file) => {
      file.format = 'countersign-root-change/2'
    })

    it('what is no JSON, and the answer of a server that lies', async () => {
      const name = place.file('nonsense.json', '{')
      expect((await offline('show', name)).codes()).to.deep.equal(['ROOT_CHANGE_FILE_INVALID'])
      const foreign = new RepositoryBuilder('registry.example.com/team/other').files().get('root.json')!
      answer = () => ({
        status: 200,
        body: { gun: GUN, current: encodeBase64(foreign), next: encodeBase64(planned()) },
      })
      expect((await online('export', GUN, '--out', place.path('lie.json'))).exit).to.equal(1)
    })
  })

  const REQUEST = {
    id: 'request_1',
    kind: 'root',
    status: 'published',
    isFinal: true,
    createdAt: '2026-11-25T10:00:00.000Z',
    updatedAt: '2026-11-25T10:00:01.000Z',
    submitter: { id: 'tok_1', name: 'operator' },
    images: [{ reference: GUN, gun: GUN, status: 'published', roles: [{ role: 'root', version: 2 }] }],
  }
})
