// The embedded trust server with a key holder and a daemon of its own, as an operator runs the three: the other side where servers are
// compared. The daemon publishes to it.
import { createHash, randomBytes } from 'node:crypto'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { Countersign, DAEMON_UID, SHARED_GID } from '../test/support/countersign.ts'
import { freePort } from '../test/support/free-port.ts'
import type { Credentials, DockerRegistry } from '../test/support/peers/docker-registry.ts'
import { statusOf, waitForServer } from '../test/support/peers/readiness.ts'
import { startProcess, type RunningProcess } from '../test/support/processes.ts'
import type { Scope } from '../test/support/scope.ts'
import type { TestCa } from '../test/support/tls.ts'
import { Api } from './api.ts'

const USER = 'bench'

export interface EmbeddedOptions {
  readonly ca: TestCa
  readonly registry: DockerRegistry
  /** The key holder's limits file. */
  readonly limits: unknown
  readonly nodeOptions?: readonly string[]
}

export interface Embedded {
  readonly url: string
  readonly caFile: string
  readonly login: Credentials
  readonly process: RunningProcess
  readonly countersign: Countersign
  readonly api: Api
}

/** All three ready to work, until the scope closes. */
export async function startEmbedded(scope: Scope, o: EmbeddedOptions): Promise<Embedded> {
  const folder = scope.folder('embedded')
  const port = await freePort()
  const url = `https://127.0.0.1:${port}`
  const login = { username: USER, password: `cs_${randomBytes(32).toString('base64url').slice(0, 43)}` }
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, o.ca.certificatePem)
  const nodeOptions = o.nodeOptions ?? []
  const countersign = await Countersign.start(scope, {
    notary: { url, host: `127.0.0.1:${port}`, ca: o.ca, caFile },
    registry: o.registry,
    login,
    tokenRealms: [`${url}/token`],
    limits: o.limits,
    config: { log: { level: 'info' } },
    nodeOptions,
    hasTrustServerSocket: true,
  })
  const config = writeConfig(countersign, o.ca, port, login)
  const process = startProcess(
    scope,
    globalThis.process.execPath,
    [...nodeOptions, countersign.program, 'trust-server', '--config', config],
    {
      cwd: countersign.folder,
      env: { HOME: countersign.folder },
      ...(countersign.hasTwoUsers ? { uid: DAEMON_UID, gid: SHARED_GID } : {}),
    },
  )
  await waitForServer('the trust server', process, async () => {
    return (await statusOf(`${url}/_notary_server/health`, o.ca.certificatePem)) === 200
  })
  const api = new Api(countersign)
  scope.add(() => api.close())
  return { url, caFile, login, process, countersign, api }
}

/** Beside the daemon's own, and for its user. */
function writeConfig(
  { dataFolder, trustServerSocket }: Countersign,
  ca: TestCa,
  port: number,
  login: Credentials,
): string {
  const { certificatePem, privateKeyPem } = ca.issue(['127.0.0.1', 'localhost'])
  const write = (name: string, text: string): string => {
    const path = join(dataFolder, name)
    writeFileSync(path, text, { mode: 0o600 })
    if (globalThis.process.getuid?.() === 0) chownSync(path, DAEMON_UID, SHARED_GID)
    return path
  }
  const sha256 = createHash('sha256').update(login.password).digest('hex')
  return write(
    'trust-server.yaml',
    stringify({
      dataFolder: join(dataFolder, 'trust-server'),
      keyHolderSocket: trustServerSocket,
      http: {
        listen: `127.0.0.1:${port}`,
        tls: { certFile: write('tls.crt', certificatePem), keyFile: write('tls.key', privateKeyPem) },
      },
      access: { tokens: [{ name: USER, sha256, repositories: ['*'], actions: ['*'] }] },
    }),
  )
}
