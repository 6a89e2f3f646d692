// An outsider with a stolen delegation key publishes at a real notary-server: alarm within one poll, freeze, and the commands of
// docs/operations/stolen-key.md as they stand there, until stock clients have nothing of his any more.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  editTargets,
  parseGun,
  parseRoleName,
  parseTag,
  publicKeyOf,
  RELEASES,
  RepositoryVerifier,
  type Gun,
  type TargetsChange,
} from '@countersign/tuf'
import { createPublicKey } from 'node:crypto'
import { expect } from 'chai'
import { ANONYMOUS } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { Countersign } from '../support/countersign.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { commandsOf } from '../support/page-commands.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { plantedKey } from '../support/planted-key.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const PAGE = 'docs/operations/stolen-key.md'
const SIGNER = parseRoleName('targets/countersign')
const TIMEOUTS = { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 }
const POLL = '5s'

describe('a stolen key', function () {
  this.timeout(120_000)
  const scope = new Scope()
  const ca = createTestCa()
  let notary: NotaryServer
  let engine: DockerEngine
  let countersign: Countersign
  let thief: NotaryClient
  let ours: PushedImage
  let evil: PushedImage
  /** A copy that was made on the first day. */
  let auditKey: string

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine')
    const registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
    engine = await startDockerEngine(scope, { ca })
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    countersign = await Countersign.start(scope, { notary, registry, config: { watch: { every: POLL } } })
    const tls = { caPem: ca.certificatePem }
    thief = new NotaryClient({ url: notary.url, tls, timeouts: TIMEOUTS, tokenRealms: [], credentials: ANONYMOUS })
    scope.add(() => thief.close())
    auditKey = join(scope.folder('auditor'), 'audit.key')
    copyFileSync(join(countersign.keyHolderFolder, 'log/verifier-key'), auditKey)
    ours = await images.pushManifest('team/app', 'ours')
    evil = await images.pushManifest('team/app', 'evil')
  })
  after(() => scope.close())

  const put = (tag: string): TargetsChange => ({
    kind: 'put',
    name: parseTag(tag),
    sha256: evil.sha256,
    length: evil.length,
  })

  /** `evil` comes, and `ours` stands for it as well; or the changes given. */
  async function publishStolen(gun: Gun, key: SigningKey, changes?: readonly TargetsChange[]): Promise<void> {
    const verifier = new RepositoryVerifier({ gun, pin: { kind: 'tofu' }, now: new Date() })
    for (let asked = verifier.next(); asked !== undefined; asked = verifier.next()) {
      verifier.accept(await thief.read(gun, asked.fileName, asked.maxBytes))
    }
    const trusted = verifier.result()
    const version = (trusted.delegations.get(RELEASES)?.metadata.version ?? 0) + 1
    const expiresAt = new Date(Date.now() + 365 * 86_400_000)
    const unsigned = editTargets(trusted, RELEASES, changes ?? [put('evil'), put('ours')], { version, expiresAt })
    if (unsigned === undefined) throw new Error('The thief changes nothing.')
    await thief.publish(gun, new Map([[RELEASES, signFile(unsigned, [key])]]))
  }

  /** A command of the page, for this repository. */
  async function follow(command: string, gun: Gun, keyId: string): Promise<string> {
    const words = (command.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''))
    const [program, ...args] = words.map((word) =>
      word
        .replace('registry.example.com/team/app', gun)
        .replace('/var/lib/countersign-key-holder/operator.sock', countersign.operatorSocket)
        .replace('/var/lib/countersign-key-holder/log', join(countersign.keyHolderFolder, 'log'))
        .replace('audit.key', auditKey)
        .replace('KEYID', keyId),
    )
    expect(program).to.equal('countersign')
    const { status, text, stdout } = await countersign.run(args, { timeoutMs: 60_000 })
    expect(status, `${command}\n${text}`).to.be.oneOf([0])
    return stdout
  }

  it('alarm within one poll, freeze, rotation: the thief has nothing left', async () => {
    const gun = parseGun(ours.gun)
    await countersign.must(['repo', 'init', gun])
    await countersign.must(['sign', ours.reference])
    const privateKey = plantedKey(scope, countersign, gun, SIGNER)
    const key = { privateKey, publicKey: publicKeyOf(createPublicKey(privateKey)) }
    const docker = new DockerClient(scope, { notary, engine })
    expect((await docker.trustedPull(ours.reference)).status).to.equal(0)
    // The daemon has seen the repository once.
    await waitFor('a look', async () =>
      (await metrics()).includes('countersign_foreign_versions_total') ? true : undefined,
    )
    await new Promise((resolve) => setTimeout(resolve, 2_000))

    // A tag that is gone again before the next look.
    await publishStolen(gun, key, [put('passing')])
    await publishStolen(gun, key, [put('evil'), put('ours'), { kind: 'drop', name: parseTag('passing') }])
    const published = performance.now()
    await waitFor('the alarm', async () =>
      (await metrics()).includes('countersign_foreign_versions_total{frozen="true"} 2') ? true : undefined,
    )
    expect(performance.now() - published, 'milliseconds until the alarm; the poll is every second').to.be.below(10_000)
    expect((await docker.trustedPull(evil.reference)).status, 'the danger is real').to.equal(0)
    expect((await countersign.refusal(['sign', ours.reference])).code).to.equal('REPOSITORY_FROZEN')

    const told: string[] = []
    for (const heading of ['What to do', 'How to see that it is over']) {
      for (const command of commandsOf(PAGE, heading))
        told.push(await follow(command, gun, key.publicKey.canonicalKeyId))
    }
    expect(told[1], 'the log tells the story').to.include('repository-frozen').and.include('foreign-version')
    expect(countersign.logs()).to.include('the change feed of the trust server says which repositories to look at')
    for (const client of [docker, new DockerClient(scope, { notary, engine })]) {
      expect((await client.trustedPull(evil.reference)).status, 'the tag of the thief').not.to.equal(0)
      expect((await client.trustedPull(ours.reference)).status).to.equal(0)
      const { SignedTags } = await client.inspectTrust(gun)
      expect(SignedTags.map(({ SignedTag, Digest }) => [SignedTag, Digest])).to.deep.equal([['ours', ours.sha256]])
    }
    await expectCodeAsync('NOTARY_UPDATE_INVALID', () => publishStolen(gun, key))
    expect((await countersign.must(['sign', ours.reference])).status, 'work goes on').to.equal(0)
  })

  async function metrics(): Promise<string> {
    return (await fetch(`${countersign.url}/metrics`)).text()
  }
})
