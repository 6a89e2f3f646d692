// `key import` with every key file format of the samples, and `repo adopt --imported-keys`, against a real key holder.
import { generateKeyPairSync } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { parseGun, parsePrivateKeyFile, publicKeyOf, RELEASES, ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { transferKey } from '../../src/cli/key-import/transfer.ts'
import type { KeyHolderConnection } from '../../src/holder/connection.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { put, TestKeyHolder, HeldRepository } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { FakeApi } from './support/fake-api.ts'
import { TOKEN, Workplace, type Ran, type RunOptions } from './support/run-cli.ts'

const VECTORS = resolve(import.meta.dirname, '../vectors/notary-v1')
const FORMATS = join(VECTORS, 'private-key-formats')
const LIMITS = 'repositories: [{ gun: "*" }]\n'

interface Report {
  readonly repositories: readonly { readonly gun: string; readonly error?: { readonly code: string } }[]
  readonly keys: readonly {
    readonly file: string
    readonly state: string
    readonly code?: string
    readonly gun?: string
    readonly role?: string
    readonly keyType?: string
    readonly canonicalKeyId?: string
    readonly signs?: readonly string[]
    readonly expires?: readonly { readonly role: string; readonly expired: boolean }[]
  }[]
  readonly files: readonly { readonly file: string; readonly mayDestroy: boolean }[]
}

describe('cli key import', () => {
  let scope: Scope
  let place: Workplace
  let holder: TestKeyHolder

  beforeEach(async () => {
    scope = new Scope()
    place = new Workplace()
    holder = await TestKeyHolder.start(scope, LIMITS)
  })
  afterEach(async () => {
    place.remove()
    await scope.close()
  })

  const run = (argv: readonly string[], o: RunOptions = {}): Promise<Ran> =>
    place.run(['key', 'import', ...argv, '--operator-socket', holder.config.operatorSocket], {
      now: () => holder.now,
      ...o,
    })
  const report = (ran: Ran): Report => ran.json() as Report
  const held = async (gun: string) =>
    (await holder.operator.call('repository-status', { gun })).response.keys.map(({ role }) => role)

  /** Private files, as the clients keep them. */
  function keyFile(from: string, to: string): string {
    const path = place.path(to)
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(from, path)
    chmodSync(path, 0o600)
    return path
  }
  /** A repository whose targets may be signed by all of these keys, with its metadata as a client's copy. */
  function copyOf(builder: RepositoryBuilder, folder = '.docker/trust'): void {
    for (const [name, bytes] of builder.files()) {
      const path = place.path(`${folder}/tuf/${builder.gun}/metadata/${name}`)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, bytes)
    }
  }
  /** The keys of the files that notary reads. */
  const accepted = readdirSync(FORMATS).filter((name) => name.endsWith('.key') && !name.startsWith('rejected'))

  it('finds the keys of a docker folder, matches them to the metadata, and adopts the repository with them', async () => {
    const gun = 'registry.example.test/demo/app'
    const sample = join(VECTORS, 'repo-ecdsa')
    holder.now = new Date('2026-11-25T00:00:00Z')
    for (const name of readdirSync(join(sample, 'keys/private'))) {
      keyFile(join(sample, 'keys/private', name), `.docker/trust/private/${name}`)
    }
    cpSync(sample, place.path(`.docker/trust/tuf/${gun}/metadata`), { recursive: true })
    place.file('passphrase', 'test-passphrase\n')
    const ran = await run(['--passphrase-file', place.path('passphrase'), '--json'])
    expect(ran.exit, ran.stderr).to.equal(0)
    const { keys, files } = report(ran)
    const taken = keys.filter(({ state }) => state === 'imported')
    expect(taken.map(({ role, signs }) => [role, signs?.join(' ')])).to.have.deep.members([
      [TARGETS, TARGETS],
      ['targets/alice', `${RELEASES} targets/alice`],
      ['targets/bob', `${RELEASES} targets/bob`],
    ])
    for (const { file, canonicalKeyId, expires } of taken) {
      expect(basename(file)).to.equal(`${canonicalKeyId}.key`)
      expect(expires?.every(({ expired }) => !expired)).to.equal(true)
    }
    const skipped = keys.filter(({ state }) => state === 'skipped').map(({ code }) => code)
    expect(skipped.sort()).to.deep.equal([
      'KEY_LISTED_NOWHERE',
      'ROOT_KEY_STAYS_OFFLINE',
      'ROOT_KEY_STAYS_OFFLINE',
      'SERVER_KEY_NOT_TAKEN',
      'SERVER_KEY_NOT_TAKEN',
    ])
    const may = files.filter(({ mayDestroy }) => mayDestroy).map(({ file }) => file)
    expect(may).to.have.members(taken.map(({ file }) => file))

    const api = await new FakeApi(() => ({ status: 201, body: { ...REPORT, gun, signer: 'alice' } })).start()
    scope.add(() => api.stop())
    const pin = '56d50fdf0112e253a92e546c8d316981fe1ddbef37c034d188e1dd7664349aa2'
    const env = { COUNTERSIGN_SERVER: api.url, COUNTERSIGN_TOKEN: TOKEN }
    const socket = ['--operator-socket', holder.config.operatorSocket]
    const adopt = ['repo', 'adopt', gun, '--pin', pin, '--metadata', sample, ...socket]
    const adopted = await place.run([...adopt, '--imported-keys'], { env, now: () => holder.now })
    expect(adopted.exit, adopted.stderr).to.equal(0)
    expect(adopted.stdout).to.include('managed with the keys that were imported').and.include('targets/alice')
    expect(await held(gun)).to.have.members([TARGETS, 'targets/alice', 'targets/bob'])
    const conflicting = await place.run([...adopt, '--imported-keys', '--signer', 'x'], { env })
    expect(conflicting.exit).to.equal(2)
    // Pinned now, the key holder checks what is published by itself, and finds all that is here.
    const again = report(await run(['--passphrase-file', place.path('passphrase'), '--json']))
    expect(again.keys.flatMap(({ state, role }) => (state === 'here-already' ? [role] : []))).to.have.length(3)
  })

  it('takes every format that notary reads, and proves each', async () => {
    const builder = new RepositoryBuilder()
    const passphrase = Buffer.from('pw-1234')
    const keys = accepted.map((name) => {
      keyFile(join(FORMATS, name), `keys/${name}`)
      const [key] = parsePrivateKeyFile(readFileSync(join(FORMATS, name)), passphrase)
      return { privateKey: key!.privateKey, publicKey: publicKeyOf(key!.privateKey) }
    })
    builder.role(TARGETS).keys = keys
    copyOf(builder)
    place.file('passphrase', 'pw-1234\n')
    const files = accepted.map((name) => place.path(`keys/${name}`))
    const from = ['--from', place.path('.docker/trust'), '--gun', builder.gun]
    const ran = await run([...files, ...from, '--passphrase-file', place.path('passphrase'), '--json'])
    expect(ran.exit, ran.stderr).to.equal(0)
    // Plain and encrypted files of one key: the second finds it here.
    expect(new Set(report(ran).keys.map(({ state }) => state))).to.deep.equal(new Set(['imported', 'here-already']))
    expect(report(ran).keys).to.have.length(accepted.length)
    expect(new Set(report(ran).keys.map(({ keyType }) => keyType))).to.deep.equal(new Set(['ecdsa', 'ed25519', 'rsa']))
    await place.run([
      ...['repo', 'adopt', builder.gun, '--imported-keys', '--operator-socket', holder.config.operatorSocket],
      ...['--pin', builder.role(ROOT).keys[0]!.publicKey.tufKeyId],
    ])
    const repository = new HeldRepository(holder, builder)
    const pinned = repository.files()
    await holder.operator.call(
      'pin-repository',
      {
        gun: builder.gun,
        certificateKeyIds: [builder.role(ROOT).keys[0]!.publicKey.tufKeyId],
        files: [...pinned.keys()],
        evidence: { request: 'r', principal: 'p' },
      },
      pinned,
    )
    const signed = await repository.change([put('1.0')], { roles: [TARGETS] })
    const count = new Set(keys.map(({ publicKey }) => publicKey.canonicalKeyId)).size
    const file = JSON.parse(Buffer.from(signed.files.get(TARGETS)!).toString()) as { signatures: unknown[] }
    expect(file.signatures).to.have.length(count)
  })

  describe('says exactly what is wrong, and takes nothing of it', () => {
    let builder: RepositoryBuilder
    beforeEach(() => {
      builder = new RepositoryBuilder()
      copyOf(builder)
    })
    const good = join(FORMATS, 'ecdsa-pkcs8-pbes2.key')
    const text = readFileSync(good, 'utf8')
    /** In the last block of the cipher. */
    const last = text.indexOf('\n-----END') - 12
    const cases: readonly [string, string, string, number?][] = [
      ['KEY_FILE_UNSUPPORTED', 'AES-128', readFileSync(join(FORMATS, 'rejected-pbes2-aes128.key'), 'utf8')],
      ['KEY_FILE_UNSUPPORTED', 'HMAC-SHA256', readFileSync(join(FORMATS, 'rejected-pbes2-hmac-sha256.key'), 'utf8')],
      ['KEY_FILE_UNSUPPORTED', 'RFC 8410', readFileSync(join(FORMATS, 'rejected-ed25519-rfc8410.key'), 'utf8')],
      ['KEY_FILE_UNSUPPORTED', 'a certificate', readFileSync(join(VECTORS, 'repo-ecdsa/cert-6ea804ec.pem'), 'utf8')],
      ['KEY_FILE_MALFORMED', 'no PEM', 'not a key'],
      ['KEY_FILE_MALFORMED', 'a file that was cut', text.slice(0, 200)],
      [
        'KEY_FILE_PASSPHRASE',
        'a damaged byte',
        text.slice(0, last) + (text[last] === 'A' ? 'B' : 'A') + text.slice(last + 1),
      ],
      ['SECRET_FILE_EXPOSED', 'a file that others can read', text, 0o644],
    ]
    for (const [code, name, content, mode = 0o600] of cases) {
      it(`${code}: ${name}`, async () => {
        place.file('passphrase', 'pw-1234\n')
        const file = place.file('some.key', content, mode)
        const from = ['--from', place.path('.docker/trust'), '--gun', builder.gun]
        const ran = await run([file, ...from, '--passphrase-file', place.path('passphrase'), '--json'])
        expect(ran.exit).to.equal(1)
        expect(ran.codes()).to.deep.equal([code, 'KEY_IMPORT_NOTHING'])
        expect(report(ran).keys.map(({ state, code: told }) => [state, told])).to.deep.equal([['failed', code]])
        expect(report(ran).files).to.deep.equal([
          { file, mayDestroy: false, why: 'Not every key in it is here and proven.' },
        ])
        await expectCodeAsync('GUN_NOT_MANAGED', () => held(builder.gun))
      })
    }

    it('KEY_FILE_PASSPHRASE, KEY_FILE_PASSPHRASE_MISSING: another passphrase, or none; a person may type it', async () => {
      const [key] = parsePrivateKeyFile(Buffer.from(text), Buffer.from('pw-1234'))
      builder.role(TARGETS).keys = [{ privateKey: key!.privateKey, publicKey: publicKeyOf(key!.privateKey) }]
      copyOf(builder)
      const file = keyFile(good, 'some.key')
      place.file('passphrase', 'another\n')
      const argv = [file, '--from', place.path('.docker/trust'), '--gun', builder.gun]
      const wrong = await run([...argv, '--passphrase-file', place.path('passphrase')])
      expect([wrong.exit, wrong.codes()[0]]).to.deep.equal([1, 'KEY_FILE_PASSPHRASE'])
      expect((await run(argv)).codes()[0]).to.equal('KEY_FILE_PASSPHRASE_MISSING')
      const slips = ['a slip', 'another', 'a third']
      const mistyped = await run(argv, { askSecret: () => Promise.resolve(slips.shift()) })
      expect([mistyped.codes()[0], slips]).to.deep.equal(['KEY_FILE_PASSPHRASE', []])
      if (process.getuid?.() === 0) {
        // Root brings in the keys of a user, with the user's files.
        const foreign = place.file('foreign', 'another\n')
        chownSync(foreign, 61_999, 61_999)
        expect((await run([...argv, '--passphrase-file', foreign])).codes()[0]).to.equal('KEY_FILE_PASSPHRASE')
      }
      const asked: string[] = []
      const answers = ['a slip', 'pw-1234']
      const typed = await run(argv, {
        askSecret: (question) => {
          asked.push(question)
          return Promise.resolve(answers.shift())
        },
      })
      expect(typed.exit, typed.stderr).to.equal(0)
      expect(asked).to.deep.equal([`Passphrase of ${file} (targets): `, `Passphrase of ${file} (targets): `])
      expect(typed.stdout + typed.stderr).to.not.include('pw-1234')
    })

    it('KEY_TYPE_UNSUPPORTED: a key on P-384 that is listed, also in a dry run', async () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
      const targets = builder.role(TARGETS)
      targets.signers = targets.keys
      targets.keys = [...targets.keys, { privateKey, publicKey: publicKeyOf(privateKey) }]
      copyOf(builder)
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      const file = place.file('p384.key', pem, 0o600)
      const argv = [file, '--from', place.path('.docker/trust'), '--gun', builder.gun, '--json']
      for (const more of [['--dry-run'], []]) {
        const ran = await run([...argv, ...more])
        expect([ran.exit, ran.codes()[0]], ran.stderr).to.deep.equal([1, 'KEY_TYPE_UNSUPPORTED'])
        expect(report(ran).keys.map(({ state, code }) => [state, code])).to.deep.equal([
          ['failed', 'KEY_TYPE_UNSUPPORTED'],
        ])
      }
      await expectCodeAsync('GUN_NOT_MANAGED', () => held(builder.gun))
    })

    it('FILE_MISSING: a repository of which no metadata is known', async () => {
      const file = keyFile(join(FORMATS, 'ecdsa-pkcs8-plain.key'), 'some.key')
      const ran = await run([file, '--gun', 'registry.example.com/team/none', '--json'])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['FILE_MISSING', 'KEY_IMPORT_NOTHING']])
      expect(report(ran).repositories[0]?.error?.code).to.equal('FILE_MISSING')
    })

    it('LIMIT_GUN: what the key holder refuses, with its code', async () => {
      await holder.stop()
      holder.writeLimits('repositories: []\n')
      await holder.start()
      const [key] = parsePrivateKeyFile(Buffer.from(text), Buffer.from('pw-1234'))
      builder.role(TARGETS).keys = [{ privateKey: key!.privateKey, publicKey: publicKeyOf(key!.privateKey) }]
      copyOf(builder)
      const file = keyFile(join(FORMATS, 'ecdsa-pkcs8-plain.key'), 'some.key')
      const ran = await run([file, '--from', place.path('.docker/trust'), '--gun', builder.gun])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['LIMIT_GUN']])
      expect(ran.stdout).to.include(`Keep: ${file}`)
    })
  })

  it('reads folders of before notary 0.4, whose paths say role and repository', async () => {
    const builder = new RepositoryBuilder('registry.example.com/team/old')
    const [key] = parsePrivateKeyFile(readFileSync(join(FORMATS, 'legacy-ec-proc-type.key')), Buffer.from('pw-1234'))
    const publicKey = publicKeyOf(key!.privateKey)
    builder.role(TARGETS).keys = [{ privateKey: key!.privateKey, publicKey }]
    copyOf(builder, '.notary')
    const id = publicKey.canonicalKeyId
    keyFile(join(FORMATS, 'legacy-ec-proc-type.key'), `.notary/private/tuf_keys/${builder.gun}/${id}_targets.key`)
    keyFile(join(FORMATS, 'legacy-rsa-proc-type.key'), `.notary/private/root_keys/${'ab'.repeat(32)}_root.key`)
    const ran = await run(['--json'], { env: { NOTARY_TARGETS_PASSPHRASE: 'pw-1234' } })
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(report(ran).keys.map(({ state, code, gun }) => [state, code, gun])).to.have.deep.members([
      ['skipped', 'ROOT_KEY_STAYS_OFFLINE', undefined],
      ['imported', undefined, builder.gun],
    ])
  })

  it('opens an export bundle with the variables of docker and notary, and root keys only where that is said', async () => {
    const bundle = join(FORMATS, 'notary-key-export-bundle.pem')
    const passphrases = new Map([
      ['root', 'rootpass1'],
      ['snapshot', 'snappass1'],
      ['targets', 'targpass1'],
    ])
    const keys = parsePrivateKeyFile(readFileSync(bundle), ({ role }) => Buffer.from(passphrases.get(role ?? '') ?? ''))
    const builder = new RepositoryBuilder()
    builder.role(TARGETS).keys = keys
      .filter(({ role }) => role === 'targets')
      .map(({ privateKey }) => ({ privateKey, publicKey: publicKeyOf(privateKey) }))
    copyOf(builder)
    const file = keyFile(bundle, 'bundle.pem')
    const env = { DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'rootpass1', NOTARY_TARGETS_PASSPHRASE: 'targpass1' }
    const argv = [file, '--from', place.path('.docker/trust'), '--gun', builder.gun, '--json']
    const states = (ran: Ran) => report(ran).keys.map(({ state, code }) => code ?? state)
    const dry = await run([...argv, '--dry-run', '--root'], { env })
    expect(states(dry)).to.have.members(['KEY_LISTED_NOWHERE', 'SERVER_KEY_NOT_TAKEN', 'not-tried'])
    await expectCodeAsync('GUN_NOT_MANAGED', () => held(builder.gun))
    const ran = await run(argv, { env })
    expect(states(ran)).to.have.members(['ROOT_KEY_STAYS_OFFLINE', 'SERVER_KEY_NOT_TAKEN', 'imported'])
    // Other keys are in it.
    expect(report(ran).files.map(({ mayDestroy }) => mayDestroy)).to.deep.equal([false])
    expect(holder.log().some(({ kind }) => kind === 'key-imported')).to.equal(true)
  })

  it('KEY_IMPORT_NOTHING: where there is no key at all', async () => {
    const ran = await run([])
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['KEY_IMPORT_NOTHING']])
    expect((await run(['--from', place.path('none')])).codes()).to.deep.equal(['FILE_UNREADABLE'])
  })

  it('KEY_IMPORT_NOT_PROVEN: a key holder that does not sign its own challenge with this key', async () => {
    const liar: KeyHolderConnection = {
      close: () => undefined,
      call: async (operation, request, attachments) => {
        const answer = await holder.operator.call(operation, request, attachments)
        if (operation !== 'import-key') return answer
        // A signature by the same key, over another challenge.
        const other = await holder.operator.call('begin-key-import', {})
        expect(other.response.challenge).to.not.equal('')
        const { proof } = answer.response as { proof: { signature: string } }
        const bytes = Buffer.from(proof.signature, 'base64')
        bytes.writeUInt8(bytes.readUInt8(10) ^ 1, 10)
        return { ...answer, response: { ...answer.response, proof: { ...proof, signature: bytes.toString('base64') } } }
      },
    }
    const { privateKey } = testKey('targets')
    const asked = {
      gun: parseGun('registry.example.com/a'),
      role: TARGETS,
      privateKey,
      severalRoles: false,
      files: new Map<string, Uint8Array>(),
    }
    await expectCodeAsync('KEY_IMPORT_NOT_PROVEN', () => transferKey(liar, asked))
  })
})

const REPORT = {
  state: 'ready',
  root: 'adopted',
  keyType: 'ecdsa',
  createdAt: NOW.toISOString(),
  createdBy: 'token:1',
  custody: {},
  roles: [],
  warnings: [],
}
