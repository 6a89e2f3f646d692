// Asks a machine what it is like: its environment, its files, and the servers that it would talk to, each for a few seconds at most. Changes nothing,
// reads no private key, and sends the token to the configured server alone.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, type Gun } from '@countersign/tuf'
import * as z from 'zod'
import { Secret } from '../../config/secret.ts'
import { isLoopback } from '../../config/fields.ts'
import type { ImageReference } from '../../domain/image-reference.ts'
import { readAuthorities, resolveServer, resolveServerAccess } from '../client-config.ts'
import { recall } from '../client-trust/memory.ts'
import { trustServerOf } from '../client-trust/options.ts'
import { DockerProgram } from '../docker-plugin/docker-program.ts'
import { authoritiesIn, dockerFolder } from '../docker-folder.ts'
import { ApiProblem } from '../errors.ts'
import { pinsOf, readPinStore } from '../pins/store.ts'
import { parseTrustServer } from '../published-metadata.ts'
import type { Session } from '../session.ts'
import type { MachineFacts, PinFacts, Reach, TokenFacts, Unasked } from './facts.ts'

/** Milliseconds: a server that takes longer is as good as away for somebody who waits. */
const TIMEOUTS = { connectMs: 3_000, headersMs: 4_000, totalMs: 5_000 }
/** Milliseconds: `docker --version` asks nobody. */
const DOCKER_LIMIT = 3_000
/** Folders below that of private keys: `tuf_keys` and the parts of a repository's name, in old layouts. */
const MAX_DEPTH = 6
const HUB_REGISTRY = 'registry-1.docker.io'
/** Where docker's engine has authorities of registries. */
const ENGINE_CERTIFICATES = '/etc/docker/certs.d'

const SECRET_VARIABLE = /^(?:DOCKER_CONTENT_TRUST|NOTARY)_[A-Z_]*PASSPHRASE$/

/** @param node as process.versions has it */
export async function gather(session: Session, image: ImageReference | undefined, node: string): Promise<MachineFacts> {
  const { env } = session.terminal
  const server = await askServer(session)
  const [docker, token, trustServer, registry, pins, keyFiles] = await Promise.all([
    dockerVersion(session),
    askToken(session, server),
    askTrustServer(session, image),
    image === undefined ? undefined : askRegistry(session, image),
    pinFacts(session, image?.gun),
    findKeyFiles(session),
  ])
  return {
    now: session.terminal.now(),
    node,
    ...(docker !== undefined && { docker }),
    ...namedIn(env, 'DOCKER_CONTENT_TRUST', 'contentTrust'),
    ...namedIn(env, 'DOCKER_CONTENT_TRUST_SERVER', 'contentTrustServer'),
    secretVariables: Object.keys(env)
      .filter((name) => SECRET_VARIABLE.test(name) && (env[name] ?? '') !== '')
      .sort(),
    keyFiles,
    server,
    token,
    trustServer,
    ...(registry !== undefined && { registry }),
    pins,
  }
}

function namedIn(env: Readonly<Record<string, string | undefined>>, variable: string, name: string): object {
  const value = env[variable] ?? ''
  return value === '' ? {} : { [name]: value }
}

/** Absent: there is no docker, something else under its name, or something that does not answer. */
async function dockerVersion(session: Session): Promise<string | undefined> {
  try {
    const { lines } = await new DockerProgram(session).read(['--version'], 'nothing', DOCKER_LIMIT)
    return /^Docker version (\d+\.\d+\.\d+)/.exec(lines[0] ?? '')?.[1]
  } catch (error) {
    if (error instanceof CodedError && error.code === 'DOCKER_NOT_FOUND') return undefined
    throw error
  }
}

async function askServer(session: Session): Promise<Reach | Unasked> {
  try {
    const { server, ca } = await resolveServer(session.options, session.terminal)
    return await ask(session, server, 'livez', ca)
  } catch (error) {
    return unasked(error)
  }
}

async function askToken(session: Session, server: Reach | Unasked): Promise<TokenFacts> {
  try {
    const { login, certificate } = await resolveServerAccess(session.options, session.terminal)
    if (login === undefined && certificate !== undefined) return { kind: 'certificate' }
    if (!(login instanceof Secret)) return { kind: 'workload' }
    const canBeAsked = 'isReached' in server && server.isReached
    return { kind: 'kept', ...(canBeAsked && (await acceptance(session))) }
  } catch (error) {
    return { kind: 'unusable', ...unasked(error) }
  }
}

