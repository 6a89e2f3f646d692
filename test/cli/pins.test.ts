// `pin`: bundles from a real key holder, what is refused of them, what pull and verify make of them, and the forms for other programs.
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { certificatePem } from '@countersign/tuf'
import { expect } from 'chai'
import { parse, parseAllDocuments } from 'yaml'
import { connaisseurValues } from '../../src/cli/pins/formats.ts'
import { readPinStore, updatePinStore, withBundle } from '../../src/cli/pins/store.ts'
import { bundleBody, signBundle, type PinnedRepository } from '../../src/key-holder/pin-bundle.ts'
import { encodeVerifierKey } from '../../src/key-holder/signed-note.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { startMetadataServer, type MetadataServer } from '../support/peers/metadata-server.ts'
import { NOW, RepositoryBuilder, sha256Of } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testCertificateKey, type TestKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const [APP, OTHER] = ['registry.example.com/team/app', 'registry.example.com/team/other']
const IMAGE = `${APP}:1.0`
const TRUST_SERVER = ['--trust-server', 'https://notary.example.com:4443/']

function pinnedAs(gun: string) {
  const { publicKey } = testCertificateKey('pinned', { commonName: gun })
  const certificate = { keyId: publicKey.tufKeyId, pem: certificatePem(publicKey) }
  const certificates: [typeof certificate] = [certificate]
  return { gun, root: { version: 1, sha256: 'a'.repeat(64), threshold: 1 }, certificates }
}

