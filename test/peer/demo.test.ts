// `npm run demo` as a newcomer runs it: it ends well, leaves nothing behind, and says what is missing where it cannot start.
import { chmodSync, chownSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { checkout, isOpen } from '../support/countersign-program.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { runCommand, type CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'

/** Any user without privileges. */
const NOBODY = 65534

describe('the demo', function () {
  this.timeout(120_000)
  const scope = new Scope()
  after(() => scope.close())

  function demo(o: { temporary: string; path?: string; uid?: number }): Promise<CommandResult> {
    return runCommand(process.execPath, ['--import', 'tsx', 'demo/main.ts'], {
      cwd: checkout,
      env: {
        TMPDIR: o.temporary,
        HOME: o.temporary,
        NO_COLOR: undefined,
        ...(o.path === undefined ? {} : { PATH: o.path }),
      },
      ...(o.uid === undefined ? {} : { uid: o.uid, gid: o.uid }),
      timeoutMs: 90_000,
    })
  }

  it('tells the whole story to a user without privileges, without colour where there is no terminal', async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry')
    const temporary = scope.folder('demo')
    // The demo's own users have to walk through it.
    chmodSync(temporary, 0o711)
    // A checkout in a private folder can be run by its owner only.
    const uid = process.getuid?.() === 0 && isOpen(checkout) ? NOBODY : undefined
    if (uid !== undefined) chownSync(temporary, uid, uid)
    const told = await demo({ temporary, ...(uid === undefined ? {} : { uid }) })
    expect(told.status, told.text).to.equal(0)
    expect(told.stdout).to.match(/^10\. /m)
    expect(told.stdout).not.to.contain('\u001b')
    // What tsx keeps for the next run is its own.
    expect(readdirSync(temporary).filter((name) => name.startsWith('cs-'))).to.deep.equal([])
  })

  it('says how to install what is missing', async () => {
    const folder = scope.folder('path')
    chmodSync(folder, 0o755)
    symlinkSync(process.execPath, join(folder, 'node'))
    const told = await demo({ temporary: folder, path: folder })
    expect(told.status).to.equal(1)
    expect(told.stderr).to.contain('apt-get install')
  })
})
