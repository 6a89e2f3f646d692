// From text and environment to a checked Config, or to the list of everything that is wrong with them. Pure.
import { createHash } from 'node:crypto'
import type * as z from 'zod'
import { readStrictYaml, type YamlFault } from '../strict-yaml.ts'
import {
  DAEMON_NAMES,
  environmentSettings,
  type Environment,
  type EnvironmentNames,
  type EnvironmentSetting,
} from './environment.ts'
import type { ConfigFault } from './errors.ts'
import { jsonSchemaOf } from './json-schema.ts'
import { configSchema, type Config } from './schema.ts'

/** How often parts of the document may be repeated by name. */
const MAX_ALIASES = 100

export type ParsedConfig = ParsedSettings<Config>

export type ParsedSettings<T> =
  | {
      readonly ok: true
      readonly config: T
      /** hex SHA-256 of the effective configuration */ readonly digest: string
    }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] }

/** A kind of configuration: its shape, and the environment variables that are part of it. */
export interface SettingsKind<T> extends EnvironmentNames {
  readonly schema: z.ZodType<T>
}

/** Reads the daemon's configuration. */
export function parseConfig(text: string, env: Environment = {}): ParsedConfig {
  return parseSettings({ ...DAEMON_NAMES, schema: configSchema }, text, env)
}

/** Reads a configuration. The environment wins over the text. All faults are reported at once, none with a value. */
export function parseSettings<T>(kind: SettingsKind<T>, text: string, env: Environment): ParsedSettings<T> {
  const read = readText(text)
  const environment = environmentSettings(env, kind, () => jsonSchemaOf(kind.schema, ''))
  const faults = [...read.faults, ...environment.faults]
  if (read.faults.length > 0) return { ok: false, faults }
  const document = environment.settings.reduce(apply, read.document)
  const parsed = kind.schema.safeParse(document)
  if (!parsed.success) return { ok: false, faults: firstPerPath([...faults, ...parsed.error.issues.flatMap(faultsOf)]) }
  if (faults.length > 0) return { ok: false, faults }
  return { ok: true, config: parsed.data, digest: digestOf(parsed.data) }
}

/** Hex SHA-256 of a configuration; equal for equal settings, whatever their order or spelling. */
export function digestOf(config: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(config)), 'utf8')
    .digest('hex')
}

function readText(text: string): { readonly document: unknown; readonly faults: readonly ConfigFault[] } {
  const read = readStrictYaml(text, MAX_ALIASES)
  if (read.ok) return { document: read.value ?? {}, faults: [] }
  return { document: {}, faults: read.faults.map(yamlFaultOf) }
}

function yamlFaultOf({ line, code }: YamlFault): ConfigFault {
  if (code === 'TOO_LARGE') return { path: '', message: 'is too large' }
  if (code === 'TOO_DEEP') return { path: '', message: 'is nested too deeply' }
  if (code === 'ALIASES') return { path: '', message: 'has aliases that cannot be resolved' }
  return { path: line === undefined ? '' : `line ${line}`, message: `is not YAML as expected here (${code})` }
}

function apply(document: unknown, { path, value }: EnvironmentSetting): unknown {
  const [head, ...rest] = path
  if (head === undefined) return value
  if (typeof head === 'number') {
    const list: unknown[] = Array.isArray(document) ? [...(document as unknown[])] : []
    // A gap (element 2 without element 1) stays visible as null, which the schema then reports.
    while (list.length < head) list.push(null)
    list[head] = apply(list[head], { variable: '', path: rest, value })
    return list
  }
  const object = typeof document === 'object' && document !== null && !Array.isArray(document) ? document : {}
  const child = (object as Readonly<Record<string, unknown>>)[head]
  return { ...object, [head]: apply(child, { variable: '', path: rest, value }) }
}

function faultsOf(issue: z.core.$ZodIssue): ConfigFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: 'is not a setting' }))
  }
  return [{ path: pathOf(issue.path), message: issue.message }]
}

/** What follows from a fault is no second one. */
function firstPerPath(faults: readonly ConfigFault[]): ConfigFault[] {
  return faults.filter(({ path }, index) => faults.findIndex((fault) => fault.path === path) === index)
}

function pathOf(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, member]) => [name, sorted(member)]),
  )
}