describe('cli pin', () => {
  const scope = new Scope()
  const ca = createTestCa()
  let holder: TestKeyHolder
  let repository: HeldRepository
  let server: MetadataServer
  /** The operator's machine, and a developer's. */
  let operator: Workplace
  let developer: Workplace
  let fingerprint: string
  let clock: Date

  before(async () => {
    server = await startMetadataServer(scope, ca)
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder, APP)
    await HeldRepository.initialize(holder, OTHER)
    await repository.sign([put('1.0')])
  })
  after(() => scope.close())
  beforeEach(async () => {
    clock = NOW
    ;[operator, developer] = [new Workplace(), new Workplace()]
    const tls = developer.path(join('.docker/tls', server.host))
    mkdirSync(tls, { recursive: true })
    writeFileSync(join(tls, 'ca.crt'), ca.certificatePem)
    developer.file('docker', '#!/bin/sh\nexit 0\n', 0o700)
    server.repositories.set(APP, repository.files())
    fingerprint = ((await exported('team.pins')).json() as { fingerprint: string }).fingerprint
  })
  afterEach(() => {
    operator.remove()
    developer.remove()
  })

  async function attempt(file: string, ...options: readonly string[]): Promise<Ran> {
    const argv = ['pin', 'export', ...options, operator.path(file), '--operator-socket', holder.config.operatorSocket]
    return operator.run([...argv, '--json'], { now: () => clock })
  }
  async function exported(file: string, ...options: readonly string[]): Promise<Ran> {
    const ran = await attempt(file, ...options)
    expect(ran.exit, ran.stderr).to.equal(0)
    return ran
  }
  const text = (file: string): string => readFileSync(operator.path(file), 'utf8')
  const run = (argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
    developer.run(argv, {
      env: { PATH: developer.folder, DOCKER_CONTENT_TRUST_SERVER: server.url, ...env },
      now: () => clock,
    })
  const imported = (file: string, ...options: readonly string[]): Promise<Ran> =>
    run(['pin', 'import', operator.path(file), ...options, '--json'])
  async function pinned(): Promise<void> {
    const ran = await imported('team.pins', '--key', fingerprint)
    expect(ran.exit, ran.stderr).to.equal(0)
  }
  /** Another key holder, and a bundle of it for the same repository. */
  async function strangers(file: string): Promise<string> {
    const other = await TestKeyHolder.start(scope)
    await HeldRepository.initialize(other, APP)
    const socket = ['--operator-socket', other.config.operatorSocket, '--json']
    const ran = await operator.run(['pin', 'export', operator.path(file), ...socket])
    expect(ran.exit, ran.stderr).to.equal(0)
    return (ran.json() as { fingerprint: string }).fingerprint
  }

  it('brings the roots of the key holder to a machine, which believes them and no others', async () => {
    expect((await run(['pull', IMAGE])).codes()).to.deep.equal(['PIN_MISSING'])
    await pinned()
    const pull = await run(['pull', IMAGE, '--json'])
    expect(pull.exit, pull.stderr).to.equal(0)
    expect(pull.json()).to.include({ anchor: 'bundle', pinned: true })
    expect(pull.stderr).not.to.include('warning')
    const list = (await run(['pin', 'list', '--json'])).json() as { repositories: { gun: string }[] }
    expect(list.repositories.map(({ gun }) => gun)).to.deep.equal([APP, OTHER])
    const shown = await run(['pin', 'show', APP])
    const { pinnedRoot } = (await holder.operator.call('repository-status', { gun: APP })).response
    expect(shown.stdout).to.include(pinnedRoot!.certificateKeyIds[0]).and.to.include(fingerprint)
    expect((await run(['pin', 'list'])).stdout).to.match(
      new RegExp(`^${APP} +v1 +${pinnedRoot!.certificateKeyIds[0]!.slice(0, 12)} `, 'm'),
    )

    // Whoever answers for the trust server has another root for it.
    const foreign = RepositoryBuilder.withSigner('countersign', APP).put('targets/releases', '1.0', '1.0')
    foreign.role('root').keys = [testCertificateKey('foreign', { commonName: APP })]
    server.repositories.set(APP, foreign.files())
    const fresh = { XDG_STATE_HOME: developer.path('fresh') }
    for (const more of [[], ['--tofu']]) {
      expect((await run(['pull', IMAGE, ...more], fresh)).codes()).to.deep.equal(['ROOT_NOT_PINNED'])
    }
  })

  it('makes verify ask no server, and says so where there are no pins', async () => {
    const here = async () => {
      const ran = await run(['verify', IMAGE, '--json'])
      return [ran.exit, (ran.json() as { verifiedBy?: string }).verifiedBy, ran.codes()]
    }
    expect(await here()).to.deep.equal([2, undefined, ['SERVER_NOT_CONFIGURED']])
    await pinned()
    expect(await here()).to.deep.equal([0, 'this-machine', []])
    expect((await run(['verify', IMAGE, '--server', 'http://127.0.0.1:9'])).codes()).not.to.include(
      'SERVER_NOT_CONFIGURED',
    )
    const first = await run(['pull', IMAGE, '--tofu', '--json'], { COUNTERSIGN_PINS: developer.path('none') })
    expect([first.exit, first.json()]).to.deep.include.members([0])
    const other = { COUNTERSIGN_PINS: developer.path('none'), XDG_STATE_HOME: developer.path('state') }
    for (const more of [['--tofu'], []]) {
      const ran = await run(['pull', IMAGE, ...more, '--json'], other)
      expect(ran.json()).to.include({ pinned: false })
      expect(ran.stderr).to.include('countersign: warning: No root of')
    }
    const verified = await run(['verify', IMAGE, '--trust-server', server.url, '--json'], other)
    expect(verified.stderr).to.include('countersign: warning: No root of')
  })

  it('ROOT_NOT_PINNED: a new machine takes no root below the pinned one', async () => {
    await pinned()
    const file = developer.path('.config/countersign/pins.json')
    writeFileSync(file, readFileSync(file, 'utf8').replace('"version": 1', '"version": 2'))
    expect((await run(['pull', IMAGE])).codes()).to.deep.equal(['ROOT_NOT_PINNED'])
  })

  describe('one root key of several', () => {
    const [one, two, three, evil] = ['one', 'two', 'three', 'evil'].map((name) =>
      testCertificateKey(`pins ${name}`, { commonName: APP }),
    ) as [TestKey, TestKey, TestKey, TestKey]
    const signed = (): RepositoryBuilder =>
      RepositoryBuilder.withSigner('countersign', APP).put('targets/releases', '1.0', '1.0')
    let builder: RepositoryBuilder

    /** Pins of the second root, as a bundle brings them: two of these keys have to sign what follows it. */
    function pinSecond(): void {
      builder.nextRoot((root) => {
        root.keys = [two, three]
        root.threshold = 2
      })
      builder.nextVersions()
      const file = builder.files().get('2.root.json')!
      const certificates = [two, three].map(({ publicKey }) => ({
        keyId: publicKey.tufKeyId,
        pem: Buffer.from(publicKey.publicValue, 'base64').toString(),
      }))
      const root = { version: 2, sha256: sha256Of(file), threshold: 2 }
      const at = clock.toISOString()
      const from = { publicKey: 'test', serial: 1, sha256: sha256Of(file), madeAt: at, importedAt: at }
      const store = { format: 1, keys: [], repositories: [{ gun: APP, root, certificates, from }] }
      mkdirSync(developer.path('.config/countersign'), { recursive: true })
      developer.file('.config/countersign/pins.json', JSON.stringify(store))
    }

    beforeEach(() => {
      builder = signed()
      builder.role('root').keys = [one, two]
    })

    it('ROOT_NOT_PINNED: one that is listed no more makes no other root, not even for a machine that remembers it', async () => {
      server.repositories.set(APP, builder.files())
      const first = await run(['pull', IMAGE, '--pin', two.publicKey.tufKeyId])
      expect(first.exit, first.stderr).to.equal(0)
      const forged = signed()
      forged.role('root').keys = [one, two]
      forged.nextRoot((root) => (root.keys = [evil]))
      forged.nextVersions()
      pinSecond()
      server.repositories.set(APP, forged.files())
      expect((await run(['pull', IMAGE])).codes()).to.deep.equal(['ROOT_NOT_PINNED'])
      server.repositories.set(APP, builder.files())
      expect((await run(['pull', IMAGE])).codes()).to.deep.equal([])
    })

    it('SIGNATURE_BELOW_THRESHOLD: one where two have to sign makes no later root', async () => {
      pinSecond()
      const second = builder.files().get('2.root.json')!
      const forged = signed()
      forged.role('root').keys = [two]
      forged.role('root').version = 3
      server.repositories.set(APP, new Map([...forged.files(), ['2.root.json', second]]))
      expect((await run(['pull', IMAGE])).codes()).to.deep.equal(['SIGNATURE_BELOW_THRESHOLD'])
      server.repositories.set(APP, builder.files())
      expect((await run(['pull', IMAGE])).codes()).to.deep.equal([])
    })
  })

  describe('import refuses', () => {
    it('PIN_KEY_MISSING: a first bundle without its key; later the key is known', async () => {
      expect([(await imported('team.pins')).exit, (await imported('team.pins')).codes()]).to.deep.equal([
        2,
        ['PIN_KEY_MISSING'],
      ])
      operator.file('key', `${fingerprint}\n`)
      expect((await imported('team.pins', '--key', operator.path('key'))).exit).to.equal(0)
      await exported('newer.pins')
      expect((await imported('newer.pins')).exit).to.equal(0)
      operator.file('nothing', 'nothing\n')
      expect((await imported('newer.pins', '--key', operator.path('nothing'))).codes()).to.deep.equal(['USAGE_INVALID'])
    })

    it('PIN_BUNDLE_OLDER: an older bundle, and another one of the same number; the same again is none', async () => {
      await exported('newer.pins', APP)
      expect((await imported('newer.pins', '--key', fingerprint)).exit).to.equal(0)
      const older = await imported('team.pins')
      expect([older.exit, older.codes()]).to.deep.equal([1, ['PIN_BUNDLE_OLDER']])
      expect((await imported('newer.pins')).exit).to.equal(0)
      const { repositories } = (await run(['pin', 'list', '--json'])).json() as { repositories: { gun: string }[] }
      expect(repositories.map(({ gun }) => gun)).to.deep.equal([APP])
      const file = developer.path('.config/countersign/pins.json')
      writeFileSync(
        file,
        readFileSync(file, 'utf8').replace(/"sha256": "[0-9a-f]+",\n +"madeAt"/, `"sha256": "0",\n"madeAt"`),
      )
      expect((await imported('newer.pins')).codes()).to.deep.equal(['PIN_BUNDLE_OLDER'])
    })

    it('PIN_BUNDLE_EXPIRED, PIN_BUNDLE_INVALID, FILE_UNREADABLE', async () => {
      await exported('month.pins', '--expires', '30d')
      clock = new Date(NOW.getTime() + 31 * 86_400_000)
      expect((await imported('month.pins', '--key', fingerprint)).codes()).to.deep.equal(['PIN_BUNDLE_EXPIRED'])
      clock = NOW
      expect((await imported('month.pins', '--key', fingerprint)).exit).to.equal(0)
      // What was imported stays good: metadata has expiries of its own.
      clock = new Date(NOW.getTime() + 31 * 86_400_000)
      expect((await run(['pin', 'show', APP])).exit).to.equal(0)
      clock = NOW
      operator.file('changed.pins', text('month.pins').replace('"version":1', '"version":2'))
      operator.file('nothing.pins', '{}')
      for (const file of ['changed.pins', 'nothing.pins']) {
        expect((await imported(file)).codes(), file).to.deep.equal(['PIN_BUNDLE_INVALID'])
      }
      expect((await imported('absent')).codes()).to.deep.equal(['FILE_UNREADABLE'])
    })

    it('PIN_BUNDLE_OTHER_KEY: a bundle of a stranger; one whose key is known, for what another key has pinned', async () => {
      await strangers('stranger.pins')
      expect((await imported('stranger.pins', '--key', fingerprint)).codes()).to.deep.equal(['PIN_BUNDLE_OTHER_KEY'])
      await pinned()
      expect((await imported('stranger.pins')).codes()).to.deep.equal(['PIN_BUNDLE_OTHER_KEY'])
    })

    it('PIN_BUNDLE_REPLACES: a named key takes over only by --replace, and names what it would take', async () => {
      await pinned()
      const stranger = await strangers('stranger.pins')
      expect((await imported('stranger.pins', '--replace')).codes()).to.deep.equal(['USAGE_INVALID'])
      const named = await imported('stranger.pins', '--key', stranger)
      expect([named.exit, named.codes()]).to.deep.equal([1, ['PIN_BUNDLE_REPLACES']])
      expect(named.stderr).to.include(APP).and.not.to.include(OTHER)
      expect((await imported('stranger.pins', '--key', stranger, '--replace')).exit).to.equal(0)
      // From then on the former key gets it back neither by itself nor by name.
      await exported('newer.pins')
      expect((await imported('newer.pins')).codes()).to.deep.equal(['PIN_BUNDLE_OTHER_KEY'])
      expect((await imported('newer.pins', '--key', fingerprint)).codes()).to.deep.equal(['PIN_BUNDLE_REPLACES'])
    })

    it('PIN_BUNDLE_OTHER_KEY: a key that brought none of the pins any more is forgotten', async () => {
      await exported('app.pins', APP)
      await exported('other.pins', OTHER)
      expect((await imported('app.pins', '--key', fingerprint)).exit).to.equal(0)
      const stranger = await strangers('stranger.pins')
      expect((await imported('stranger.pins', '--key', stranger, '--replace')).exit).to.equal(0)
      expect((await imported('other.pins')).codes()).to.deep.equal(['PIN_BUNDLE_OTHER_KEY'])
      // Neither does a file help that lists it still.
      const file = developer.path('.config/countersign/pins.json')
      const store = JSON.parse(readFileSync(file, 'utf8')) as { keys: string[] }
      const former = ((await exported('again.pins')).json() as { publicKey: string }).publicKey
      writeFileSync(file, JSON.stringify({ ...store, keys: [...store.keys, former] }))
      expect((await imported('other.pins')).codes()).to.deep.equal(['PIN_BUNDLE_OTHER_KEY'])
      expect((await imported('other.pins', '--key', fingerprint)).exit).to.equal(0)
    })

    it('PINS_DAMAGED: pins that cannot be read keep everything from being believed', async () => {
      const pins = developer.file('pins', '{"format":1}')
      const env = { COUNTERSIGN_PINS: pins }
      for (const argv of [
        ['pin', 'list'],
        ['pull', IMAGE, '--tofu'],
        ['verify', IMAGE],
      ]) {
        expect((await run(argv, env)).codes(), argv.join(' ')).to.deep.equal(['PINS_DAMAGED'])
      }
      // A certificate that is none, and one under another ID.
      await pinned()
      const good = readFileSync(developer.path('.config/countersign/pins.json'), 'utf8')
      for (const bad of [
        good.replace('BEGIN CERT', 'BEGIN X'),
        good.replace(/"keyId": "[0-9a-f]{8}/, '"keyId": "00000000'),
      ]) {
        expect(bad).not.to.equal(good)
        writeFileSync(pins, bad)
        for (const argv of [['list'], ['show', APP]]) {
          expect((await run(['pin', ...argv], env)).codes(), argv.join(' ')).to.deep.equal(['PINS_DAMAGED'])
        }
      }
      const unwritable = ['pin', 'import', operator.path('team.pins'), '--key', fingerprint]
      expect((await run(unwritable, { COUNTERSIGN_PINS: '/dev/null/pins' })).exit).to.equal(1)
      expect((await run(['pin', 'show', `${APP}-none`])).codes()).to.deep.equal(['PIN_UNKNOWN'])
    })
  })

  it('PIN_BUNDLE_INVALID: a signed bundle with something else in the place of a certificate', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const key = encodeVerifierKey('test.example.com/pins', publicKey)
    const codes = async (certificate: PinnedRepository['certificates'][number]) => {
      const [madeAt, repositories] = [NOW.toISOString(), [{ ...pinnedAs(APP), certificates: [certificate] }]]
      const body = bundleBody({ serial: 1, madeAt, publicKey: key, repositories })
      operator.file('signed.pins', signBundle(body, 'test.example.com/pins', privateKey))
      return (await imported('signed.pins', '--key', key)).codes()
    }
    const [good] = pinnedAs(APP).certificates
    expect(await codes({ ...good, pem: 'no certificate' })).to.deep.equal(['PIN_BUNDLE_INVALID'])
    expect(await codes({ ...good, keyId: 'a'.repeat(64) })).to.deep.equal(['PIN_BUNDLE_INVALID'])
    expect(await codes(good)).to.deep.equal([])
  })

  it('loses no pins where several programs import at once', async () => {
    const terminal = { env: {}, homeFolder: developer.folder }
    const guns = Array.from({ length: 4 }, (_, index) => `${APP}-${index}`)
    await Promise.all(
      guns.map((gun) =>
        updatePinStore(terminal, (store) => {
          const [madeAt, repositories] = [NOW.toISOString(), [pinnedAs(gun)]]
          const bundle = { serial: 1, madeAt, publicKey: gun, repositories, fingerprint: '', sha256: '' }
          return { store: withBundle(store, bundle, { isNamed: true, replaces: false, now: NOW }), result: undefined }
        }),
      ),
    )
    const { repositories } = await readPinStore(terminal)
    expect(repositories.map(({ gun }) => gun)).to.deep.equal(guns)
    expect(readdirSync(developer.path('.config/countersign'))).to.deep.equal(['pins.json'])
    // One that always comes second gives up.
    const file = developer.path('.config/countersign/pins.json')
    const outrun = updatePinStore(terminal, (store) => {
      writeFileSync(file, `${readFileSync(file, 'utf8')}\n`)
      return { store, result: undefined }
    })
    await expectCodeAsync('FILE_UNWRITABLE', () => outrun)
  })

  it('gives Kubernetes names that it takes', () => {
    const values = connaisseurValues([pinnedAs(`${'a'.repeat(54)}/app`), pinnedAs(`${'a'.repeat(54)}/bpp`)], '')
    const names = [...values.matchAll(/- name: (a+.*)$/gm)].map(([, name]) => name)
    expect(names).to.have.length(2)
    for (const name of names) expect(name).to.match(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
  })

  describe('export', () => {
    it('refuses what is not here, leaves no file then, and overwrites none', async () => {
      const unknown = await attempt('x.pins', `${APP}-none`)
      expect([unknown.exit, unknown.codes()]).to.deep.equal([1, ['GUN_NOT_MANAGED']])
      expect((await exported('x.pins')).exit).to.equal(0)
      expect((await attempt('x.pins')).codes()).to.deep.equal(['FILE_EXISTS'])
      for (const options of [
        ['--expires', '90m'],
        ['--expires', '9d', '--format', 'notary'],
        ['--format', 'connaisseur'],
        TRUST_SERVER,
      ]) {
        expect((await attempt('y.pins', ...options)).codes(), options.join(' ')).to.deep.equal(['USAGE_INVALID'])
      }
    })

    it('writes what the notary client reads', async () => {
      await exported('notary.json', '--format', 'notary')
      const { trust_pinning: pinning } = JSON.parse(text('notary.json')) as { trust_pinning: { certs: object } }
      const { pinnedRoot } = (await holder.operator.call('repository-status', { gun: APP })).response
      expect(pinning).to.include({ disable_tofu: true })
      expect(pinning.certs)
        .to.include.keys(APP, OTHER)
        .and.to.deep.include({ [APP]: pinnedRoot!.certificateKeyIds })
    })

    it('writes what Connaisseur reads', async () => {
      await exported('values.yaml', '--format', 'connaisseur', ...TRUST_SERVER)
      const { application } = parse(text('values.yaml')) as {
        application: {
          validators: { type: string; host: string; trustRoots: { name: string; key: string }[] }[]
          policy: { pattern: string; with: { trustRoot: string } }[]
        }
      }
      const [{ type, host, trustRoots } = { type: '', host: '', trustRoots: [] }] = application.validators
      expect([type, host]).to.deep.equal(['notaryv1', 'notary.example.com:4443'])
      expect(application.policy.map(({ pattern, with: { trustRoot } }) => [pattern, trustRoot])).to.deep.equal(
        [APP, OTHER].flatMap((gun, index) => [
          [`${gun}:*`, trustRoots[index]?.name],
          [`${gun}@sha256:*`, trustRoots[index]?.name],
        ]),
      )
      const bundle = text('team.pins')
      const pem = JSON.parse(/"pem":("[^"]+")/.exec(bundle)?.[1] ?? '""') as string
      expect(createPublicKey(trustRoots[0]!.key).equals(new X509Certificate(pem).publicKey)).to.equal(true)
      expect(trustRoots[0]!.key).to.match(/^-----BEGIN PUBLIC KEY-----\n/)
    })

    it('writes what Portieris reads: signers, for it has no pins of roots', async () => {
      await exported('portieris.yaml', APP, '--format', 'portieris', ...TRUST_SERVER)
      const [secret, policy] = parseAllDocuments(text('portieris.yaml')).map(
        (one) => one.toJS() as Record<string, unknown>,
      )
      const name = 'registry-example-com-team-app-countersign'
      const { response } = await holder.operator.call('export-public-key', { gun: APP, role: 'targets/countersign' })
      expect(secret).to.deep.include({ kind: 'Secret', stringData: { name: 'countersign', publicKey: response.pem } })
      expect(secret?.['metadata']).to.deep.equal({ name })
      const trust = { enabled: true, trustServer: 'https://notary.example.com:4443', signerSecrets: [{ name }] }
      expect(policy).to.deep.include({
        kind: 'ClusterImagePolicy',
        spec: { repositories: [{ name: APP, policy: { trust } }] },
      })
    })
  })
})
