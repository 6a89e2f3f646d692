// The client configuration file: what it may hold. Its place, and what wins over it, is in client-config.ts.
import { dirname, resolve } from 'node:path'
import * as z from 'zod'
import { readStrictYaml } from '../strict-yaml.ts'
import { CliError } from './errors.ts'
import { OIDC_PROVIDERS, type OidcProvider } from './workload-login.ts'

const clientConfigSchema = z.strictObject({
  server: z.string().optional(),
  tokenFile: z.string().min(1).optional(),
  caFile: z.string().min(1).optional(),
  oidc: z.enum(OIDC_PROVIDERS).optional(),
  oidcAudience: z.string().min(1).max(255).optional(),
})

export interface ClientConfig {
  readonly path: string
  readonly server?: string
  readonly tokenFile?: string
  readonly caFile?: string
  readonly oidc?: OidcProvider
  readonly oidcAudience?: string
}

/** @param path where the text stands @throws CliError CLIENT_CONFIG_INVALID */
export function parseClientConfig(text: string, path: string): ClientConfig {
  const parsed = clientConfigSchema.safeParse(parseDocument(text, path))
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the document'}: ${issue.message}`)
    throw invalidConfig(path, faults.join('; '))
  }
  const { server, tokenFile, caFile, oidc, oidcAudience } = parsed.data
  const absolute = (file: string) => resolve(dirname(path), file)
  return {
    path,
    ...(server !== undefined && { server }),
    ...(tokenFile !== undefined && { tokenFile: absolute(tokenFile) }),
    ...(caFile !== undefined && { caFile: absolute(caFile) }),
    ...(oidc !== undefined && { oidc }),
    ...(oidcAudience !== undefined && { oidcAudience }),
  }
}

function parseDocument(text: string, path: string): unknown {
  const read = readStrictYaml(text)
  if (!read.ok) throw invalidConfig(path, `it is not YAML as expected (${read.faults[0]?.code ?? ''})`)
  return read.value ?? {}
}

function invalidConfig(path: string, what: string, cause?: unknown): CliError {
  return new CliError('CLIENT_CONFIG_INVALID', `The client configuration file ${path} is not valid: ${what}.`, {
    facts: { file: path },
    next: 'It may hold server, tokenFile, caFile, oidc and oidcAudience, and nothing else.',
    cause,
  })
}
