// An authorisation server as registries and Notary servers use it (Docker's token authentication): accounts with passwords, signed
// tokens that name exactly the access granted, and a record of every request.
import { createPrivateKey, randomUUID, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'
import { LOOPBACK, type PeerHost } from './host-names.ts'

const ISSUER = 'countersign-test-issuer'
const SERVICE = 'countersign-test-service'
/** Seconds that a token is good for. */
const TOKEN_LIFETIME = 300

export interface TokenAccount {
  readonly password: string
  /** Actions on a repository; the name is as in the scope. */
  readonly actions: (repository: string) => readonly string[]
}

export interface TokenRequest {
  readonly account: string | undefined
  readonly scopes: readonly string[]
  readonly granted: readonly string[]
}

export interface TokenServer {
  readonly realm: string
  readonly caFile: string
  readonly requests: readonly TokenRequest[]
  /** A token for whoever asks in this process: `repository:team/app:push,pull`. */
  tokenFor(scope: string): string
  /** `auth.options` for notary-server; writes what it needs into `folder`. */
  notaryOptions(folder: string): Record<string, string>
  /** `auth.token` for docker-registry. */
  registryOptions(folder: string): Record<string, string>
}

export interface TokenServerOptions {
  readonly ca: TestCa
  readonly host?: PeerHost
  readonly accounts: Readonly<Record<string, TokenAccount>>
  /** Actions without credentials; none where absent. */
  readonly anonymous?: (repository: string) => readonly string[]
}

/** An authorisation server over TLS, until the scope closes. */
export async function startTokenServer(scope: Scope, options: TokenServerOptions): Promise<TokenServer> {
  const { ca, host = LOOPBACK, accounts, anonymous = () => [] } = options
  const folder = scope.folder('tokens')
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, ca.certificatePem)
  const tls = ca.issue([...new Set([host.name, host.address, '127.0.0.1'])])
  const requests: TokenRequest[] = []
  const server = createServer({ cert: tls.certificatePem, key: tls.privateKeyPem }, (request, response) => {
    const url = new URL(request.url ?? '/', `https://${host.name}`)
    const scopes = url.searchParams.getAll('scope').flatMap((text) => text.split(' '))
    const credentials = basicCredentials(request.headers.authorization)
    const account = credentials === undefined ? undefined : accounts[credentials.username]
    if (credentials !== undefined && account?.password !== credentials.password) {
      requests.push({ account: credentials.username, scopes, granted: [] })
      response.writeHead(401, { 'Content-Type': 'application/json' }).end('{"details":"wrong password"}')
      return
    }
    const access = scopes.map((text) => grant(text, account?.actions ?? anonymous))
    requests.push({
      account: credentials?.username,
      scopes,
      granted: access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`),
    })
    const token = signToken(tls, credentials?.username ?? '', url.searchParams.get('service') ?? '', access)
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify({ token, access_token: token, expires_in: TOKEN_LIFETIME }))
  })
  await new Promise<void>((resolve) => server.listen(0, host.address, resolve))
  scope.add(() => {
    server.closeAllConnections()
    server.close()
  })
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0
  const realm = `https://${host.name}:${port}/token`
  const settings = (target: string): Record<string, string> => {
    const bundle = join(target, 'token-roots.crt')
    writeFileSync(bundle, ca.certificatePem)
    return { realm, service: SERVICE, issuer: ISSUER, rootcertbundle: bundle }
  }
  return {
    realm,
    caFile,
    requests,
    tokenFor: (text) => signToken(tls, 'test', SERVICE, [grant(text, () => ['push', 'pull'])]),
    notaryOptions: settings,
    registryOptions: settings,
  }
}

interface Access {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
}

/** `repository:host:port/name:push,pull`: the name may hold colons. */
function grant(scope: string, allowed: (repository: string) => readonly string[]): Access {
  const [, type = '', name = '', wanted = ''] = /^([^:]*):(.*):([^:]*)$/.exec(scope) ?? []
  const actions = allowed(name)
  return { type, name, actions: wanted.split(',').filter((action) => actions.includes(action)) }
}

function basicCredentials(header: string | undefined): { username: string; password: string } | undefined {
  const encoded = /^Basic (.+)$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

function signToken(
  key: { certificatePem: string; privateKeyPem: string },
  subject: string,
  audience: string,
  access: readonly Access[],
): string {
  const now = Math.floor(Date.now() / 1000)
  const certificate = key.certificatePem.replaceAll(/-----[^-]+-----|\s/g, '')
  const header = { typ: 'JWT', alg: 'RS256', x5c: [certificate] }
  const claims = {
    iss: ISSUER,
    sub: subject,
    aud: audience,
    exp: now + TOKEN_LIFETIME,
    nbf: now - 10,
    iat: now,
    jti: randomUUID(),
    access,
  }
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const message = `${part(header)}.${part(claims)}`
  return `${message}.${sign('sha256', Buffer.from(message), createPrivateKey(key.privateKeyPem)).toString('base64url')}`
}
