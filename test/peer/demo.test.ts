// `npm run demo` as a newcomer runs it: with nothing but Node it tells the whole story and leaves nothing behind; with a stock client on the
// PATH that one judges, too, and what --keep prints for it works.
import { chmodSync, chownSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { checkout, isOpen } from '../support/countersign-program.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { runCommand, startProcess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'

/** Any user without privileges. */
const NOBODY = 65534
const LAST_STEP = /^12\. /m
const DEMO = ['--import', 'tsx', '--conditions=source', 'demo/main.ts']

describe('the demo', function () {
  this.timeout(120_000)
  const scope = new Scope()
  after(() => scope.close())

  /** What the demo leaves behind; what tsx keeps for the next run is its own. */
  function left(temporary: string): string[] {
    return readdirSync(temporary).filter((name) => name.startsWith('cs-'))
  }

  it('tells the whole story to a user without privileges who has nothing but Node, without colour', async () => {
    const temporary = scope.folder('demo')
    const path = scope.folder('path')
    for (const folder of [temporary, path]) chmodSync(folder, 0o755)
    symlinkSync(process.execPath, join(path, 'node'))
    // A checkout in a private folder can be run by its owner only.
    const uid = process.getuid?.() === 0 && isOpen(checkout) ? NOBODY : undefined
    if (uid !== undefined) chownSync(temporary, uid, uid)
    const told = await runCommand(process.execPath, DEMO, {
      cwd: checkout,
      env: { TMPDIR: temporary, HOME: temporary, NO_COLOR: undefined, PATH: path },
      ...(uid === undefined ? {} : { uid, gid: uid }),
      timeoutMs: 110_000,
    })
    expect(told.status, told.text).to.equal(0)
    expect(told.stdout).to.match(LAST_STEP)
    expect(told.stdout).to.contain('stock client none')
    expect(told.stdout).not.to.contain('\u001b')
    expect(left(temporary)).to.deep.equal([])
  })

  it('lets a stock client judge, prints commands for it that work, and stays until it is told to end', async function () {
    requirePeers(this, 'docker', 'notary', 'curl')
    const home = scope.folder('demo')
    const environment = { TMPDIR: home, HOME: home, COUNTERSIGN_HTTP__LISTEN: 'not the demo’s' }
    const demo = startProcess(scope, process.execPath, [...DEMO, '--keep'], { cwd: checkout, env: environment })
    await waitFor(
      'the end of the story',
      () => (demo.ended() !== undefined || demo.output().includes('repo status') ? true : undefined),
      110_000,
    )
    expect(demo.ended(), demo.output()).to.equal(undefined)
    expect(demo.output()).to.match(LAST_STEP)
    expect(demo.output()).to.match(/stock client docker \d/)
    const [, kept = ''] = demo.output().split('Everything stays up')
    const lines = kept.split('\n').filter((line) => line.startsWith('  '))
    // Docker looks into $HOME; pulling would take an engine.
    const script = lines.filter((line) => !line.includes('docker pull')).join('\n')
    const ran = await runCommand(programOnPath('bash'), ['-euc', script], { env: { HOME: home } })
    expect(ran.status, ran.text).to.equal(0)
    // Docker's and notary's line for the tag that stays signed.
    expect(ran.stdout.match(/^ *1\.5 +[0-9a-f]{64}/gm), ran.text).to.have.length(2)
    demo.signal('SIGINT')
    await waitFor('the end', () => demo.ended())
    expect(demo.ended()).to.equal('status 0')
    expect(left(home).filter((name) => name.startsWith('cs-demo'))).to.deep.equal([])
  })
})
