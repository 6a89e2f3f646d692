// Any Notary v1 server as a source of published metadata, with the authentication that it asks for: none, a password or a token, from
// Docker's own configuration. What comes back is received, not trusted.
import { join } from 'node:path'
import { CodedError, type Gun } from '@countersign/tuf'
import { dockerConfigSource } from '../net/docker-config.ts'
import { NetError } from '../net/errors.ts'
import { NotaryClient } from '../notary/client.ts'
import { readAuthorities } from './client-config.ts'
import { authoritiesIn, dockerFolder } from './docker-folder.ts'
import { CliError } from './errors.ts'
import { parseTrustServer, type ReadMetadata } from './published-metadata.ts'
import type { Session } from './session.ts'

const TIMEOUTS = { connectMs: 10_000, headersMs: 30_000, totalMs: 300_000 }
/** Where Docker Hub's Notary server sends its clients for tokens. */
const HUB = { host: 'notary.docker.io', realm: 'https://auth.docker.io/token' }

export interface NotarySource {
  /** The server's address, without what follows its path. */
  readonly address: string
  /** @throws CliError INTERRUPTED; NotaryError, NetError */
  readonly read: ReadMetadata
  close(): Promise<void>
}

/**
 * @param tokenRealms token servers that may be asked, besides the server's own origin
 * @throws CliError SERVER_ADDRESS_INVALID, FILE_UNREADABLE
 */
export async function openNotary(
  session: Session,
  gun: Gun,
  server: string,
  tokenRealms: readonly string[],
): Promise<NotarySource> {
  const { options, terminal } = session
  const { href, host, hostname } = parseTrustServer(server)
  const realms = tokenRealms.map((realm) => parseTrustServer(realm).href)
  const folder = dockerFolder(terminal)
  const named = await readAuthorities(options, terminal)
  const caPem = [...(named === undefined ? [] : [named]), ...(await authoritiesIn(join(folder, 'tls', host)))]
  const client = new NotaryClient({
    url: href,
    tls: { ...(caPem.length > 0 && { caPem: caPem.join('\n') }) },
    timeouts: TIMEOUTS,
    tokenRealms: hostname === HUB.host ? [HUB.realm, ...realms] : realms,
    credentials: dockerConfigSource(join(folder, 'config.json')),
  })
  return {
    address: href.replace(/\/$/, ''),
    read: async ({ fileName, maxBytes }) => {
      try {
        return await unlessInterrupted(client.read(gun, fileName, maxBytes), terminal.interrupted)
      } catch (cause) {
        throw withRealm(cause)
      }
    },
    close: () => client.close(),
  }
}

/** A server that does not answer must not make Ctrl-C wait. @throws CliError INTERRUPTED; what `work` throws */
async function unlessInterrupted<T>(work: Promise<T>, interrupted: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(new CliError('INTERRUPTED', 'Interrupted. Nothing was written.'))
    }
    if (interrupted.aborted) stop()
    interrupted.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => {
      interrupted.removeEventListener('abort', stop)
    })
  })
}

/** On the command line the realm is an option, and what to give it has to be said. */
function withRealm(cause: unknown): unknown {
  if (!(cause instanceof NetError) || cause.code !== 'TOKEN_REALM_NOT_ALLOWED') return cause
  const realm = String(cause.facts['realm'] ?? cause.facts['server'] ?? '')
  return new CodedError(
    cause.code,
    `The server sends us to ${realm} for a token. Nothing was sent there. If that is right: --realm ${realm}`,
    cause.facts,
    { cause },
  )
}
