// `pull`, and `verify` without a server: from which pin or memory a tag is believed, and that whatever is refused is neither pulled nor tagged.
// Docker is a script here; test/peer/docker-plugin.test.ts has the real one.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { MetadataServer } from '../support/peers/metadata-server.ts'
import { startMetadataServer } from '../support/peers/metadata-server.ts'
import { imageOf, NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import * as swizzle from '../support/swizzler.ts'
import { testCertificateKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const GUN = 'registry.example.com/team/app'
const IMAGE = `${GUN}:1.0`
const { sha256 } = imageOf('image')

describe('cli pull', () => {
  const scope = new Scope()
  const ca = createTestCa()
  let server: MetadataServer
  let place: Workplace
  let builder: RepositoryBuilder
  let dockerStatus: Readonly<Record<string, number>>

  before(async () => {
    server = await startMetadataServer(scope, ca)
  })
  after(() => scope.close())
  beforeEach(() => {
    place = new Workplace()
    builder = RepositoryBuilder.withSigner('countersign', GUN)
    builder.put('targets/releases', '1.0', 'image').put('targets/countersign', '1.0', 'image')
    dockerStatus = {}
    // Where docker has it, too.
    const tls = join(place.folder, '.docker/tls', server.host)
    mkdirSync(tls, { recursive: true })
    writeFileSync(join(tls, 'ca.crt'), ca.certificatePem)
  })
  afterEach(() => {
    place.remove()
  })

  const pin = (): string => builder.role('root').keys[0]!.publicKey.tufKeyId

  async function run(argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
    server.repositories.set(GUN, builder.files())
    const ends = Object.entries(dockerStatus).map(([command, status]) => `[ "$1" = ${command} ] && exit ${status}`)
    const script = `#!/bin/sh\necho "$* trust=$DOCKER_CONTENT_TRUST" >> '${place.path('calls')}'\n${ends.join('\n')}\nexit 0\n`
    place.file('docker', script, 0o700)
    return place.run(argv, {
      env: { PATH: place.folder, DOCKER_CONTENT_TRUST: '1', DOCKER_CONTENT_TRUST_SERVER: server.url, ...env },
      now: () => NOW,
    })
  }
  const pull = (...options: readonly string[]): Promise<Ran> => run(['pull', IMAGE, ...options])
  function calls(): string[] {
    const log = place.path('calls')
    return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : []
  }
  /** A pull that succeeds, and leaves what later ones remember. */
  async function pulled(...options: readonly string[]): Promise<void> {
    const ran = await pull(...options)
    expect(ran.exit, ran.stderr).to.equal(0)
    place.file('calls', '')
  }

  describe('what is signed', () => {
    it('is pulled by its digest, without content trust, and tagged', async () => {
      const ran = await pull('--pin', pin(), '--json')
      expect(ran.exit, ran.stderr).to.equal(0)
      const byDigest = `${GUN}@sha256:${sha256}`
      expect(calls()).to.deep.equal([`pull ${byDigest} trust=0`, `tag ${byDigest} ${IMAGE} trust=0`])
      expect(ran.json()).to.deep.equal({
        image: IMAGE,
        digest: `sha256:${sha256}`,
        role: 'targets/releases',
        signers: ['countersign'],
        trustServer: server.url,
        anchor: 'pin',
        pinned: true,
      })
    })

    it('may be named by its digest, for one platform, at a server that an option names', async () => {
      const argv = ['pull', `${IMAGE}@sha256:${sha256}`, '--pin', pin(), '--platform', 'linux/arm64']
      const ran = await run([...argv, '--trust-server', server.url], { DOCKER_CONTENT_TRUST_SERVER: '' })
      expect(ran.exit, ran.stderr).to.equal(0)
      expect(calls()[0]).to.equal(`pull --platform linux/arm64 ${GUN}@sha256:${sha256} trust=0`)
    })

    it('needs no pin the second time, nor another one where the root key has changed since', async () => {
      const first = pin()
      await pulled('--pin', first)
      expect((await pull('--json')).json()).to.deep.include({ anchor: 'memory' })
      builder.nextRoot((root) => (root.keys = [testCertificateKey('next root', { commonName: GUN })]))
      builder.nextVersions()
      expect((await pull('--pin', first)).exit).to.equal(0)
      expect((await pull()).exit).to.equal(0)
      // A machine that comes only now is told the new key.
      expect((await pull('--pin', pin())).exit).to.equal(0)
    })

    it('is believed once without a pin, with a warning, and a pin begins anew', async () => {
      const ran = await pull('--tofu')
      expect(ran.exit).to.equal(0)
      expect(ran.stderr).to.include(`countersign: warning: No root of ${GUN} was pinned`)
      expect((await pull()).stderr).to.include(`countersign: warning: No root of ${GUN} is pinned`)
      // The first root came from somebody else, who had reached high versions.
      const [stranger, owner] = [builder, RepositoryBuilder.withSigner('countersign', GUN)]
      stranger.nextVersions('targets')
      await pulled('--tofu')
      owner.role('root').keys = [testCertificateKey('owner', { commonName: GUN })]
      builder = owner.put('targets/releases', '1.0', 'image')
      expect((await pull()).exit).to.equal(1)
      expect((await pull('--pin', pin())).exit).to.equal(0)
    })
  })

  describe('what is refused is neither pulled nor tagged', () => {
    const foreign = (): string => testCertificateKey('foreign', { commonName: GUN }).publicKey.tufKeyId
    const refusals: Readonly<
      Record<string, { code: string; exit?: number; change?: () => unknown; argv?: () => string[]; before?: boolean }>
    > = {
      'a wrong pin': { code: 'ROOT_NOT_PINNED', argv: () => ['--pin', foreign()] },
      'a wrong pin, where another one was right': {
        code: 'ROOT_NOT_PINNED',
        before: true,
        argv: () => ['--pin', foreign()],
      },
      'no pin and nothing remembered': { code: 'PIN_MISSING', exit: 2, argv: () => [] },
      'a pin and none': { code: 'USAGE_INVALID', exit: 2, argv: () => ['--pin', pin(), '--tofu'] },
      'a server that went back': {
        code: 'VERSION_ROLLED_BACK',
        before: true,
        change: () => builder.role('timestamp').version--,
      },
      'a server that went back, with the pin named again': {
        code: 'VERSION_ROLLED_BACK',
        before: true,
        change: () => builder.role('timestamp').version--,
        argv: () => ['--pin', pin()],
      },
      'another state of the same version': {
        code: 'VERSION_FORKED',
        before: true,
        change: () => builder.put('targets/releases', '2.0', 'x'),
      },
      'an expired timestamp': {
        code: 'ROLE_EXPIRED',
        change: () => {
          swizzle.expire(builder, 'timestamp')
        },
      },
      'a man in the middle': {
        code: 'SIGNATURE_BELOW_THRESHOLD',
        change: () => {
          swizzle.signWithForeignKey(builder, 'timestamp')
        },
      },
      'another server that answers': {
        code: 'SIGNATURE_BELOW_THRESHOLD',
        before: true,
        change: () => {
          builder.nextVersions()
          builder.role('root').version++
          builder.role('timestamp').keys = [testCertificateKey('foreign', { commonName: GUN })]
          builder.role('root').signers = [testCertificateKey('foreign', { commonName: GUN })]
        },
      },
      'a tag that is not signed': {
        code: 'IMAGE_NOT_SIGNED',
        change: () => {
          builder.role('targets/releases').targets.clear()
        },
      },
    }
    for (const [name, { code, exit = 1, change, argv, before = false }] of Object.entries(refusals)) {
      it(`${code}: ${name}`, async () => {
        if (before) {
          builder.nextVersions()
          await pulled('--pin', pin())
        }
        change?.()
        const ran = await pull(...(argv?.() ?? (before ? [] : ['--pin', pin()])))
        expect([ran.exit, ran.codes(), calls().filter((line) => line !== '')], ran.stderr).to.deep.equal([
          exit,
          [code],
          [],
        ])
      })
    }

    it('IMAGE_NOT_SIGNED: another digest than the signed one is named', async () => {
      const ran = await run(['pull', `${IMAGE}@sha256:${'ab'.repeat(32)}`, '--pin', pin()])
      expect([ran.exit, ran.codes(), calls()]).to.deep.equal([1, ['IMAGE_NOT_SIGNED'], []])
    })

    it('FILE_MISSING: the server has no such repository', async () => {
      const ran = await run(['pull', `${GUN}-other:1`, '--pin', pin()])
      expect([ran.exit, ran.codes(), calls()]).to.deep.equal([1, ['FILE_MISSING'], []])
    })

    it('TRUST_MEMORY_DAMAGED: what was remembered cannot be read', async () => {
      await pulled('--pin', pin())
      const file = join('.local/state/countersign/trust', `${encodeURIComponent(GUN)}.json`)
      for (const content of ['', '{}', readFileSync(place.path(file), 'utf8').replace(GUN, `${GUN}-other`)]) {
        writeFileSync(place.path(file), content)
        const ran = await pull('--pin', pin())
        expect([ran.exit, ran.codes(), calls().join('')]).to.deep.equal([1, ['TRUST_MEMORY_DAMAGED'], ''])
      }
    })

    it('FILE_UNWRITABLE: what was verified cannot be remembered', async () => {
      const ran = await run(['pull', IMAGE, '--pin', pin()], { XDG_STATE_HOME: '/dev/null' })
      expect([ran.exit, ran.codes(), calls()]).to.deep.equal([1, ['FILE_UNWRITABLE'], []])
    })

    it('NOTARY_...: the server is away, or its certificate is of nobody known', async () => {
      const away = await pull('--pin', pin(), '--trust-server', 'https://127.0.0.1:9')
      expect([away.exit, calls()]).to.deep.equal([1, []])
      const strange = await run(['pull', IMAGE, '--pin', pin()], { DOCKER_CONFIG: place.path('nowhere') })
      expect([strange.exit, strange.codes(), calls()]).to.deep.equal([1, ['NET_TLS'], []])
    })

    it('DOCKER_PULL_FAILED: docker fails, and then nothing is tagged', async () => {
      dockerStatus = { pull: 1 }
      const ran = await pull('--pin', pin())
      expect([ran.exit, ran.codes(), calls().length]).to.deep.equal([1, ['DOCKER_PULL_FAILED'], 1])
      dockerStatus = { tag: 1 }
      expect((await pull('--pin', pin())).codes()).to.deep.equal(['DOCKER_PULL_FAILED'])
    })
  })

  describe('verify without a server', () => {
    it('gives the verdicts that the server would give', async () => {
      const other = `${GUN}:1.0@sha256:${'ab'.repeat(32)}`
      const ran = await run(['verify', IMAGE, `${GUN}:2.0`, other, '--pin', pin(), '--json'])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['IMAGE_NOT_SIGNED', 'IMAGE_NOT_SIGNED']])
      const { images } = ran.json() as { images: { verdict: string; signers: string[] }[] }
      expect(images.map(({ verdict }) => verdict)).to.deep.equal(['signed', 'not-signed', 'digest-differs'])
      expect(images[0]).to.deep.include({ digest: sha256, role: 'targets/releases', signers: ['countersign'] })
      expect((await run(['verify', IMAGE, '--trust-server', server.url])).exit).to.equal(0)
    })

    it('does not call unknown what is unsigned, nor the other way round', async () => {
      swizzle.expire(builder, 'timestamp')
      const ran = await run(['verify', IMAGE, '--pin', pin()])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['ROLE_EXPIRED']])
      expect(ran.stdout).to.match(/^unknown +/m)
      expect((await run(['verify', IMAGE, '--trust-server', server.url])).exit).to.equal(2)
    })
  })
})
