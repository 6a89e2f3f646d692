// A real Docker registry: plain on loopback, or over TLS; open, with a password file, or asking for tokens.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePort } from '../free-port.ts'
import { startProcess, type RunningProcess } from '../processes.ts'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'
import { LOOPBACK, type PeerHost } from './host-names.ts'
import { statusOf, waitForServer } from './readiness.ts'
import { programOnPath } from './require-peers.ts'
import type { TokenServer } from './token-server.ts'

export interface DockerRegistry {
  readonly url: string
  /** host:port, as it stands in image references */
  readonly host: string
  /** With TLS only. */
  readonly ca?: TestCa
  readonly caFile?: string
  readonly process: RunningProcess
}

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** The one account of a registry with a password file. Test only. */
export const HTPASSWD_ACCOUNT: Credentials = { username: 'builder', password: 'test-only-password' }
/** bcrypt of that password, cost 4; the registry reads no other scheme. */
const HTPASSWD_LINE = 'builder:$2b$04$abcdefghijklmnopqrstuukEMLQ3bdZHPZKNKKe4RoQz1KSj3b9XK\n'

export interface DockerRegistryOptions {
  /** Absent: plain HTTP. */
  readonly ca?: TestCa
  readonly host?: PeerHost
  readonly auth?: 'htpasswd' | TokenServer
  /** As the configuration that comes with the registry has it: blob descriptors cached in memory, no second line for each request. */
  readonly isTuned?: boolean
  /** Who is told of everything that happens, with which bearer secret. */
  readonly events?: { readonly url: string; readonly secret: string }
}

/** A docker-registry that answers, until the scope closes. */
export async function startDockerRegistry(scope: Scope, options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const { ca, host = LOOPBACK, auth, isTuned = false, events } = options
  const folder = scope.folder('registry')
  const data = join(folder, 'data')
  mkdirSync(data)
  const port = await freePort(host.address)
  const tls = ca === undefined ? undefined : writeTls(folder, ca, host)
  const config = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: isTuned } },
    storage: {
      filesystem: { rootdirectory: data },
      delete: { enabled: true },
      ...(isTuned ? { cache: { blobdescriptor: 'inmemory' } } : {}),
    },
    http: { addr: `${host.address}:${port}`, ...(tls === undefined ? {} : { tls: tls.config }) },
    ...(events === undefined ? {} : { notifications: { endpoints: [endpoint(events)] } }),
    ...(auth === undefined ? {} : { auth: authConfig(folder, auth) }),
  }
  const file = join(folder, 'registry.yml')
  writeFileSync(file, stringify(config))
  const server = startProcess(scope, programOnPath('docker-registry'), ['serve', file])
  const url = `${ca === undefined ? 'http' : 'https'}://${host.name}:${port}`
  await waitForServer('docker-registry', server, async () => {
    return [200, 401].includes(await statusOf(`${url}/v2/`, ca?.certificatePem))
  })
  return {
    url,
    host: `${host.name}:${port}`,
    process: server,
    ...(ca === undefined || tls === undefined ? {} : { ca, caFile: tls.caFile }),
  }
}

function endpoint({ url, secret }: NonNullable<DockerRegistryOptions['events']>): Record<string, unknown> {
  const headers = { Authorization: [`Bearer ${secret}`] }
  return { name: 'test', url, headers, timeout: '5s', threshold: 5, backoff: '250ms' }
}

function authConfig(folder: string, auth: 'htpasswd' | TokenServer): Record<string, unknown> {
  if (auth !== 'htpasswd') return { token: auth.registryOptions(folder) }
  const file = join(folder, 'htpasswd')
  writeFileSync(file, HTPASSWD_LINE)
  return { htpasswd: { realm: 'registry', path: file } }
}

function writeTls(folder: string, ca: TestCa, host: PeerHost): { config: Record<string, string>; caFile: string } {
  const { certificatePem, privateKeyPem } = ca.issue([...new Set([host.name, host.address, 'localhost', '127.0.0.1'])])
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, ca.certificatePem)
  writeFileSync(join(folder, 'tls.crt'), certificatePem)
  writeFileSync(join(folder, 'tls.key'), privateKeyPem, { mode: 0o600 })
  return { config: { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }, caFile }
}
