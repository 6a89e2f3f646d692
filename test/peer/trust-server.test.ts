// The stock notary client's commands, as one script, at our trust server (with the real key holder) and at a real notary-server: the transcripts
// are the same, but for the rows of the table of differences that are named here.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { silentLog } from '../../src/log.ts'
import { parseTrustServerConfig } from '../../src/trust-server/config.ts'
import { startTrustServer } from '../../src/trust-server/main.ts'
import { DIFFERENCES } from '../../src/trust-server/differences.ts'
import { LIMITS, TestKeyHolder } from '../support/key-holder.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { publicKeyPem } from '@countersign/tuf'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { testConfig, TOKEN } from '../support/trust-server/server.ts'

const GUN = 'registry.example.com/team/stock'
const HASHES = 'ab'.repeat(32)

interface Step {
  readonly command: string
  readonly exit: number | null
  /** Targets and delegations afterwards, as the client sees them. */
  readonly state: string
}

/** What differs, and the row that explains it. */
const DIFFERING: Readonly<Record<string, string>> = {
  'init -p again': 'D14',
}

describe('the notary client at our trust server', function () {
  this.timeout(240_000)
  const scope = new Scope()
  const ca = createTestCa()
  const transcripts = new Map<string, readonly Step[]>()

  before(async function () {
    requirePeers(this, 'notary', 'notary-server')
    transcripts.set('ours', await script(await startOurs()))
    transcripts.set('original', await script(await startNotaryServer(scope, { ca })))
  })
  after(() => scope.close())

  async function startOurs(): Promise<Pick<NotaryServer, 'url' | 'caFile'>> {
    const folder = scope.folder('ts')
    const { certificatePem, privateKeyPem } = ca.issue(['127.0.0.1', 'localhost'])
    const at = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    }
    const [cert, key, caFile] = [
      at('tls.crt', certificatePem),
      at('tls.key', privateKeyPem),
      at('ca.crt', ca.certificatePem),
    ]
    const holder = new TestKeyHolder(scope, LIMITS)
    holder.now = new Date()
    await holder.start()
    const config = testConfig(
      '',
      `keyHolderSocket: '${holder.config.trustServerSocket ?? ''}'\ndataFolder: '${join(folder, 'data')}'`,
    ).replace("listen: '127.0.0.1:0'", `listen: '127.0.0.1:0', tls: { certFile: '${cert}', keyFile: '${key}' }`)
    const running = await startTrustServer(parseTrustServerConfig(config), { log: silentLog })
    scope.add(() => running.stop())
    return { url: running.url, caFile }
  }

  async function script(notary: Pick<NotaryServer, 'url' | 'caFile'>): Promise<readonly Step[]> {
    const client = new NotaryClient(scope, {
      notary: notary as NotaryServer,
      login: { username: 'bot', password: TOKEN },
    })
    const file = join(client.folder, 'artifact')
    writeFileSync(file, 'an artifact')
    const keyFile = (name: string): string => {
      const path = join(client.folder, `${name}.pem`)
      writeFileSync(path, publicKeyPem(testKey(name).publicKey))
      return path
    }
    const steps: Step[] = []
    const run = async (command: string, args: readonly string[]): Promise<void> => {
      const { status } = await client.run(args)
      const list = (await client.run(['list', GUN])).stdout
      const delegations = (await client.run(['delegation', 'list', GUN])).stdout
      const { host } = new URL(notary.url)
      // The keys of delegations are the same at both, those of the client are not shown.
      steps.push({
        command,
        exit: status,
        state: `${list}\n${delegations}`.replaceAll(host, 'HOST').replaceAll(/[ \t-]+/g, ' '),
      })
    }
    await run('init -p', ['init', GUN, '-p'])
    await run('addhash -p', ['addhash', GUN, 'v1', '523', '--sha256', HASHES, '-p'])
    await run('add', ['add', GUN, 'v2', file])
    await run('addhash', ['addhash', GUN, 'v3', '7', '--sha256', HASHES])
    await run('publish with several changes', ['publish', GUN])
    await run('lookup', ['lookup', GUN, 'v2'])
    await run('verify', ['verify', GUN, 'v2', '-i', file])
    await run('remove -p', ['remove', GUN, 'v1', '-p'])
    await run('delegation add -p', [
      'delegation',
      'add',
      GUN,
      'targets/releases',
      keyFile('alice'),
      keyFile('bob'),
      '--all-paths',
      '-p',
    ])
    await run('delegation add another -p', [
      'delegation',
      'add',
      GUN,
      'targets/alice',
      keyFile('alice'),
      '--paths',
      'v',
      '-p',
    ])
    await run('delegation remove a key -p', [
      'delegation',
      'remove',
      GUN,
      'targets/releases',
      testKey('bob').publicKey.tufKeyId,
      '-p',
    ])
    await run('delegation purge -p', ['delegation', 'purge', GUN, '--key', testKey('alice').publicKey.tufKeyId, '-p'])
    await run('delegation add again -p', ['delegation', 'add', GUN, 'targets/bob', keyFile('bob'), '--all-paths', '-p'])
    await run('delegation remove all -p', ['delegation', 'remove', GUN, 'targets/bob', '-y', '-p'])
    await run('witness -p', ['witness', GUN, 'targets', '-p'])
    for (const role of ['targets', 'root', 'snapshot']) await run(`key rotate ${role}`, ['key', 'rotate', GUN, role])
    await run('addhash -p with the snapshot key here', ['addhash', GUN, 'v4', '9', '--sha256', HASHES, '-p'])
    for (const role of ['snapshot', 'timestamp']) await run(`key rotate ${role} -r`, ['key', 'rotate', GUN, role, '-r'])
    await run('addhash -p with the snapshot key there', ['addhash', GUN, 'v5', '9', '--sha256', HASHES, '-p'])
    await run('delete --remote', ['delete', GUN, '--remote'])
    await run('init -p again', ['init', GUN, '-p'])
    return steps
  }

  it('runs the same script at both', () => {
    expect(transcripts.get('ours')?.map(({ command }) => command)).to.deep.equal(
      transcripts.get('original')?.map(({ command }) => command),
    )
    expect(transcripts.get('ours')?.length).to.be.greaterThan(20)
    expect(Object.values(DIFFERING).filter((row) => !DIFFERENCES.some(({ id }) => id === row))).to.deep.equal([])
  })

  it('succeeds with every command but the last', () => {
    expect(
      transcripts
        .get('ours')
        ?.filter(({ exit }) => exit !== 0)
        .map(({ command }) => command),
    ).to.deep.equal(['init -p again'])
  })

  it('differs only where a row says so', () => {
    const original = transcripts.get('original') ?? []
    const differing = (transcripts.get('ours') ?? []).filter(
      (step, index) => JSON.stringify(step) !== JSON.stringify(original[index]),
    )
    expect(differing.map(({ command }) => command)).to.deep.equal(Object.keys(DIFFERING))
  })
})
