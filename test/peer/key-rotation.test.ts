// A signing key gives its place to another, by the commands of docs/operations/rotation.md, while everybody goes on: pipelines ask for
// signatures, consumers with cached metadata pull.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { Countersign, type SigningRequestJson } from '../support/countersign.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { argumentsOf, commandsOf } from '../support/page-commands.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const PAGE = 'docs/operations/rotation.md'

interface ListedKey {
  readonly role: string
  readonly state: string
  readonly canonicalKeyId: string
  readonly signs?: readonly string[]
}

describe('rotating the signing key', function () {
  this.timeout(90_000)
  const scope = new Scope()
  const ca = createTestCa()
  let notary: NotaryServer
  let engine: DockerEngine
  let images: ImageMaker
  let countersign: Countersign

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine')
    const registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
    engine = await startDockerEngine(scope, { ca })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    countersign = await Countersign.start(scope, { notary, registry })
  })
  after(() => scope.close())

  const rotate = (gun: string, more: readonly string[] = []) =>
    countersign.run(
      ['key', 'rotate', gun, '--reason', 'yearly', '--operator-socket', countersign.operatorSocket, ...more],
      { timeoutMs: 60_000 },
    )
  /** What the page says under this heading. */
  async function follow(heading: string, gun: string, keyId = ''): Promise<void> {
    const names = new Map([
      ['registry.example.com/team/app', gun],
      ['KEYID', keyId],
    ])
    const env = { COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket }
    for (const command of commandsOf(PAGE, heading)) {
      const { status, text } = await countersign.run(argumentsOf(command, names), { env, timeoutMs: 60_000 })
      expect([command, status], text).to.deep.equal([command, 0])
    }
  }
  const keysOf = async (gun: string): Promise<readonly ListedKey[]> => {
    const { stdout } = await countersign.must(['key', 'list', gun, '--json'])
    return (JSON.parse(stdout) as { keys: ListedKey[] }).keys.filter(({ role }) => role.startsWith('targets/'))
  }
  /** One request as a release bot makes it. */
  async function ask(image: PushedImage): Promise<SigningRequestJson> {
    const token = readFileSync(countersign.clientEnvironment['COUNTERSIGN_TOKEN_FILE'] ?? '', 'utf8').trim()
    const answer = await fetch(`${countersign.url}/v1/signing-requests?wait=30s`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ images: [image.reference] }),
    })
    return (await answer.json()) as SigningRequestJson
  }

  it('under load: no request fails, no pull fails, and the old key signs no more', async () => {
    const first = await images.pushManifest('team/app', 'first')
    const { gun } = first
    const tags = await Promise.all(
      Array.from({ length: 40 }, (_, index) => images.pushManifest('team/app', `t${index}`)),
    )
    await countersign.must(['repo', 'init', gun])
    await countersign.must(['sign', first.reference])
    const [old] = await keysOf(gun)
    const docker = new DockerClient(scope, { notary, engine })
    expect((await docker.trustedPull(first.reference)).status).to.equal(0)

    const load = { isOver: false }
    const pulls = (async () => {
      const failed: string[] = []
      let count = 0
      while (!load.isOver) {
        const { status, text } = await docker.trustedPull(first.reference)
        if (status !== 0) failed.push(text)
        count++
      }
      return { count, failed }
    })()
    // Twenty in a second.
    const asked = tags.map(async (image, index) => {
      await delay(index * 50)
      return ask(image)
    })
    await delay(700)
    await follow('Rotate the key', gun)
    const requests = await Promise.all(asked)
    load.isOver = true
    const { count, failed } = await pulls
    expect(failed).to.deep.equal([])
    expect(count).to.be.greaterThan(0)
    expect(requests.map(({ status }) => status)).to.deep.equal(tags.map(() => 'published'))

    const [before, after] = await keysOf(gun)
    expect(before).to.deep.include({ canonicalKeyId: old?.canonicalKeyId, state: 'replaced', signs: [] })
    expect(after?.state).to.equal('active')
    expect(after?.signs).to.have.members(['targets/countersign', 'targets/releases'])
    // A new consumer, and the one who came all the time.
    for (const client of [docker, new DockerClient(scope, { notary, engine })]) {
      const { SignedTags, Signers } = await client.inspectTrust(gun)
      expect(SignedTags.map(({ SignedTag }) => SignedTag)).to.have.members([first, ...tags].map(({ tag }) => tag))
      expect(Signers.map(({ Keys }) => Keys.map(({ ID }) => ID))).to.deep.equal([[after?.canonicalKeyId]])
    }
    expect((await docker.trustedPull(tags[39]!.reference)).status).to.equal(0)
    await countersign.must(['sign', first.reference])
    await follow('Retire the old key', gun, before!.canonicalKeyId)
    expect((await keysOf(gun))[0]?.state).to.equal('retired')
  })

  it('in a repository of somebody else: its owner adds the new key, and both sign', async () => {
    const image = await images.pushManifest('team/theirs', '1.0')
    const owner = new DockerClient(scope, { notary, engine })
    const { gun } = image
    const notaryOwner = new NotaryClient(scope, { notary })
    await notaryOwner.must(['init', gun, '-p'])
    await notaryOwner.must(['key', 'rotate', gun, 'snapshot', '-r'])
    const pin =
      (await owner.inspectTrust(gun)).AdministrativeKeys.find(({ Name }) => Name === 'Root')?.Keys[0]?.ID ?? ''
    const file = join(scope.folder('keys'), 'countersign.pem')
    const socket = ['--operator-socket', countersign.operatorSocket]
    const server = ['--trust-server', notary.url, '--ca-file', notary.caFile]
    await countersign.must(['repo', 'adopt', gun, '--pin', pin, ...server, ...socket, '--key-out', file])
    for (const role of ['targets/releases', 'targets/countersign'])
      await notaryOwner.must(['delegation', 'add', gun, role, file, '--all-paths', '-p'])
    await countersign.must(['sign', image.reference])

    const next = join(scope.folder('keys'), 'next.pem')
    const waiting = await rotate(gun, ['--key-out', next])
    expect(waiting.status).to.equal(4)
    expect(waiting.text)
      .to.include('OWNER_MUST_ADD_KEY')
      .and.include(`docker trust signer add --key ${next} countersign ${gun}`)
    for (const role of ['targets/releases', 'targets/countersign'])
      await notaryOwner.must(['delegation', 'add', gun, role, next, '--all-paths', '-p'])
    const second = await images.pushManifest('team/theirs', '2.0')
    await countersign.must(['sign', second.reference])
    expect((await keysOf(gun)).map(({ state }) => state)).to.deep.equal(['active', 'active'])

    const [old] = await keysOf(gun)
    for (const role of ['targets/releases', 'targets/countersign'])
      await notaryOwner.must(['delegation', 'remove', gun, role, old!.canonicalKeyId, '-p'])
    const third = await images.pushManifest('team/theirs', '3.0')
    await countersign.must(['sign', third.reference])
    expect((await keysOf(gun)).map(({ state }) => state)).to.deep.equal(['replaced', 'active'])
    const { SignedTags } = await new DockerClient(scope, { notary, engine }).inspectTrust(gun)
    expect(SignedTags.map(({ SignedTag }) => SignedTag)).to.have.members(['1.0', '2.0', '3.0'])
  })
})
