// What an embedded trust server needs, made at the first start: its folder, configuration and TLS, and a token for the daemon.
// Nothing that an operator wrote is overwritten; certificates are made again before they end.
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, type ConfigFault } from '../config/errors.ts'
import { readSecretFile } from '../config/secret-file.ts'
import { parseTrustServerConfig, type TrustServerConfig } from '../trust-server/config.ts'
import { makeFile, makeFolder, type Owner } from './private-files.ts'
import { prepareTlsFiles, tlsFilePaths, type TlsFiles } from './tls-files.ts'

export interface TrustServerFilesOptions {
  /** The folder that holds everything of the trust server. */
  readonly folder: string
  readonly authorityFolder: string
  /** The daemon's token: mode 0600, the daemon's own. */
  readonly tokenFile: string
  /** The key holder's socket for it. */
  readonly keyHolderSocket: string
  readonly owner: Owner | undefined
  /** The trust server's own variables win over its file, for us as for it. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface TrustServerFiles {
  readonly configFile: string
  /** Where the daemon reaches it. */
  readonly url: string
  /** Where others reach it. */
  readonly publicUrl: string
  readonly tls: TlsFiles
  /** Makes the server's certificate again where it ends soon; says whether it did. */
  renew(now: Date): boolean
}

const COMMENT = `# The trust server that serve starts. Made at the first start; change it as you like. Documented in config/trust-server.example.yaml.
# The socket, the certificate and the daemon's token are those of serve: to choose others, run the trust server by itself, and name it in
# trustServers of the daemon.`

/** Names by which this machine is reached from itself. */
const LOOPBACK = ['localhost', '127.0.0.1', '::1']
const EVERY_ADDRESS = ['0.0.0.0', '::']

/** Makes what is missing. @throws ConfigError CONFIG_INVALID, SECRET_FILE_* */
export function prepareTrustServerFiles(o: TrustServerFilesOptions): TrustServerFiles {
  const folder = resolve(o.folder)
  const configFile = join(folder, 'trust-server.yaml')
  const serverFolder = join(folder, 'tls')
  makeFolder(folder, 0o700, o.owner)
  makeFolder(join(folder, 'state'), 0o700, o.owner)
  makeFile(o.tokenFile, `cs_${randomBytes(32).toString('base64url')}\n`, undefined)
  const { certFile, keyFile } = tlsFilePaths({ authorityFolder: o.authorityFolder, serverFolder })
  const expected = {
    keyHolderSocket: o.keyHolderSocket,
    tokenHash: sha256Of(readSecretFile(o.tokenFile).reveal()),
    certFile,
    keyFile,
  }
  makeFile(configFile, configText(join(folder, 'state'), expected), o.owner)
  const config = parseTrustServerConfig(readFileSync(configFile, 'utf8'), o.environment)
  refuseForeign(configFile, config, expected)
  const { host, port } = addressOf(config)
  const publicUrl = config.http.publicUrl === undefined ? undefined : new URL(config.http.publicUrl)
  const names = new Set([...LOOPBACK, host, ...(publicUrl === undefined ? [] : [bare(publicUrl.hostname)])])
  const tlsOptions = {
    authorityFolder: o.authorityFolder,
    serverFolder,
    owner: o.owner,
    names: [...names].filter((name) => !EVERY_ADDRESS.includes(name)),
  }
  const url = `https://${urlHost(EVERY_ADDRESS.includes(host) ? '127.0.0.1' : host)}:${port}`
  return {
    configFile,
    url,
    publicUrl: config.http.publicUrl ?? url,
    tls: prepareTlsFiles({ ...tlsOptions, now: new Date() }),
    renew: (now) => prepareTlsFiles({ ...tlsOptions, now, keepsAuthority: true }).made.server,
  }
}

interface Expected {
  readonly keyHolderSocket: string
  readonly tokenHash: string
  readonly certFile: string
  readonly keyFile: string
}

/** JSON strings are YAML strings. */
function configText(state: string, { keyHolderSocket, tokenHash, certFile, keyFile }: Expected): string {
  const text = JSON.stringify
  return `${COMMENT}
dataFolder: ${text(state)}
keyHolderSocket: ${text(keyHolderSocket)}
http:
  listen: 127.0.0.1:4443
  tls:
    certFile: ${text(certFile)}
    keyFile: ${text(keyFile)}
access:
  tokens:
    # The daemon publishes; it neither rotates keys nor deletes.
    - name: daemon
      sha256: ${tokenHash}
      repositories: ['*']
      actions: [pull, push]
`
}

/** What the daemon relies on has to be as it is told: else it would talk past the trust server. @throws ConfigError CONFIG_INVALID */
function refuseForeign(file: string, { keyHolderSocket, http, access }: TrustServerConfig, expected: Expected): void {
  const faults: ConfigFault[] = []
  const { certFile, keyFile } = http.tls ?? {}
  if (keyHolderSocket !== expected.keyHolderSocket) {
    faults.push({ path: 'keyHolderSocket', message: `must be ${expected.keyHolderSocket}` })
  }
  if (certFile !== expected.certFile || keyFile !== expected.keyFile) {
    faults.push({ path: 'http.tls', message: `must name ${expected.certFile} and ${expected.keyFile}` })
  }
  if (!access.tokens.some(({ sha256 }) => sha256 === expected.tokenHash)) {
    faults.push({ path: 'access.tokens', message: `must list the daemon's token, by its hash ${expected.tokenHash}` })
  }
  if (http.listen.endsWith(':0')) {
    faults.push({ path: 'http.listen', message: 'must name a port: clients are told the address' })
  }
  if (access.tokenServer !== undefined) {
    faults.push({ path: 'access.tokenServer', message: 'would leave the daemon’s token without a realm' })
  }
  if (faults.length === 0) return
  const lines = faults.map(({ path, message }) => `  ${path} ${message}`)
  throw new ConfigError('CONFIG_INVALID', [`serve cannot use ${file} as it is:`, ...lines].join('\n'), faults)
}

function addressOf({ http }: TrustServerConfig): { readonly host: string; readonly port: number } {
  const colon = http.listen.lastIndexOf(':')
  return { host: bare(http.listen.slice(0, colon)), port: Number(http.listen.slice(colon + 1)) }
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '')
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
