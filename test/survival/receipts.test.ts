// A receipt from beginning to end, over the daemon and the key holder as processes: asked for by the command line, after both were
// killed as well, and verified when neither runs any more.
import { join } from 'node:path'
import { expect } from 'chai'
import { connectKeyHolder } from '../../src/holder/connection.ts'
import { Workplace } from '../cli/support/run-cli.ts'
import { KillablePair } from '../support/killable-pair.ts'
import { Scope } from '../support/scope.ts'

const GUN = 'registry.example.com/team/app'

describe('a receipt', function () {
  this.timeout(120_000)
  const scope = new Scope()
  const place = new Workplace()
  after(async () => {
    await scope.close()
    place.remove()
  })

  it('is got from the running service, is the same after both processes died, and needs neither to be proven', async () => {
    const pair = await KillablePair.start(scope)
    const env = {
      COUNTERSIGN_SERVER: pair.url,
      COUNTERSIGN_TOKEN_FILE: join(pair.folder, 'data/admin.token'),
    }
    const run = async (...argv: string[]): Promise<string> => {
      const { exit, stdout, stderr } = await place.run(argv, { env })
      expect(exit, `${argv.join(' ')}: ${stderr}`).to.equal(0)
      return stdout
    }
    await pair.initialize(GUN)
    for (const tag of ['1.0', '1.1']) pair.registry.pushManifest(GUN, tag, tag)
    const [first, second, third] = ['a.json', 'b.json', 'c.json'].map((name) => place.path(name))
    const signed = JSON.parse(await run('sign', `${GUN}:1.0`, '--receipt', first!, '--json')) as { readonly id: string }
    await run('sign', `${GUN}:1.1`, '--receipt', second!)
    const key = (await run('audit', 'public-key')).trim()
    const operator = connectKeyHolder(pair.operatorSocket)
    expect((await operator.call('status', {})).response.log.publicKey).to.equal(key)
    operator.close()

    for (const kind of ['daemon', 'key-holder'] as const) {
      await pair.process(kind).kill()
      await pair.startAgain(kind)
    }
    await run('request', 'receipt', signed.id, '--out', third!, '--log-key', key)

    for (const kind of ['daemon', 'key-holder'] as const) await pair.process(kind).kill()
    const verify = (image: string, receipt: string) =>
      place.run(['verify', image, '--receipt', receipt, '--log-key', key, '--json'])
    const before = await verify(`${GUN}:1.0`, first!)
    const after = await verify(`${GUN}:1.0`, third!)
    expect([before.exit, after.exit]).to.deep.equal([0, 0])
    // The same record under a later checkpoint.
    const [early, late] = [before, after].map((ran) => ran.json() as { readonly log: { readonly size: number } })
    expect({ ...late, log: 0, receipt: '' }).to.deep.equal({ ...early, log: 0, receipt: '' })
    expect(late?.log.size).to.be.greaterThan(early?.log.size ?? Infinity)
    expect(early).to.include({ request: signed.id, change: 'put' })
    const wrong = await verify(`${GUN}:1.0`, second!)
    expect([wrong.exit, wrong.codes()]).to.deep.equal([1, ['RECEIPT_OTHER_IMAGE']])
  })
})
