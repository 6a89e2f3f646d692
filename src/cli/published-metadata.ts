// The published metadata of a repository that is to be adopted: read from a trust server or from Docker's own copy, and verified
// here from the pin before anything is handed on. Bytes from either source are received, not trusted.
import { join } from 'node:path'
import {
  RepositoryVerifier,
  type FileRequest,
  type Gun,
  type TrustedRepository,
  type VerifierOptions,
} from '@countersign/tuf'
import { isLoopback } from '../config/fields.ts'
import { CliError } from './errors.ts'
import { readFileIfPresent } from './files.ts'
import type { Terminal } from './terminal.ts'

/** Answers a request of the verifier: the file, or undefined where there is none. */
export type ReadMetadata = (file: FileRequest) => Promise<Uint8Array | undefined>

const TIMEOUT_MS = 30_000

/** @throws TufError with the reason why the metadata is refused; whatever `read` throws */
export async function verifyPublished(options: VerifierOptions, read: ReadMetadata): Promise<TrustedRepository> {
  const verifier = new RepositoryVerifier(options)
  for (let file = verifier.next(); file !== undefined; file = verifier.next()) verifier.accept(await read(file))
  return verifier.result()
}

/** Where the Docker CLI keeps its copy of a repository's metadata (notary v0.7.0 storage/filestore.go). */
export function dockerMetadataFolder({ env, homeFolder }: Terminal, gun: Gun): string {
  const configured = env['DOCKER_CONFIG'] ?? ''
  const base = configured === '' ? join(homeFolder, '.docker') : configured
  return join(base, 'trust', 'tuf', gun, 'metadata')
}

/** Reads a folder of files named by role, such as `targets/releases.json`; older roots are not kept in it. */
export function fromFolder(folder: string): ReadMetadata {
  return async ({ fileName, role, maxBytes }) => {
    const isOlderRoot = /^\d+\.root\.json$/.test(fileName)
    return isOlderRoot ? undefined : readFileIfPresent(join(folder, `${role}.json`), maxBytes)
  }
}

/**
 * Reads a trust server that gives metadata to everybody. No credentials are sent, no redirect is followed.
 * @param ca PEM of the only certificate authorities to trust; undefined for the usual ones
 * @throws CliError SERVER_ADDRESS_INVALID, TRUST_SERVER_REFUSED, TRUST_SERVER_UNREACHABLE
 */
export function fromTrustServer(address: string, gun: Gun, ca?: string): ReadMetadata {
  const base = parseTrustServer(address)
  return async ({ fileName, maxBytes }) => {
    const { Agent, request } = await import('undici')
    const connect = { timeout: 10_000, ...(ca !== undefined && { ca }) }
    const agent = new Agent({ connect, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS })
    try {
      const url = new URL(`v2/${gun}/_trust/tuf/${fileName}`, base)
      const { statusCode, body } = await request(url, { dispatcher: agent })
      if (statusCode === 404) return undefined
      if (statusCode !== 200) throw refused(base, statusCode)
      const chunks: Buffer[] = []
      let length = 0
      for await (const chunk of body as AsyncIterable<Buffer>) {
        length += chunk.byteLength
        // One byte more than allowed is enough: the verifier then refuses the file as too long.
        chunks.push(chunk)
        if (length > maxBytes) break
      }
      return Buffer.concat(chunks)
    } catch (cause) {
      if (cause instanceof CliError) throw cause
      throw new CliError('TRUST_SERVER_UNREACHABLE', `${base.origin} cannot be read.`, {
        facts: { server: base.origin },
        next: 'A retry can help; check the address of --trust-server. For a private certificate authority give --ca-file FILE.',
        cause,
      })
    } finally {
      await agent.destroy()
    }
  }
}

function refused(base: URL, status: number): CliError {
  return new CliError('TRUST_SERVER_REFUSED', `${base.origin} answers with HTTP ${status}.`, {
    facts: { server: base.origin, status },
    next: 'If it asks for credentials: run `docker trust inspect REPOSITORY` on this machine, then repeat without --trust-server.',
  })
}

/** Ends with a slash. @throws CliError SERVER_ADDRESS_INVALID */
export function parseTrustServer(address: string): URL {
  const url = URL.parse(address)
  const isPlain = url?.username === '' && url.password === '' && url.search === '' && url.hash === ''
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  if (url === null || !isPlain || !isSafe) {
    throw new CliError('SERVER_ADDRESS_INVALID', 'The address of the trust server is not a plain https:// URL.', {
      next: 'Write it as https://notary.example.com; http:// is accepted for loopback addresses only.',
    })
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}
