// `repo export --full`, against a server that serves what a test puts there: what is kept, what is refused, and that a folder is whole
// or not there.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { sha256Hex } from '@countersign/tuf'
import type { ExportManifest } from '../../src/cli/export-manifest.ts'
import { startMetadataServer, type MetadataServer } from '../support/peers/metadata-server.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { breakSignatures, expire } from '../support/swizzler.ts'
import { testCertificateKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const GUN = 'registry.example.com/team/app'
const TUF = `v2/${GUN}/_trust/tuf`

/** With one rotation of the root key behind it, and delegations. */
function rotated(): RepositoryBuilder {
  const builder = RepositoryBuilder.withSigner().put('targets/releases', '1.0', 'one')
  return builder.nextRoot((root) => {
    root.keys = [builder.rootKey('second root')]
  })
}

describe('cli repo export --full', () => {
  const scope = new Scope()
  const ca = createTestCa()
  let server: MetadataServer
  let place: Workplace

  before(async () => {
    server = await startMetadataServer(scope, ca)
  })
  after(() => scope.close())
  beforeEach(() => {
    place = new Workplace()
    place.file('ca.crt', ca.certificatePem)
  })
  afterEach(() => {
    place.remove()
  })

  const exported = (
    files: ReadonlyMap<string, Uint8Array>,
    more: readonly string[] = ['--tofu'],
    url = server.url,
  ): Promise<Ran> => {
    server.repositories.set(GUN, files)
    const args = ['--full', '--trust-server', url, '--ca-file', place.path('ca.crt'), ...more]
    return place.run(['repo', 'export', GUN, place.path('out'), ...args], { now: () => NOW })
  }
  const manifest = (): ExportManifest =>
    JSON.parse(readFileSync(place.path('out/countersign-export.json'), 'utf8')) as ExportManifest
  const nothingIsThere = (): void => {
    expect(readdirSync(place.folder).filter((name) => name.startsWith('out'))).to.deep.equal([])
  }
  const refused = async (files: ReadonlyMap<string, Uint8Array>, reason: string, more?: readonly string[]) => {
    const ran = await exported(files, [...(more ?? ['--tofu']), '--json'])
    expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([1, ['METADATA_NOT_VERIFIED']])
    expect(ran.json()).to.have.nested.property('facts.reason', reason)
    nothingIsThere()
  }

  it('keeps every root and every role, and a manifest of each file', async () => {
    const builder = rotated()
    const pin = builder.role('root').keys[0]!.publicKey.tufKeyId
    const ran = await exported(builder.files(), ['--pin', pin, '--json'])
    expect(ran.exit, ran.stderr).to.equal(0)
    const { files, ...rest } = manifest()
    expect(rest).to.deep.include({
      format: 'countersign-export/1',
      gun: GUN,
      server: server.url,
      exportedAt: NOW.toISOString(),
      pin: 'certificates',
      roots: { first: 1, last: 2, pinnedFrom: 2 },
      clients: { accept: true, until: builder.role('timestamp').expiresAt.toISOString() },
      expired: [],
      leftOut: [],
    })
    expect(rest.rootPins.map(({ version }) => version)).to.deep.equal([1, 2])
    expect(rest.rootPins[1]!.certificateKeyIds).to.deep.equal([pin])
    for (const { path, length, sha256 } of files) {
      const bytes = readFileSync(place.path(`out/${path}`))
      expect([bytes.byteLength, sha256Hex(bytes)], path).to.deep.equal([length, sha256])
    }
    const onDisk = readdirSync(place.path('out'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      statSync(place.path(`out/${name}`)).isFile(),
    )
    expect(onDisk.sort()).to.deep.equal([...files.map(({ path }) => path), 'countersign-export.json'].sort())
    const named = new Map(files.map((file) => [file.path, file]))
    for (const role of ['root', 'timestamp', 'snapshot', 'targets', 'targets/releases', 'targets/countersign']) {
      const file = named.get(`${TUF}/${role}.json`)
      expect(file, role).to.deep.include({ role, expired: false })
      expect(file?.signedBy?.length, role).to.be.greaterThan(0)
      expect(named.get(`${TUF}/${role}.${file!.sha256}.json`), role).to.deep.include({ role, sha256: file!.sha256 })
    }
    expect(named.get(`${TUF}/1.root.json`)).to.deep.include({ role: 'root', version: 1 })
    expect(named.get(`${TUF}/2.root.json`)).to.deep.include({ role: 'root', version: 2, signedBy: [pin] })
    expect(ran.json()).to.deep.equal({
      folder: place.path('out'),
      manifest: 'countersign-export.json',
      ...rest,
      files,
    })
    expect(ran.stderr).to.contain('vouches for the roots from version 2 on')
  })

  it('a pin of the first root vouches for all that follow; without a pin, that is said', async () => {
    const builder = rotated()
    const pin = new RepositoryBuilder().role('root').keys[0]!.publicKey.tufKeyId
    const ran = await exported(builder.files(), ['--pin', pin])
    expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
    expect(ran.stdout)
      .to.match(/ROLE +VERSION +EXPIRES +STATE/)
      .and.to.contain('Roots 1 to 2.')
    expect(manifest().roots).to.deep.equal({ first: 1, last: 2, pinnedFrom: 1 })
    const args = ['--full', '--tofu', '--trust-server', server.url, '--ca-file', place.path('ca.crt')]
    const second = await place.run(['repo', 'export', GUN, place.path('two'), ...args], { now: () => NOW })
    expect(second.exit, second.stderr).to.equal(0)
    expect(second.stderr).to.contain('No certificate was pinned')
  })

  for (const role of ['root', 'timestamp', 'snapshot', 'targets', 'targets/releases']) {
    it(`keeps an expired ${role}, and says so`, async () => {
      const builder = rotated()
      expire(builder, role)
      const ran = await exported(builder.files())
      expect(ran.exit, ran.stderr).to.equal(0)
      expect(ran.stderr).to.contain(`Expired, and copied all the same: ${role}.`)
      expect(manifest().expired).to.deep.equal([role])
      const file = manifest().files.find(({ path }) => path === `${TUF}/${role}.json`)
      expect(file).to.deep.include({ role, expired: true })
      // Clients pass over an expired delegation; anything else they refuse.
      const accept = role === 'targets/releases'
      expect(manifest().clients.accept).to.equal(accept)
      if (!accept) expect(manifest().clients.refusal).to.equal('ROLE_EXPIRED')
      else expect(manifest().clients.until).to.equal(builder.role('timestamp').expiresAt.toISOString())
    })
  }

  it('keeps roots whose certificates have ended, and follows them', async () => {
    const builder = RepositoryBuilder.withSigner()
    const dates = { notBefore: new Date('2015-08-01T00:00:00Z'), notAfter: new Date('2025-08-01T00:00:00Z') }
    const old = testCertificateKey('root of 2015', { commonName: GUN, ...dates })
    builder.role('root').keys = [old]
    builder.nextRoot((root) => {
      root.keys = [builder.rootKey('second root')]
    })
    const ran = await exported(builder.files(), ['--pin', old.publicKey.tufKeyId])
    expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
    expect(manifest()).to.deep.include({ roots: { first: 1, last: 2, pinnedFrom: 1 } })
    expect(manifest().clients.accept).to.equal(true)
  })

  it('keeps a repository whose only root certificate has ended, and says that clients refuse it', async () => {
    const builder = RepositoryBuilder.withSigner()
    const dates = { notBefore: new Date('2015-08-01T00:00:00Z'), notAfter: new Date('2025-08-01T00:00:00Z') }
    builder.role('root').keys = [testCertificateKey('root of 2015', { commonName: GUN, ...dates })]
    const ran = await exported(builder.files())
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(ran.stderr).to.contain('Stock clients refuse this copy as it is (CERTIFICATE_EXPIRED)')
    expect(manifest().clients).to.deep.equal({ accept: false, refusal: 'CERTIFICATE_EXPIRED' })
  })

  it('leaves out a delegation without its signatures, and says so', async () => {
    const builder = rotated()
    breakSignatures(builder, 'targets/countersign')
    const ran = await exported(builder.files())
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(ran.stderr).to.contain('targets/countersign is delegated and not in the copy: SIGNATURE_BELOW_THRESHOLD')
    expect(
      readdirSync(place.path(`out/${TUF}/targets`)).filter((name) => name.startsWith('countersign')),
    ).to.deep.equal([])
    expect(manifest().leftOut).to.deep.equal([{ role: 'targets/countersign', reason: 'SIGNATURE_BELOW_THRESHOLD' }])
    expect(manifest().clients).to.deep.equal({ accept: false, refusal: 'FILE_MISSING' })
  })

  it('begins where the server’s roots begin, and says so', async () => {
    const files = rotated().files()
    files.delete('1.root.json')
    const ran = await exported(files)
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(ran.stderr).to.contain('The roots begin with version 2')
    expect(manifest().roots.first).to.equal(2)
  })

  describe('writes nothing', () => {
    for (const role of ['root', 'timestamp', 'snapshot', 'targets']) {
      it(`for ${role} without good signatures`, async () => {
        const builder = rotated()
        breakSignatures(builder, role)
        await refused(builder.files(), 'SIGNATURE_BELOW_THRESHOLD')
      })
    }

    for (const name of ['timestamp.json', 'snapshot', 'targets', 'targets/releases', 'root.json']) {
      it(`where ${name} is missing`, async () => {
        const files = rotated().files()
        for (const file of files.keys()) if (file === name || file.startsWith(`${name}.`)) files.delete(file)
        await refused(files, 'FILE_MISSING')
      })
    }

    it('for other bytes under a hash', async () => {
      const files = rotated().files()
      for (const [name, bytes] of files) {
        if (name.startsWith('targets/releases.')) files.set(name, Buffer.from(bytes).fill(0x20, bytes.length - 1))
      }
      await refused(files, 'FILE_HASH_MISMATCH')
    })

    it('for an older root that did not sign its successor', async () => {
      const foreign = new RepositoryBuilder()
      foreign.role('root').keys = [foreign.rootKey('foreign root')]
      const files = rotated().files().set('1.root.json', foreign.firstRoot())
      await refused(files, 'SIGNATURE_BELOW_THRESHOLD')
    })

    it('for a later root that its predecessor did not sign', async () => {
      const later = new RepositoryBuilder()
      later.role('root').keys = [later.rootKey('foreign root')]
      later.role('root').version = 3
      await refused(rotated().files().set('3.root.json', later.firstRoot()), 'SIGNATURE_BELOW_THRESHOLD')
    })

    it('for a root under the number of another', async () => {
      const builder = rotated()
      const files = builder.files()
      await refused(files.set('1.root.json', files.get('2.root.json')!), 'ROOT_VERSION')
    })

    it('for a repository of somebody else, where a certificate is pinned', async () => {
      await refused(rotated().files(), 'ROOT_NOT_PINNED', ['--pin', 'a'.repeat(64)])
    })

    it('where the snapshot is for another root than the newest', async () => {
      const old = RepositoryBuilder.withSigner()
      const files = old.files()
      old.nextRoot()
      await refused(files.set('2.root.json', old.files().get('2.root.json')!), 'ROOT_NOT_CURRENT')
    })

    it('FILE_EXISTS: over a folder that is there, however empty, and asks nobody', async () => {
      place.file('out', 'mine')
      const ran = await exported(rotated().files(), ['--tofu'], 'https://127.0.0.1:1')
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['FILE_EXISTS']])
      expect(readFileSync(place.path('out'), 'utf8')).to.equal('mine')
    })

    it('FILE_UNWRITABLE: where no folder can be made', async () => {
      server.repositories.set(GUN, rotated().files())
      const args = ['--full', '--tofu', '--trust-server', server.url, '--ca-file', place.path('ca.crt')]
      const ran = await place.run(['repo', 'export', GUN, place.path('none/out'), ...args], { now: () => NOW })
      expect(ran.codes()).to.deep.equal(['FILE_UNWRITABLE'])
    })

    it('INTERRUPTED: after Ctrl-C', async () => {
      server.repositories.set(GUN, rotated().files())
      const args = ['--full', '--tofu', '--trust-server', server.url, '--ca-file', place.path('ca.crt')]
      const interrupted = AbortSignal.abort()
      const ran = await place.run(['repo', 'export', GUN, place.path('out'), ...args], { now: () => NOW, interrupted })
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['INTERRUPTED']])
      nothingIsThere()
    })

    it('INTERRUPTED: at once, also where the server does not answer', async () => {
      const pressed = new AbortController()
      const silent = await startScriptedServer(scope, () => {
        pressed.abort()
      })
      const args = ['--full', '--tofu', '--trust-server', silent.url]
      const ran = await place.run(['repo', 'export', GUN, place.path('out'), ...args], { interrupted: pressed.signal })
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['INTERRUPTED']])
      nothingIsThere()
    })

    it('NOTARY_RESPONSE_TOO_LARGE: of a server that sends without end', async () => {
      const files = new Map([['root.json', Buffer.alloc(2 * 1024 * 1024, 0x20)]])
      const ran = await exported(files)
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['NOTARY_RESPONSE_TOO_LARGE']])
      nothingIsThere()
    })

    it('NOTARY_UNAVAILABLE: where nobody answers', async () => {
      const ran = await exported(new Map(), ['--tofu'], 'https://127.0.0.1:1')
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['NOTARY_UNAVAILABLE']])
    })
  })

  it('TOKEN_REALM_NOT_ALLOWED: names the realm and the option, and asks nothing there', async () => {
    const realm = await startScriptedServer(scope, (_heard, response) => response.end('{}'))
    const asking = await startScriptedServer(scope, (_heard, response) => {
      const challenge = `Bearer realm="${realm.url}/token",service="s"`
      response.writeHead(401, { 'www-authenticate': challenge }).end()
    })
    const ran = await exported(new Map(), ['--tofu'], asking.url)
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['TOKEN_REALM_NOT_ALLOWED']])
    expect(ran.stderr).to.contain(`--realm ${realm.url}/token`)
    expect(realm.heard).to.deep.equal([])
  })

  it('2: options that do not go together', async () => {
    const cases: readonly (readonly string[])[] = [
      ['--full'],
      ['--full', '--trust-server', server.url],
      ['--full', '--trust-server', server.url, '--tofu', '--pin', 'a'.repeat(64)],
      ['--tofu'],
      ['--trust-server', server.url],
      ['--full', '--trust-server', server.url, '--pin', 'short'],
    ]
    for (const more of cases) {
      const ran = await place.run(['repo', 'export', GUN, place.path('out'), ...more])
      expect([more, ran.exit, ran.codes()]).to.deep.equal([more, 2, ['USAGE_INVALID']])
    }
    const plain = ['--full', '--tofu', '--trust-server', 'http://notary.example.com']
    const ran = await place.run(['repo', 'export', GUN, place.path('out'), ...plain])
    expect([ran.exit, ran.codes()]).to.deep.equal([2, ['SERVER_ADDRESS_INVALID']])
    nothingIsThere()
  })

  it('a death while it writes leaves no folder of that name, and no manifest', () => {
    // Dies with the 21st file, without a word: what the power cut leaves. Files are flushed by sixteen.
    const script = `
      import { writeNewFolder } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/cli/files.ts'))}
      const files = new Map(Array.from({ length: 30 }, (_, n) => ['a/' + n, Buffer.from('x')]))
      files[Symbol.iterator] = function* () {
        let left = 20
        for (const entry of files.entries()) {
          if (left-- === 0) process.kill(process.pid, 'SIGKILL')
          yield entry
        }
      }
      await writeNewFolder(${JSON.stringify(place.path('out'))}, { files, seal: { name: 'countersign-export.json', bytes: Buffer.from('{}') } })`
    const options = ['--import', 'tsx', '--conditions=source', '--input-type=module', '--eval', script]
    const { signal, stderr } = spawnSync(process.execPath, options, { encoding: 'utf8' })
    expect(signal, stderr).to.equal('SIGKILL')
    expect(existsSync(place.path('out'))).to.equal(false)
    const [left = '', ...more] = readdirSync(place.folder).filter((name) => name.startsWith('out.'))
    expect(more).to.deep.equal([])
    const names = readdirSync(join(place.folder, left), { recursive: true, encoding: 'utf8' })
    expect(names.sort()).to.deep.equal(['a', ...Array.from({ length: 16 }, (_, n) => `a/${n}`)].sort())
  })
})
