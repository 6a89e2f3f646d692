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
import { dockerFolder } from './docker-folder.ts'
import { CliError } from './errors.ts'
import { readFileIfPresent } from './files.ts'
import type { Terminal } from './terminal.ts'

/** Answers a request of the verifier: the file, or undefined where there is none. */
export type ReadMetadata = (file: FileRequest) => Promise<Uint8Array | undefined>

/** @throws TufError with the reason why the metadata is refused; whatever `read` throws */
export async function verifyPublished(options: VerifierOptions, read: ReadMetadata): Promise<TrustedRepository> {
  const verifier = new RepositoryVerifier(options)
  for (let file = verifier.next(); file !== undefined; file = verifier.next()) verifier.accept(await read(file))
  return verifier.result()
}

/** Where the Docker CLI keeps its copy of a repository's metadata (notary v0.7.0 storage/filestore.go). */
export function dockerMetadataFolder(terminal: Terminal, gun: Gun): string {
  return join(dockerFolder(terminal), 'trust', 'tuf', gun, 'metadata')
}

/** Reads a folder of files named by role, such as `targets/releases.json`; older roots are not kept in it. */
export function fromFolder(folder: string): ReadMetadata {
  return async ({ fileName, role, maxBytes }) => {
    const isOlderRoot = /^\d+\.root\.json$/.test(fileName)
    return isOlderRoot ? undefined : readFileIfPresent(join(folder, `${role}.json`), maxBytes)
  }
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
