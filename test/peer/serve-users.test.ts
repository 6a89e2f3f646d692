// `countersign serve` as root, with a user of its own for each child: what the trust server's user can reach of the others.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { sharedProgram } from '../support/countersign-program.ts'
import { freePort } from '../support/free-port.ts'
import { statusOf, waitForServer } from '../support/peers/readiness.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { runCommand, startProcess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'

const KEY_HOLDER = 61001
const TRUST_SERVER = 61003

/** Says of each path, in a line, whether a socket there takes a connection, or a file or folder can be read. */
const LOOK = `use Socket; for my $path (@ARGV) {
  socket(my $s, AF_UNIX, SOCK_STREAM, 0);
  my $open = connect($s, sockaddr_un($path)) || open(my $f, '<', $path) && (-d $path ? opendir(my $d, $path) : 1);
  print $open ? "open\\n" : "closed\\n" }`

describe('serve with a user for each process', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let data: string

  before(async function () {
    requirePeers(this, 'two-users')
    const folder = scope.folder('users')
    chmodSync(folder, 0o711)
    data = join(folder, 'data')
    const port = await freePort()
    writeFileSync(
      join(folder, 'countersign.yaml'),
      `dataFolder: ${data}
http: { listen: '127.0.0.1:${port}' }
keyHolder: { supervise: { uid: ${KEY_HOLDER}, gid: ${KEY_HOLDER} } }
embeddedTrustServer: { uid: ${TRUST_SERVER}, gid: ${TRUST_SERVER} }
`,
    )
    const args = [sharedProgram(scope), 'serve', '--config', join(folder, 'countersign.yaml')]
    const env = { TRUST_SERVER_HTTP__LISTEN: `127.0.0.1:${await freePort()}`, COUNTERSIGN_CONFIG: undefined }
    const serve = startProcess(scope, process.execPath, args, { cwd: folder, env })
    const ready = `http://127.0.0.1:${port}/readyz`
    await waitForServer('countersign serve', serve, async () => (await statusOf(ready)) === 200)
    const pids = [...serve.output().matchAll(/"process":"(key-holder|trust-server)","pid":(\d+),"msg":"started/g)]
    const uids = pids.map(([, name, pid]) => [
      name,
      /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
    ])
    expect(Object.fromEntries(uids)).to.deep.equal({
      'key-holder': String(KEY_HOLDER),
      'trust-server': String(TRUST_SERVER),
    })
  })
  after(() => scope.close())

  async function seenBy(uid: number, names: readonly string[]): Promise<Record<string, string>> {
    const args = ['-e', LOOK, ...names.map((name) => join(data, name))]
    const { stdout } = await runCommand(programOnPath('perl'), args, { uid, gid: uid })
    const lines = stdout.trim().split('\n')
    return Object.fromEntries(names.map((name, index) => [name, lines[index] ?? '']))
  }

  it('opens its own socket and folder to the trust server, and nothing else', async () => {
    const expected = {
      'key-holder/serve/trust.sock': 'open',
      'trust-server/trust-server.yaml': 'open',
      'trust-server/state': 'open',
      'key-holder/run/service.sock': 'closed',
      'key-holder/run/operator.sock': 'closed',
      'key-holder/unlock.key': 'closed',
      'key-holder/state': 'closed',
      'authority/ca.key': 'closed',
      'trust-server.token': 'closed',
      'admin.token': 'closed',
      'countersign.db': 'closed',
    }
    expect(await seenBy(TRUST_SERVER, Object.keys(expected))).to.deep.equal(expected)
  })

  it('keeps the trust server’s files from the key holder, and both from a stranger', async () => {
    const names = ['trust-server/state', 'trust-server/tls/server.key', 'authority/ca.key', 'trust-server.token']
    expect(new Set(Object.values(await seenBy(KEY_HOLDER, names)))).to.deep.equal(new Set(['closed']))
    const sockets = ['key-holder/serve/trust.sock', 'key-holder/run/service.sock', 'key-holder/unlock.key']
    expect(new Set(Object.values(await seenBy(61009, [...names, ...sockets])))).to.deep.equal(new Set(['closed']))
    // They are there: root sees them.
    expect(new Set(Object.values(await seenBy(0, [...names, ...sockets])))).to.deep.equal(new Set(['open']))
  })
})
