// Docker's configuration file as a source of credentials: auths, credsStore, credHelpers, identity tokens.
// docker/cli v28 cli/config/configfile, cli/config/credentials; Docker Hub is filed under its old index address.
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import type { Credentials, CredentialSource } from './credentials.ts'
import { askCredentialHelper } from './credential-helper.ts'
import { NetError } from './errors.ts'
import { FileRefusal, readOwnedFile } from './owned-file.ts'

const HUB_HOST = 'docker.io'
const HUB_KEY = 'https://index.docker.io/v1/'
const MAX_CONFIG_BYTES = 1024 * 1024
/** A user name that says: the secret is an identity token. docker/docker-credential-helpers README. */
const IDENTITY_TOKEN_USER = '<token>'

const entry = z.object({
  auth: z.string().max(65_536).optional(),
  username: z.string().max(1024).optional(),
  password: z.string().max(65_536).optional(),
  identitytoken: z.string().max(65_536).optional(),
})
const configFile = z.object({
  auths: z.record(z.string(), entry).optional(),
  credsStore: z.string().max(128).optional(),
  credHelpers: z.record(z.string(), z.string().max(128)).optional(),
})

export type DockerConfig = z.output<typeof configFile>

/** The file that Docker itself would read. */
export function defaultDockerConfigFile(environment: Readonly<Record<string, string | undefined>>): string {
  const folder = environment['DOCKER_CONFIG'] ?? ''
  return join(folder === '' ? join(homedir(), '.docker') : folder, 'config.json')
}

/**
 * Credentials from a Docker configuration file, read anew at each call. A missing file means anonymous, as for Docker. Stricter than
 * Docker: a file that others can read or write is refused, since it holds passwords and names programs that are started.
 */
export function dockerConfigSource(path: string): CredentialSource {
  return { credentialsFor: async (host) => credentialsFrom(parseDockerConfig(readText(path) ?? '{}'), host) }
}

/** What such a file says for a host; asks a helper where it names one. @throws NetError CREDENTIALS_UNREADABLE, CREDENTIAL_HELPER_FAILED */
export async function credentialsFrom(config: DockerConfig, host: string): Promise<Credentials | undefined> {
  const key = host === HUB_HOST ? HUB_KEY : host
  const helper = own(config.credHelpers, key) ?? own(config.credHelpers, host) ?? config.credsStore
  if (helper !== undefined && helper !== '') {
    const answer = await askCredentialHelper(helper, key)
    return answer === undefined ? undefined : named(answer.username, answer.secret)
  }
  for (const candidate of [key, host, `https://${host}`, `https://${host}/v1/`, `https://${host}/v2/`]) {
    const found = own(config.auths, candidate)
    if (found !== undefined) return fromEntry(found)
  }
  return undefined
}

function fromEntry({ auth, username, password, identitytoken }: z.output<typeof entry>): Credentials | undefined {
  if (identitytoken !== undefined && identitytoken !== '') return { kind: 'identity-token', token: identitytoken }
  if (auth !== undefined && auth !== '') {
    const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = text.indexOf(':')
    if (colon <= 0) throw unreadable('an entry of auths is not user:password in base64')
    return named(text.slice(0, colon), text.slice(colon + 1))
  }
  return username === undefined || password === undefined ? undefined : named(username, password)
}

function named(username: string, secret: string): Credentials {
  return username === IDENTITY_TOKEN_USER
    ? { kind: 'identity-token', token: secret }
    : { kind: 'password', username, password: secret }
}

/** @throws NetError CREDENTIALS_UNREADABLE */
export function parseDockerConfig(text: string): DockerConfig {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // The parser's message may quote the file, so it is not kept.
    throw unreadable('it is not JSON')
  }
  const parsed = configFile.safeParse(document)
  if (!parsed.success)
    throw unreadable(`unexpected ${parsed.error.issues.map(({ path: at }) => at.join('.')).join(', ')}`)
  return parsed.data
}

function readText(path: string): string | undefined {
  try {
    return readOwnedFile(path, MAX_CONFIG_BYTES)
  } catch (cause) {
    throw unreadable(cause instanceof FileRefusal ? cause.message : 'it cannot be read', cause)
  }
}

/** Names come from outside, and `constructor` must be none that the object inherits. */
function own<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined
}

function unreadable(why: string, cause?: unknown): NetError {
  return new NetError(
    'CREDENTIALS_UNREADABLE',
    `Docker's configuration file cannot be used: ${why}.`,
    { why },
    { cause },
  )
}