async function acceptance(session: Session): Promise<{ readonly isAccepted?: boolean }> {
  try {
    const api = await session.api()
    await api.call({ method: 'GET', path: 'v1/signing-requests', query: { limit: '1' }, answer: z.unknown() })
    return { isAccepted: true }
  } catch (error) {
    // Any other refusal comes after the token was taken.
    if (error instanceof ApiProblem) return { isAccepted: error.status !== 401 }
    return {}
  }
}

async function askTrustServer(session: Session, image: ImageReference | undefined): Promise<Reach | Unasked> {
  const fromEnvironment = session.terminal.env['DOCKER_CONTENT_TRUST_SERVER'] ?? ''
  if (image === undefined && fromEnvironment === '') return { code: 'NOT_NAMED', reason: '' }
  try {
    const url = parseTrustServer(image === undefined ? fromEnvironment : trustServerOf(image, {}, session.terminal))
    const named = await readAuthorities(session.options, session.terminal)
    const ca = [
      ...(named === undefined ? [] : [named]),
      ...(await authoritiesIn(join(dockerFolder(session.terminal), 'tls', url.host))),
    ]
    return await ask(session, url, 'v2/', ca.length === 0 ? undefined : ca.join('\n'))
  } catch (error) {
    return unasked(error)
  }
}

async function askRegistry(session: Session, { registry }: ImageReference): Promise<Reach | Unasked> {
  const host = registry === 'docker.io' ? HUB_REGISTRY : registry
  try {
    const ca = await authoritiesIn(join(ENGINE_CERTIFICATES, host))
    const url = new URL(`https://${host}/`)
    const secure = await ask(session, url, 'v2/', ca.length === 0 ? undefined : ca.join('\n'))
    if (secure.isReached || !isLoopback(url.hostname)) return secure
    // As docker's engine does for registries on this machine.
    const plain = await ask(session, new URL(`http://${host}/`), 'v2/', undefined)
    return plain.isReached ? plain : secure
  } catch (error) {
    return unasked(error)
  }
}

/** @param path below the server's */
async function ask({ terminal }: Session, server: URL, path: string, ca: string | undefined): Promise<Reach> {
  const { HttpClient } = await import('../../net/http-client.ts')
  const client = new HttpClient(server.origin, { ...(ca !== undefined && { caPem: ca }) }, TIMEOUTS)
  const address = server.href.replace(/\/$/, '')
  try {
    const before = terminal.now().getTime()
    const answer = await client.request({
      method: 'GET',
      path: `${server.pathname}${path}`,
      maxBytes: 0,
      ignoresBody: true,
    })
    const after = terminal.now().getTime()
    const date = Date.parse(answer.headers.get('date') ?? '')
    // The header has whole seconds: half of one in the mean.
    const offset = Number.isNaN(date) ? undefined : date + 500 - (before + after) / 2
    return { address, isReached: true, status: answer.status, ...(offset !== undefined && { clockOffset: offset }) }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    const { code, facts, message } = error as CodedError<string>
    return { address, isReached: false, code, reason: String(facts['reason'] ?? message) }
  } finally {
    await client.close()
  }
}

/** What keeps a server from being asked at all. */
function unasked(error: unknown): Unasked {
  if (!(error instanceof CodedError)) throw error
  const { code, message } = error as CodedError<string>
  return { code, reason: message }
}

async function pinFacts({ terminal }: Session, gun: Gun | undefined): Promise<PinFacts> {
  const named = gun === undefined ? {} : { gun }
  try {
    const store = await readPinStore(terminal)
    if (gun === undefined) return { pinned: store.repositories.length }
    const stored = pinsOf(store, gun)
    if (stored !== undefined) {
      const { expiresAt } = stored.from
      return { ...named, pinned: 1, ...(expiresAt !== undefined && { expiresAt }) }
    }
    const memory = await recall(terminal, gun)
    const began =
      memory === undefined ? {} : { memory: memory.pins.length > 0 ? ('pinned' as const) : ('first-use' as const) }
    return { ...named, pinned: 0, ...began }
  } catch (error) {
    return { ...named, pinned: 0, fault: unasked(error) }
  }
}

/** Private key files of docker and notary, by their paths; none is opened. */
async function findKeyFiles({ terminal }: Session): Promise<readonly string[]> {
  const folders = [join(dockerFolder(terminal), 'trust', 'private'), join(terminal.homeFolder, '.notary', 'private')]
  return (await Promise.all(folders.map((folder) => keyFilesIn(folder, MAX_DEPTH)))).flat()
}

async function keyFilesIn(folder: string, depth: number): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const found = entries.map((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return depth > 0 ? keyFilesIn(path, depth - 1) : Promise.resolve([])
    return Promise.resolve(entry.name.endsWith('.key') ? [path] : [])
  })
  return (await Promise.all(found)).flat().sort()
}
