// The stock docker client (trust sign, inspect, revoke, signer add and remove, trusted push and pull), as one script, at our trust server and
// at a real notary-server, both behind the registry's token server: transcripts are the same, but for the
// rows of the table of differences that are named here.
import { join } from 'node:path'
import { expect } from 'chai'
import { DIFFERENCES } from '../../src/trust-server/differences.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { nonLoopbackAddress } from '../support/peers/host-names.ts'
import { requirePeers, trustingDockerClients } from '../support/peers/require-peers.ts'
import { tarOf } from '../support/peers/tar.ts'
import { startTokenServer, type TokenServer } from '../support/peers/token-server.ts'
import {
  expectOutcome,
  expectSame,
  siteOf,
  Transcript,
  type Difference,
  type Site,
  type Step,
} from '../support/peers/transcript.ts'
import type { CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'
import { ServedTrust, type ServedTrustOptions } from '../support/trust-server/served-trust.ts'
import { HttpCaller } from '../support/trust-server/server.ts'

const PASSWORD = 'of the registry'
const TAGS = ['v1', 'v2', 'v3', 'v4', 'v5', 'v6'] as const

/** What a client without rights, keys or signatures is refused. */
const FAILING: readonly string[] = [
  'inspect of nothing',
  'pull of nothing',
  'push by a reader',
  'pull of what was revoked',
  'revoke of what is not signed',
  'sign without a key',
  'sign by a reader',
  'pull of what is not signed',
  'pull after all is revoked',
]

/** What differs, and the row that explains it. */
const DIFFERING: Readonly<Record<string, Difference>> = {
  'sign once more': {
    row: 'D20',
    ours: { exit: 0, request: /^POST .* > 200$/, isChanged: false },
    original: { exit: 0, request: /^POST .* > 200$/, isChanged: true },
  },
}

describe('the docker client at our trust server', function () {
  this.timeout(240_000)
  const scope = new Scope()
  const ca = createTestCa()
  let tokens: TokenServer
  let registry: DockerRegistry
  let engine: DockerEngine
  let gun: string
  let ours: readonly Step[] = []
  let original: readonly Step[] = []

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine')
    registry = await startDockerRegistry(scope)
    gun = `${registry.host}/team/app`
    const account = (...actions: string[]) => ({ password: PASSWORD, actions: () => actions })
    const accounts = { carol: account('push', 'pull'), dave: account('pull') }
    tokens = await startTokenServer(scope, { ca, accounts, anonymous: () => ['pull'] })
    const sites = await Promise.all([startOurs(), startOriginal()])
    engine = await startDockerEngine(scope, { ca })
    // One after the other: local images belong to the engine.
    ours = await script(sites[0])
    original = await script(sites[1])
  })
  after(() => scope.close())

  async function startOurs(): Promise<Site> {
    const { realm, service, issuer, rootcertbundle } = tokens.notaryOptions(scope.folder('roots'))
    const access = `  tokenServer: { realm: '${realm}', service: '${service}', issuer: '${issuer}', rootCertBundle: '${rootcertbundle}' }`
    return siteOf(scope, await ServedTrust.start(scope, { ca, access }), { tokens })
  }

  async function startOriginal(): Promise<Site> {
    const notary = await startNotaryServer(scope, { ca, keys: 'signer', tokens })
    return siteOf(scope, notary, {
      tokens,
      headers: { authorization: `Bearer ${tokens.tokenFor(`repository:${gun}:pull`)}` },
    })
  }

  async function script(site: Site): Promise<readonly Step[]> {
    const programs = trustingDockerClients().map(({ path }) => path)
    const client = (username: string, program = programs[0]): DockerClient =>
      new DockerClient(scope, {
        notary: site,
        engine,
        ...(program !== undefined && { program }),
        logins: { [registry.host]: { username, password: PASSWORD } },
      })
    // Newer clients do not remove signers: the owner has the oldest one, the others have the newest.
    const [owner, bob, dave, reader] = [
      client('carol', programs.at(-1)),
      client('carol'),
      client('dave'),
      client('dave'),
    ]
    const transcript = new Transcript(site, gun)
    const { names } = transcript
    for (const { folder } of [owner, bob, dave, reader]) names.set(folder, 'FOLDER')
    names.set(registry.host, 'REGISTRY')
    const note = async (title: string, result: Promise<CommandResult>): Promise<void> => {
      const { status, text, ...rest } = await result
      await transcript.note(title, {
        ...rest,
        status,
        text: text
          .split('\n')
          .filter((line) => !isProgress(line))
          .join('\n'),
      })
    }
    const at = (tag: string): string => `${gun}:${tag}`
    /** The same bytes at both sites, not signed. */
    const tagLocally = (...tags: string[]): Promise<unknown> =>
      Promise.all(tags.map((tag) => owner.must(['tag', `source:${tag}`, at(tag)])))
    const sign = async (by: DockerClient, tag: string): Promise<CommandResult> => {
      await tagLocally(tag)
      return by.run(['trust', 'sign', '--local', at(tag)])
    }
    const push = async (by: DockerClient, tag: string): Promise<CommandResult> => {
      await tagLocally(tag)
      return by.trusted(['push', at(tag)])
    }
    const keyOf = (one: DockerClient, name: string): string => join(one.folder, `${name}.pub`)
    for (const tag of TAGS) {
      if ((await owner.run(['image', 'inspect', `source:${tag}`])).status === 0) continue
      const tar = tarOf([{ name: 'hello.txt', content: Buffer.from(tag) }])
      await owner.must(['import', '-', `source:${tag}`], { input: tar })
    }

    await note('inspect of nothing', reader.run(['trust', 'inspect', gun]))
    await note('pull of nothing', reader.trustedPull(at('v1')))
    await note('push by a reader', push(dave, 'v1'))
    await note('first push', push(owner, 'v1'))
    await note('pull', reader.trustedPull(at('v1')))
    await note('inspect', reader.run(['trust', 'inspect', gun]))
    await note('inspect --pretty', reader.run(['trust', 'inspect', '--pretty', gun]))
    await note('key generate', owner.run(['trust', 'key', 'generate', 'alice', '--dir', owner.folder]))
    await note('signer add', owner.run(['trust', 'signer', 'add', '--key', keyOf(owner, 'alice'), 'alice', gun]))
    await note('pull with a cache', reader.trustedPull(at('v1')))
    await note('sign', sign(owner, 'v2'))
    await note('push with signers', push(owner, 'v3'))
    await note('pull of what was signed', reader.trustedPull(at('v2')))
    await note('pull of what was pushed', reader.trustedPull(at('v3')))
    await note('inspect of one tag', reader.run(['trust', 'inspect', at('v2')]))
    await note('inspect with signers', reader.run(['trust', 'inspect', gun]))
    await note('revoke', owner.run(['trust', 'revoke', '-y', at('v2')]))
    await note('pull of what was revoked', reader.trustedPull(at('v2')))
    await note('revoke of what is not signed', owner.run(['trust', 'revoke', '-y', at('v2')]))
    await note('key generate of another', bob.run(['trust', 'key', 'generate', 'bob', '--dir', bob.folder]))
    await note('sign without a key', sign(bob, 'v4'))
    await note('signer add of another', owner.run(['trust', 'signer', 'add', '--key', keyOf(bob, 'bob'), 'bob', gun]))
    await note('sign by another', sign(bob, 'v4'))
    await note('sign by a reader', sign(dave, 'v5'))
    await note('pull of what another signed', reader.trustedPull(at('v4')))
    await note('inspect --pretty with signers', reader.run(['trust', 'inspect', '--pretty', gun]))
    await note('signer remove', owner.run(['trust', 'signer', 'remove', '--force', 'bob', gun]))
    await note('inspect after a removal', reader.run(['trust', 'inspect', gun]))
    await note('signer add again', owner.run(['trust', 'signer', 'add', '--key', keyOf(bob, 'bob'), 'bob', gun]))
    await note('sign by who was added again (trap Q5)', sign(bob, 'v5'))
    await tagLocally('v6')
    await note('push without trust', owner.run(['push', at('v6')]))
    await note('pull of what is not signed', reader.trustedPull(at('v6')))
    await note('revoke of everything', owner.run(['trust', 'revoke', '-y', gun]))
    await note('pull after all is revoked', reader.trustedPull(at('v3')))
    await note('pull of what base targets hold (trap Q7)', reader.trustedPull(at('v1')))
    await note('sign after all is revoked', sign(owner, 'v2'))
    await note('inspect without a cache', client('dave').run(['trust', 'inspect', gun]))
    await note('sign once more', sign(owner, 'v2'))
    return transcript.steps
  }

  it('says, asks for and leaves the same at both, but where a row says so', () => {
    expect(ours.length).to.be.greaterThan(35)
    expectSame(ours, original, DIFFERING)
  })

  it('fails where the client is to fail, and nowhere else', () => {
    expect(ours.filter(({ exit }) => exit !== 0).map(({ title }) => title)).to.deep.equal(FAILING)
  })

  for (const [title, difference] of Object.entries(DIFFERING)) {
    it(`${title}: as row ${difference.row} says`, () => {
      expect(DIFFERENCES.map(({ id }) => id)).to.include(difference.row)
      expectOutcome(ours, title, difference.ours)
      expectOutcome(original, title, difference.original)
    })
  }

  it('shows metrics to this machine, and to others where the configuration says so (row D18)', async () => {
    const address = await nonLoopbackAddress(scope)
    const remote = { name: address, address }
    const statusAt = async (o: Partial<ServedTrustOptions>): Promise<number> => {
      const { url } = await ServedTrust.start(scope, { ca, ...o })
      const { status } = await new HttpCaller(url, { ca: ca.certificatePem }).call({
        path: '/metrics',
        isAuthorized: false,
      })
      return status
    }
    expect(await statusAt({})).to.equal(200)
    expect(await statusAt({ at: remote })).to.equal(401)
    expect(await statusAt({ at: remote, settings: 'metrics: { open: true }' })).to.equal(200)
  })
})

/** Lines on layers come in any order. */
function isProgress(line: string): boolean {
  return /^[0-9a-f]{12}: /.test(line)
}
