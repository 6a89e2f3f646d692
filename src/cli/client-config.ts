// Where the server is and how to prove who asks: from options, the environment, or the client configuration file, in this order.
// A token that the file names for one server is never sent to another.
import { join } from 'node:path'
import { isLoopback } from '../config/fields.ts'
import { readSecretBytes, readSecretFile } from '../config/secret-file.ts'
import { Secret } from '../config/secret.ts'
import type { ClientCertificate } from './client-certificate.ts'
import type { ClientConfig } from './client-config-file.ts'
import { CliError } from './errors.ts'
import { readFileIfPresent, readPublicFile } from './files.ts'
import type { Terminal } from './terminal.ts'
import { DEFAULT_VARIABLE, OIDC_PROVIDERS, type OidcProvider, type WorkloadLogin } from './workload-login.ts'

/** The largest client configuration file and CA file, in bytes. */
const MAX_BYTES = 64 * 1024
const MAX_CA_BYTES = 1024 * 1024

/** The environment variables of the client. */
export const CLIENT_VARIABLES = [
  'COUNTERSIGN_SERVER',
  'COUNTERSIGN_TOKEN',
  'COUNTERSIGN_TOKEN_FILE',
  'COUNTERSIGN_CA_FILE',
  'COUNTERSIGN_CLIENT_CERT_FILE',
  'COUNTERSIGN_CLIENT_KEY_FILE',
  'COUNTERSIGN_CLIENT_CONFIG',
  'COUNTERSIGN_PINS',
  'COUNTERSIGN_OPERATOR_SOCKET',
  'COUNTERSIGN_OIDC',
  'COUNTERSIGN_OIDC_AUDIENCE',
  'COUNTERSIGN_OIDC_VARIABLE',
  'COUNTERSIGN_ID_TOKEN',
] as const

/** The options that every command takes. */
export interface GlobalOptions {
  readonly server?: string
  readonly tokenFile?: string
  readonly oidc?: string
  readonly oidcAudience?: string
  readonly caFile?: string
  readonly clientCertFile?: string
  readonly clientKeyFile?: string
  readonly json?: boolean
}

/** Everything needed to call the API. */
export interface ServerAccess {
  readonly server: URL
  /** A token, or how a pipeline gets one; absent where a client certificate is all there is. */
  readonly login?: Secret | WorkloadLogin
  readonly certificate?: ClientCertificate
  /** PEM of the only certificate authorities to trust, or undefined for the usual ones. */
  readonly ca: string | undefined
}

/** The server alone, for calls that need no token. @throws CliError SERVER_*, CLIENT_CONFIG_INVALID */
export async function resolveServer(
  options: GlobalOptions,
  terminal: Terminal,
): Promise<Pick<ServerAccess, 'server' | 'ca'>> {
  const { server, ca } = await readServer(options, terminal)
  return { server, ca }
}

/** @throws CliError SERVER_*, TOKEN_NOT_CONFIGURED, SECRET_FILE_* (ConfigError), TOKEN_MALFORMED, CLIENT_CONFIG_INVALID */
export async function resolveServerAccess(options: GlobalOptions, terminal: Terminal): Promise<ServerAccess> {
  const { server, ca, file } = await readServer(options, terminal)
  const certificate = await readCertificate(options, terminal)
  const isTokenNamed = [options.tokenFile, options.oidc].some((each) => each !== undefined)
  // A certificate is enough: no token is sent but one that an option names.
  const needsLogin = certificate === undefined || isTokenNamed
  return {
    server,
    ca,
    ...(needsLogin && { login: findLogin(options, terminal.env, file, server) }),
    ...(certificate !== undefined && { certificate }),
  }
}

/** `file`: what of the client configuration file counts for this server. */
async function readServer(
  options: GlobalOptions,
  terminal: Terminal,
): Promise<Pick<ServerAccess, 'server' | 'ca'> & { readonly file: ClientConfig }> {
  const all: ClientConfig = await readClientConfig(terminal)
  const named = setting(options.server) ?? setting(terminal.env['COUNTERSIGN_SERVER'])
  const server = parseServerAddress(named ?? all.server, all.path)
  const isForThisServer = all.server === undefined || parseServerAddress(all.server, all.path).href === server.href
  const file: ClientConfig = isForThisServer ? all : { path: all.path }
  return { server, file, ca: await readAuthorities(options, terminal, file.caFile) }
}

/**
 * PEM of the only certificate authorities to trust, or undefined for the usual ones.
 * @param configured the file where neither option nor environment names one
 * @throws CliError FILE_UNREADABLE
 */
export async function readAuthorities(
  options: GlobalOptions,
  { env }: Pick<Terminal, 'env'>,
  configured?: string,
): Promise<string | undefined> {
  const file = setting(options.caFile) ?? setting(env['COUNTERSIGN_CA_FILE']) ?? configured
  return file === undefined ? undefined : (await readPublicFile(file, MAX_CA_BYTES)).toString('utf8')
}

/** @throws CliError USAGE_INVALID, FILE_UNREADABLE; ConfigError SECRET_FILE_* */
async function readCertificate(
  options: GlobalOptions,
  { env }: Pick<Terminal, 'env'>,
): Promise<ClientCertificate | undefined> {
  const certFile = setting(options.clientCertFile) ?? setting(env['COUNTERSIGN_CLIENT_CERT_FILE'])
  const keyFile = setting(options.clientKeyFile) ?? setting(env['COUNTERSIGN_CLIENT_KEY_FILE'])
  if (certFile === undefined && keyFile === undefined) return undefined
  if (certFile === undefined || keyFile === undefined) {
    throw new CliError('USAGE_INVALID', '--client-cert-file and --client-key-file belong together.')
  }
  return { cert: (await readPublicFile(certFile, MAX_CA_BYTES)).toString('utf8'), key: readSecretBytes(keyFile) }
}

