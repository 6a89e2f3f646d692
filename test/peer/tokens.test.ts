// Signing keys in a PKCS#11 token behind p11-kit's server, as docs/operations/tokens.md brings them there: the token goes away and comes back
// while requests come in, and a real Notary server and the stock client see each tag once.
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { parseKeyHolderConfig } from '../../src/key-holder/config.ts'
import { parseLimits } from '../../src/key-holder/limits.ts'
import { Countersign, KEY_HOLDER_UID, SHARED_GID } from '../support/countersign.ts'
import { argumentsOf, commandsOf, filesOf } from '../support/page-commands.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { runCommand, runToSuccess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { PIN, SoftHsm } from '../support/softhsm.ts'
import { createTestCa } from '../support/tls.ts'

const PAGE = 'docs/operations/tokens.md'
const LABEL = 'countersign'

describe('keys in a PKCS#11 token', function () {
  this.timeout(200_000)
  const scope = new Scope()
  let notary: NotaryServer
  let images: ImageMaker
  let countersign: Countersign
  let hsm: SoftHsm

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'softhsm')
    const registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca: createTestCa() })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    // A user of its own for the key holder, whose the token is.
    const owner = process.getuid?.() === 0 ? { uid: KEY_HOLDER_UID, gid: SHARED_GID } : {}
    hsm = new SoftHsm(scope, owner)
    const [make = '', look = ''] = commandsOf(PAGE, 'Make the token ready')
    for (const command of [make, look]) await shell(command, owner)
    await hsm.startServer()
    countersign = await Countersign.start(scope, {
      notary,
      registry,
      keyHolderConfig: { tokens: [{ ...hsm.remoteSetting, uri: `pkcs11:token=${LABEL}` }] },
    })
  })
  after(() => scope.close())

  async function shell(command: string, owner: { uid?: number; gid?: number }): Promise<void> {
    const text = command.replaceAll(/\bSO_PIN\b/g, '5678').replaceAll(/\bPIN\b/g, PIN)
    const { status, text: output } = await runCommand('bash', ['-euc', text], { env: hsm.environment, ...owner })
    expect([command, status], output).to.deep.equal([command, 0])
  }
  const follow = async (heading: string, gun: string, keyId = ''): Promise<string[]> => {
    const printed: string[] = []
    const names = new Map([
      ['KEYID', keyId],
      ['registry.example.com/team/app', gun],
      ['/var/lib/countersign-key-holder/operator.sock', countersign.operatorSocket],
      ['http://127.0.0.1:8750/metrics', `${countersign.url}/metrics`],
    ])
    for (const command of commandsOf(PAGE, heading)) {
      const argv = argumentsOf(command, names)
      const ran = command.startsWith('curl ') ? await runToSuccess('curl', argv) : await countersign.must(argv)
      printed.push(ran.stdout)
    }
    return printed
  }
  const custodyOf = async (gun: string): Promise<string | undefined> => {
    const { stdout } = await countersign.must(['key', 'list', gun, '--json'])
    const { keys } = JSON.parse(stdout) as { keys: { role: string; state: string; custody: string }[] }
    return keys.find(({ role, state }) => role === 'targets/countersign' && state === 'active')?.custody
  }
  const isAvailable = async (): Promise<string | undefined> => {
    const metrics = await (await fetch(`${countersign.url}/metrics`)).text()
    return /^countersign_key_holder_token_available\{label="countersign",uri="pkcs11:token=countersign"\} (\d)$/m.exec(
      metrics,
    )?.[1]
  }
  const ask = (image: PushedImage) => countersign.run(['sign', image.reference, '--json'], { timeoutMs: 60_000 })
  /** Every tag once, as the client of Notary lists it. */
  const expectSigned = async (gun: string, expected: readonly PushedImage[]): Promise<void> => {
    const listed = await new NotaryClient(scope, { notary }).list(gun)
    expect(listed.map(({ name, sha256 }) => `${name} ${sha256}`)).to.have.members(
      expected.map(({ tag, sha256 }) => `${tag} ${sha256}`),
    )
  }
  /** Requests that were ever accepted for it. */
  const requests = async (gun: string): Promise<number> => {
    const { stdout } = await countersign.must(['request', 'list', '--gun', gun, '--limit', '100', '--json'])
    return (JSON.parse(stdout) as { requests: readonly unknown[] }).requests.length
  }
  /** Publications of the repository, as the Notary server counts them. */
  const publications = async (gun: string): Promise<number> => {
    const { stdout } = await runCommand('curl', [
      '-s',
      '--cacert',
      notary.caFile,
      `${notary.url}/v2/${gun}/_trust/changefeed?records=100`,
    ])
    return (JSON.parse(stdout) as { records: readonly unknown[] }).records.length
  }

  it('sign by the page, wait while the token is away or its PIN is wrong, and sign each image once', async () => {
    const first = await images.pushManifest('team/app', 'first')
    const { gun } = first
    const more = await Promise.all(['t0', 't1', 't2', 't3', 't4'].map((tag) => images.pushManifest('team/app', tag)))
    await countersign.must(['repo', 'init', gun])
    await countersign.must(['sign', first.reference])
    const { stdout } = await countersign.must(['key', 'list', gun, '--json'])
    const { keys } = JSON.parse(stdout) as { keys: { role: string; canonicalKeyId: string }[] }
    const old = keys.find(({ role }) => role === 'targets/countersign')?.canonicalKeyId
    await follow("Bring a repository's key into it", gun, old)
    expect(await custodyOf(gun)).to.equal('PKCS#11 token countersign')
    await countersign.must(['sign', first.reference])

    const before = await publications(gun)
    const accepted = await requests(gun)

    // The server is killed while requests come in.
    const asked = [ask(more[0]!), ask(more[1]!)]
    await waitFor('both requests', async () => ((await requests(gun)) > accepted + 1 ? true : undefined))
    hsm.stopServer()
    asked.push(ask(more[2]!))
    await waitFor('the alarm', async () => ((await isAvailable()) === '0' ? true : undefined))
    await waitFor('key list', async () => ((await custodyOf(gun))?.endsWith(', not there') === true ? true : undefined))
    expect((await follow('When it does not sign', gun))[1]).to.include('countersign_key_holder_token_available')
    await hsm.startServer()
    const answers = await Promise.all(asked)
    for (const { status, text } of answers) expect(status, `${text}\n${countersign.logs()}`).to.equal(0)
    await expectSigned(gun, [first, ...more.slice(0, 3)])

    // The same with another PIN in the file.
    hsm.writePin('wrong')
    hsm.stopServer()
    await hsm.startServer()
    const waiting = ask(more[3]!)
    await waitFor('key list', async () =>
      (await custodyOf(gun))?.endsWith(', PIN refused') === true ? true : undefined,
    )
    hsm.writePin(PIN)
    answers.push(await waiting)
    expect(answers.at(-1)?.status).to.equal(0)

    // The token is taken out, and put back.
    hsm.remove()
    const last = ask(more[4]!)
    await waitFor('key list', async () => ((await custodyOf(gun))?.endsWith(', not there') === true ? true : undefined))
    hsm.bringBack()
    answers.push(await last)
    expect(answers.at(-1)?.status).to.equal(0)
    await expectSigned(gun, [first, ...more])
    expect(await isAvailable()).to.equal('1')
    // Requests that waited together share a publication. Each version that they name was published once, and no other one was.
    const versions = answers.flatMap(({ stdout }) =>
      (JSON.parse(stdout) as { images: { roles: { role: string; version: number }[] }[] }).images.flatMap(({ roles }) =>
        roles.flatMap(({ role, version }) => (role === 'targets/releases' ? [version] : [])),
      ),
    )
    expect(versions).to.have.length(5)
    expect((await publications(gun)) - before).to.equal(new Set(versions).size)
  })

  it('the files of the page are what the key holder reads', () => {
    const files = new Map([
      ...filesOf(PAGE, 'Make the token ready'),
      ...filesOf(PAGE, 'A token on another machine, or of another user'),
    ])
    for (const name of ['key-holder.yaml', 'key-holder-remote.yaml']) {
      const { tokens } = parseKeyHolderConfig(`unlock: { keyFile: /k }\n${files.get(name) ?? ''}`)
      expect(tokens?.map(({ uri }) => uri)).to.deep.equal(['pkcs11:token=countersign'])
    }
    expect(parseLimits(Buffer.from(files.get('limits.yaml') ?? '')).repositories[0]?.custody).to.equal(
      'pkcs11:token=countersign',
    )
    expect(readFileSync(hsm.pinFile, 'utf8').trim()).to.equal(PIN)
  })
})
