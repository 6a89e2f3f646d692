// Who may write at our trust server, asked by stock clients: client certificates, Countersign tokens, and the password of a registry, which
// is worth nothing here and leaves no trace.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publicKeyPem } from '@countersign/tuf'
import { expect } from 'chai'
import { DockerClient, type DockerClientOptions } from '../support/peers/docker-client.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startRecordingProxy, type RecordingProxy } from '../support/peers/recording-proxy.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { createTestCa, type TestCertificate } from '../support/tls.ts'
import { ServedTrust } from '../support/trust-server/served-trust.ts'
import { HttpCaller, TOKEN } from '../support/trust-server/server.ts'

const REGISTRY = 'localhost:5000'
const GUN = `${REGISTRY}/team/app`
const PASSWORD = 'p/ssw+rd of a registry?'
const IDENTITY = 'identity-token-of-a-registry'
const HASHES = 'ab'.repeat(32)

const ACCESS = `
  clientCertificates:
    - { commonName: release-bot, repositories: ['${REGISTRY}/team/*'] }
    - { commonName: admin, repositories: ['*'], actions: ['*'] }`

describe('who may write at our trust server', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  const clientCa = createTestCa('Clients')
  let served: ServedTrust
  let proxy: RecordingProxy

  before(async function () {
    requirePeers(this, 'docker', 'notary')
    served = await ServedTrust.start(scope, {
      ca,
      clientCa,
      access: ACCESS,
      settings: 'log: { level: debug }',
      isProgram: true,
    })
    proxy = await startRecordingProxy(scope, ca, served.url)
  })
  after(() => scope.close())

  const isThere = async (gun: string): Promise<boolean> => {
    const { status } = await new HttpCaller(served.url, { ca: ca.certificatePem }).get(gun, 'root.json')
    return status === 200
  }

  describe('the login of a registry', () => {
    /** What would initialise the repository. */
    const signerAdd = async (o: Omit<DockerClientOptions, 'notary'>) => {
      const docker = new DockerClient(scope, { notary: { ...proxy, ca }, ...o })
      const key = join(docker.folder, 'alice.pub')
      writeFileSync(key, publicKeyPem(testKey('alice').publicKey))
      const result = await docker.run(['trust', 'signer', 'add', '--key', key, 'alice', GUN])
      return { ...result, keysLeft: readdirSync(join(docker.folder, 'trust/private')).length }
    }

    it('of docker is refused: a password, and an identity token', async () => {
      for (const o of [
        { logins: { [REGISTRY]: { username: 'carol', password: PASSWORD } } },
        { identityTokens: { [REGISTRY]: IDENTITY } },
      ]) {
        const { status, text, keysLeft } = await signerAdd(o)
        expect(status).to.equal(1)
        // As docs/sign-on-push.md says: docker makes a root key and a repository key before it asks, and they are of no use.
        expect(keysLeft).to.equal(2)
        expect(text).to.include('you are not authorized to perform this operation: server returned 401.')
      }
      const asked = proxy.take()
      // It was sent to us: twice, in both of its forms.
      const toRealm = asked.filter(({ path }) => path.startsWith('/token'))
      expect(toRealm.filter(({ authorization }) => authorization === 'Basic')).not.to.deep.equal([])
      expect(toRealm.filter(({ method }) => method === 'POST')).not.to.deep.equal([])
      expect(asked.filter(({ path, status }) => path.endsWith('.key') && status === 401).length).to.be.at.least(2)
    })

    it('of notary is refused', async () => {
      const notary = new NotaryClient(scope, {
        notary: { ...proxy, caFile: served.caFile },
        login: { username: 'carol', password: PASSWORD },
      })
      const { status, text } = await notary.run(['init', GUN, '-p'])
      expect(status).to.equal(1)
      expect(text).to.include('401')
    })

    it('may read what everybody reads', async () => {
      const docker = new DockerClient(scope, {
        notary: { ...proxy, ca },
        logins: { [REGISTRY]: { username: 'carol', password: PASSWORD } },
      })
      expect((await docker.run(['trust', 'inspect', GUN])).text).to.include('no signatures or cannot access')
      expect(
        proxy
          .take()
          .filter(({ path }) => path.endsWith('root.json'))
          .map(({ status }) => status),
      ).to.deep.equal([404])
    })

    it('leaves nothing: no repository, no key, and no trace in log, database or audit log', async () => {
      expect(await isThere(GUN)).to.equal(false)
      expect(served.holder.log().filter(({ kind }) => kind === 'server-key-created')).to.deep.equal([])
      // The log is one that tells all it can.
      expect(served.output).to.include('"route":"token"')
      const kept = [Buffer.from(served.output), ...bytesBelow(served.dataFolder), ...bytesBelow(served.holder.folder)]
      expect(kept.reduce((sum, { byteLength }) => sum + byteLength, 0)).to.be.greaterThan(10_000)
      for (const [form, bytes] of traces())
        expect(
          kept.some((one) => one.includes(bytes)),
          form,
        ).to.equal(false)
    })
  })

  describe('a client certificate', () => {
    const files = ({ certificatePem, privateKeyPem }: TestCertificate): { certFile: string; keyFile: string } => {
      const folder = scope.folder('cert')
      const [certFile, keyFile] = [join(folder, 'client.crt'), join(folder, 'client.key')]
      writeFileSync(certFile, certificatePem)
      writeFileSync(keyFile, privateKeyPem, { mode: 0o600 })
      return { certFile, keyFile }
    }
    const withCertificate = (certificate: TestCertificate): NotaryClient =>
      new NotaryClient(scope, { notary: served, certificate: files(certificate) })

    it('publishes without any token, what it may, where it may', async () => {
      const gun = `${REGISTRY}/team/certified`
      const bot = withCertificate(clientCa.issue(['release-bot']))
      await bot.must(['init', gun, '-p'])
      await bot.must(['addhash', gun, 'v1', '523', '--sha256', HASHES, '-p'])
      expect(await new NotaryClient(scope, { notary: served }).list(gun)).to.deep.equal([
        { name: 'v1', sha256: HASHES, length: 523, role: 'targets' },
      ])
      // Rotating keys and deleting are for who has all of the actions.
      expect((await bot.run(['key', 'rotate', gun, 'timestamp', '-r'])).text).to.include('server returned 401')
      expect((await bot.run(['delete', gun, '--remote'])).text).to.include('server returned 401')
      expect((await bot.run(['init', `${REGISTRY}/other/app`, '-p'])).text).to.include('server returned 401')
      expect(await isThere(gun)).to.equal(true)
      const admin = withCertificate(clientCa.issue(['admin']))
      await admin.must(['delete', gun, '--remote'])
      expect(await isThere(gun)).to.equal(false)
    })

    it('publishes for docker', async () => {
      const gun = `${REGISTRY}/team/docker`
      const docker = new DockerClient(scope, { notary: served, certificate: clientCa.issue(['release-bot']) })
      await docker.must(['trust', 'key', 'generate', 'alice', '--dir', docker.folder])
      await docker.must(['trust', 'signer', 'add', '--key', join(docker.folder, 'alice.pub'), 'alice', gun])
      expect((await docker.inspectTrust(gun)).Signers.map(({ Name }) => Name)).to.deep.equal(['alice'])
    })

    for (const [name, make, words] of [
      ['of another authority', () => createTestCa('Others').issue(['release-bot']), 'server returned 401'],
      // OpenSSL fails on its signature in a way that ends some of these connections.
      ['of another authority of the same name', () => createTestCa('Clients').issue(['release-bot']), 'fatal'],
      ['that is not listed', () => clientCa.issue(['somebody']), 'server returned 401'],
      ['that has ended', () => clientCa.issue(['release-bot'], { isExpired: true }), 'server returned 401'],
    ] as const) {
      it(`${name} is as good as none`, async () => {
        const gun = `${REGISTRY}/team/refused`
        const { status, text } = await withCertificate(make()).run(['init', gun, '-p'])
        expect(status).to.equal(1)
        expect(text).to.include(words)
        expect(await isThere(gun)).to.equal(false)
      })
    }
  })

  describe('a Countersign token', () => {
    it('publishes for docker, in place of the password, and leaves no trace', async () => {
      const gun = `${REGISTRY}/elsewhere/token`
      const docker = new DockerClient(scope, {
        notary: served,
        logins: { [REGISTRY]: { username: 'any', password: TOKEN } },
      })
      await docker.must(['trust', 'key', 'generate', 'bob', '--dir', docker.folder])
      await docker.must(['trust', 'signer', 'add', '--key', join(docker.folder, 'bob.pub'), 'bob', gun])
      expect((await docker.inspectTrust(gun)).Signers.map(({ Name }) => Name)).to.deep.equal(['bob'])
      for (const bytes of [
        Buffer.from(served.output),
        ...bytesBelow(served.dataFolder),
        ...bytesBelow(served.holder.folder),
      ]) {
        expect(bytes.includes(TOKEN)).to.equal(false)
      }
    })
  })
})

function bytesBelow(folder: string): Buffer[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
}

/** The forms in which a login could lie around. */
function traces(): ReadonlyMap<string, string> {
  const basic = Buffer.from(`carol:${PASSWORD}`).toString('base64')
  return new Map([
    ['user name', 'carol'],
    ['password', PASSWORD],
    ['password in a form', encodeURIComponent(PASSWORD)],
    ['password in JSON', JSON.stringify(PASSWORD).slice(1, -1)],
    ['password in base64', Buffer.from(PASSWORD).toString('base64').replace(/=+$/, '')],
    ['Basic authentication', basic.replace(/=+$/, '')],
    ['its hash', createHash('sha256').update(PASSWORD).digest('hex')],
    ['its hash in base64', createHash('sha256').update(PASSWORD).digest('base64')],
    ['identity token', IDENTITY],
    ['hash of the identity token', createHash('sha256').update(IDENTITY).digest('hex')],
  ])
}
