// Docker's own folder of configuration, and authorities as docker keeps them: in a folder for each host.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readPublicFile } from './files.ts'
import type { Terminal } from './terminal.ts'

/** The largest file of authorities, in bytes. */
const MAX_CA_BYTES = 1024 * 1024

export function dockerFolder({ env, homeFolder }: Pick<Terminal, 'env' | 'homeFolder'>): string {
  const configured = env['DOCKER_CONFIG'] ?? ''
  return configured === '' ? join(homeFolder, '.docker') : configured
}

/**
 * The authorities that docker's configuration names for a trust server (`tls/HOST/*.crt`), or its engine's for a registry. Stricter than docker, these
 * take the place of the system's. docker/cli v28.2.2 cli/trust/trust.go certificateDirectory; docker v28.2.2 registry/registry.go ReadCertsDirectory.
 * @throws CliError FILE_UNREADABLE
 */
export async function authoritiesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => [])
  const files = names.filter((name) => name.endsWith('.crt')).sort()
  return Promise.all(
    files.map(async (name) => (await readPublicFile(join(folder, name), MAX_CA_BYTES)).toString('utf8')),
  )
}
