// Reads the configuration file. Parsing it is parse.ts; there is no other place that opens it.
import { readFileSync } from 'node:fs'
import type { Environment } from './environment.ts'
import { ConfigError } from './errors.ts'
import { parseConfig } from './parse.ts'
import type { Config } from './schema.ts'

/** A configuration that was checked, its digest and the file that it came from (undefined: environment and defaults alone). */
export interface LoadedConfig {
  readonly config: Config
  readonly digest: string
  readonly file: string | undefined
}

/** Loads `file`, or nothing but the environment. @throws ConfigError CONFIG_UNREADABLE, CONFIG_INVALID (with all faults) */
export function loadConfig(file: string | undefined, env: Environment): LoadedConfig {
  const parsed = parseConfig(file === undefined ? '' : readText(file), env)
  if (!parsed.ok) throw invalidConfig(file, parsed.faults)
  return { config: parsed.config, digest: parsed.digest, file }
}

function invalidConfig(file: string | undefined, faults: ConfigError['faults']): ConfigError {
  const lines = faults.map(({ path, message }) => `  ${path === '' ? 'the configuration' : path} ${message}`)
  const where = file ?? 'The environment'
  return new ConfigError('CONFIG_INVALID', [`${where} is no valid configuration:`, ...lines].join('\n'), faults)
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError('CONFIG_UNREADABLE', `The configuration file ${file} cannot be read.`, [], { cause })
  }
}
