// The client in one file, alone in a folder: it asks a service, and is none.
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { programVersion } from '../../src/version.ts'
import { builtClient } from '../support/countersign-program.ts'
import { runCommand, type CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { FakeApi } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'

describe('countersign-client.cjs', function () {
  this.timeout(20_000)
  const scope = new Scope()
  let folder: string
  let client: string

  before(() => {
    folder = scope.folder('client')
    // A name without an ending, as docker wants it.
    client = join(folder, 'docker-countersign')
    copyFileSync(builtClient(), client)
  })
  after(() => scope.close())

  const run = (...argv: string[]): Promise<CommandResult> => runCommand(client, argv, { env: { HOME: folder } })

  it('says its version, and asks the server that is named', async () => {
    expect((await run('--version')).stdout.trim()).to.equal(programVersion())
    const api = await new FakeApi(() => ({ status: 200, body: { repositories: [] } })).start()
    scope.add(() => api.stop())
    const listed = await runCommand(client, ['repo', 'list', '--server', api.url, '--json'], {
      env: { HOME: folder, COUNTERSIGN_TOKEN: `cs_${'t'.repeat(43)}` },
    })
    expect([listed.status, api.requests.map(({ path }) => path)], listed.text).to.deep.equal([0, ['/v1/repositories']])
  })

  it('runs no service, and uses no token, which needs a package beside it: CUSTODY_NOT_INSTALLED', async () => {
    const served = await run('serve')
    expect([served.status, served.stderr]).to.satisfy(
      ([status, text]: [number, string]) => status === 2 && text.includes("unknown command 'serve'"),
    )
    const pin = join(folder, 'pin')
    writeFileSync(pin, '1234\n', { mode: 0o600 })
    const module = ['--pkcs11', 'pkcs11:token=x', '--module', '/usr/lib/x.so', '--pin-file', pin]
    const made = await run('root', 'create', '--gun', GUN, '--out', join(folder, 'root.key'), ...module)
    expect([made.status, made.stderr]).to.satisfy(
      ([status, text]: [number, string]) => status === 1 && text.includes('CUSTODY_NOT_INSTALLED'),
    )
  })
})