/** The option wins over the environment, and the environment over the file; in each, a pipeline's own token over one that is kept. */
function findLogin(
  options: GlobalOptions,
  env: Terminal['env'],
  file: ClientConfig,
  server: URL,
): Secret | WorkloadLogin {
  const isNamed = options.tokenFile !== undefined
  if (isNamed && options.oidc !== undefined) {
    throw new CliError('USAGE_INVALID', '--token-file and --oidc exclude each other.')
  }
  const isKept =
    isNamed || ['COUNTERSIGN_TOKEN', 'COUNTERSIGN_TOKEN_FILE'].some((name) => setting(env[name]) !== undefined)
  const provider =
    setting(options.oidc) ??
    (isNamed ? undefined : setting(env['COUNTERSIGN_OIDC'])) ??
    (isKept ? undefined : file.oidc)
  if (provider === undefined) return findToken(options, env, file.tokenFile, server)
  return {
    provider: oidcProvider(provider),
    audience:
      setting(options.oidcAudience) ?? setting(env['COUNTERSIGN_OIDC_AUDIENCE']) ?? file.oidcAudience ?? server.origin,
    variable: setting(env['COUNTERSIGN_OIDC_VARIABLE']) ?? DEFAULT_VARIABLE,
  }
}

function oidcProvider(text: string): OidcProvider {
  const provider = OIDC_PROVIDERS.find((known) => known === text)
  if (provider !== undefined) return provider
  throw new CliError('USAGE_INVALID', `"${text.slice(0, 40)}" is no CI system that is known here.`, {
    next: `--oidc and COUNTERSIGN_OIDC take ${OIDC_PROVIDERS.join(' or ')}.`,
  })
}

function findToken(options: GlobalOptions, env: Terminal['env'], configured: string | undefined, server: URL): Secret {
  const fromEnvironment = setting(env['COUNTERSIGN_TOKEN'])
  if (options.tokenFile === undefined && fromEnvironment !== undefined)
    return checkToken(new Secret(fromEnvironment), 'COUNTERSIGN_TOKEN')
  const path = setting(options.tokenFile) ?? setting(env['COUNTERSIGN_TOKEN_FILE']) ?? configured
  if (path === undefined) {
    throw new CliError('TOKEN_NOT_CONFIGURED', `No API token is configured for ${server.origin}.`, {
      next: 'Give --token-file FILE, or set COUNTERSIGN_TOKEN_FILE or COUNTERSIGN_TOKEN, or tokenFile in the client configuration file. In a pipeline: --oidc. A machine: --client-cert-file.',
    })
  }
  return checkToken(readSecretFile(path), path)
}

/** A token is visible ASCII on one line: anything else is a mistake, and must not reach a header. Its text is never shown. */
function checkToken(token: Secret, source: string): Secret {
  if (!/^[\x21-\x7e]{1,8192}$/.test(token.reveal())) {
    throw new CliError('TOKEN_MALFORMED', `${source} does not hold an API token.`, { facts: { source } })
  }
  return token
}

/** @throws CliError SERVER_NOT_CONFIGURED, SERVER_ADDRESS_INVALID, SERVER_INSECURE */
export function parseServerAddress(text: string | undefined, configPath: string): URL {
  if (text === undefined) {
    throw new CliError('SERVER_NOT_CONFIGURED', 'No server address is configured.', {
      next: `Give --server URL, or set COUNTERSIGN_SERVER, or write "server: https://..." in ${configPath}.`,
    })
  }
  const url = readUrl(text)
  const isPlain = url?.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (url === undefined || !isPlain || !['http:', 'https:'].includes(url.protocol)) {
    throw new CliError('SERVER_ADDRESS_INVALID', 'The server address is not a plain https:// URL.', {
      next: 'Write it as https://countersign.example.com, without user name, query or fragment.',
    })
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new CliError('SERVER_INSECURE', `A token is not sent to ${url.host} without TLS.`, {
      facts: { host: url.host },
      next: 'Use https://; http:// is accepted for loopback addresses only.',
    })
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

/** Not by URL.canParse: once optimized, that of Node 20 reads Latin-1 as UTF-8, and accepts what the constructor then refuses. */
function readUrl(text: string): URL | undefined {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}

/** The client configuration file, or an empty one where there is none; relative paths are relative to it. */
async function readClientConfig({ env, homeFolder }: Terminal): Promise<ClientConfig> {
  const named = setting(env['COUNTERSIGN_CLIENT_CONFIG'])
  const path =
    named ?? join(setting(env['XDG_CONFIG_HOME']) ?? join(homeFolder, '.config'), 'countersign', 'config.yaml')
  const bytes = named === undefined ? await readFileIfPresent(path, MAX_BYTES) : await readPublicFile(path, MAX_BYTES)
  if (bytes === undefined) return { path }
  // Reading YAML takes longer to load than most commands take: only where there is some.
  const { parseClientConfig } = await import('./client-config-file.ts')
  return parseClientConfig(bytes.toString('utf8'), path)
}

function setting(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value
}
