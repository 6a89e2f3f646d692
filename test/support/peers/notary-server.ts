// A real Notary v1 server over TLS, with its keys in itself (Ed25519) or in a real notary-signer (ECDSA). It keeps everything in memory, or its
// metadata in PostgreSQL where NOTARY_TEST_STORAGE=postgres is set: then it answers some questions otherwise (rows D8, D9 and D21 of the
// table of differences from notary-server).
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../free-port.ts'
import { startProcess, type RunningProcess } from '../processes.ts'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'
import { LOOPBACK, type PeerHost } from './host-names.ts'
import { startPostgres } from './postgres.ts'
import { acceptsConnections, statusOf, waitForServer } from './readiness.ts'
import { programOnPath } from './require-peers.ts'
import type { TokenServer } from './token-server.ts'

export interface NotaryServer {
  readonly url: string
  /** host:port */
  readonly host: string
  readonly ca: TestCa
  readonly caFile: string
  readonly process: RunningProcess
}

export interface NotaryServerOptions {
  readonly ca: TestCa
  readonly host?: PeerHost
  /** Where snapshot and timestamp keys live. */
  readonly keys?: 'local' | 'signer'
  /** Ask for a token from this server. */
  readonly tokens?: TokenServer
  /** The port to listen on, for a server that is started again. */
  readonly port?: number
}

/** A notary-server that answers, until the scope closes. */
export async function startNotaryServer(scope: Scope, options: NotaryServerOptions): Promise<NotaryServer> {
  const { ca, host = LOOPBACK, keys = 'local', tokens } = options
  const folder = scope.folder('notary')
  const caFile = writeTls(folder, ca, [host.name, host.address, 'localhost'])
  const port = options.port ?? (await freePort(host.address))
  const trustService = keys === 'local' ? { type: 'local' } : await startNotarySigner(scope, folder)
  writeJson(folder, 'server.json', {
    server: { http_addr: `${host.address}:${port}`, tls_key_file: 'tls.key', tls_cert_file: 'tls.crt' },
    trust_service: trustService,
    logging: { level: 'info' },
    storage: await startStorage(scope),
    ...(tokens === undefined ? {} : { auth: { type: 'token', options: tokens.notaryOptions(folder) } }),
  })
  const server = startProcess(scope, programOnPath('notary-server'), ['-config', join(folder, 'server.json')])
  const url = `https://${host.name}:${port}`
  // Asking for a key shows that the signer answers too; the health page says so only after a minute.
  await waitForServer('notary-server', server, async () => {
    return [200, 401].includes(await statusOf(`${url}/v2/readiness/_trust/tuf/timestamp.key`, ca.certificatePem))
  })
  return { url, host: `${host.name}:${port}`, ca, caFile, process: server }
}

/** The tables that notary-server expects (notary v0.7.0 server/storage/models.go). */
const TABLES = `
  CREATE TABLE tuf_files (
    id serial PRIMARY KEY, created_at timestamp, updated_at timestamp, deleted_at timestamp,
    gun varchar(255) NOT NULL, role varchar(255) NOT NULL, version integer NOT NULL, data bytea NOT NULL, sha256 char(64),
    UNIQUE (gun, role, version)
  );
  CREATE INDEX ON tuf_files (sha256);
  CREATE TABLE changefeed (
    id serial PRIMARY KEY, created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    gun varchar(255) NOT NULL, version integer NOT NULL, sha256 char(64), category varchar(20) NOT NULL DEFAULT 'update'
  );
  CREATE INDEX ON changefeed (gun);`

/** Whether the real servers keep their metadata in PostgreSQL. */
export function isStorageSql(): boolean {
  return process.env['NOTARY_TEST_STORAGE'] === 'postgres'
}

async function startStorage(scope: Scope): Promise<Record<string, string>> {
  if (!isStorageSql()) return { backend: 'memory' }
  const postgres = await startPostgres(scope)
  return { backend: 'postgres', db_url: await postgres.database('notaryserver', TABLES) }
}

async function startNotarySigner(scope: Scope, folder: string): Promise<Record<string, string>> {
  const port = await freePort()
  writeJson(folder, 'signer.json', {
    server: {
      grpc_addr: `127.0.0.1:${port}`,
      tls_cert_file: 'tls.crt',
      tls_key_file: 'tls.key',
      client_ca_file: 'ca.crt',
    },
    logging: { level: 'info' },
    storage: { backend: 'memory' },
  })
  const signer = startProcess(scope, programOnPath('notary-signer'), ['-config', join(folder, 'signer.json')])
  await waitForServer('notary-signer', signer, () => acceptsConnections(port))
  return {
    type: 'remote',
    hostname: 'localhost',
    port: String(port),
    key_algorithm: 'ecdsa',
    tls_ca_file: 'ca.crt',
    tls_client_cert: 'tls.crt',
    tls_client_key: 'tls.key',
  }
}

function writeTls(folder: string, ca: TestCa, names: readonly string[]): string {
  const { certificatePem, privateKeyPem } = ca.issue([...new Set([...names, '127.0.0.1'])])
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, ca.certificatePem)
  writeFileSync(join(folder, 'tls.crt'), certificatePem)
  writeFileSync(join(folder, 'tls.key'), privateKeyPem, { mode: 0o600 })
  return caFile
}

function writeJson(folder: string, name: string, value: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(value))
}
