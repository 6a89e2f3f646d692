// Environment variables as settings: COUNTERSIGN_HTTP__LISTEN is http.listen of the daemon, COUNTERSIGN_TRUST_SERVERS__0__URL is
// trustServers[0].url. Pure: the environment comes in as an argument. Values never appear in a fault.
import { readStrictYaml } from '../strict-yaml.ts'
import type { SchemaNode } from './json-schema.ts'
import type { ConfigFault } from './errors.ts'

/** The environment, or a part of it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Which variables are settings of one configuration. */
export interface EnvironmentNames {
  readonly prefix: string
  /** Names with the prefix that other parts of the program read. */
  readonly reserved: ReadonlySet<string>
  /** Names with the prefix that are not meant for us. */
  readonly foreign: RegExp
}

/** The daemon's. Reserved: what the command line reads as a client, and where `serve` finds its configuration. */
export const DAEMON_NAMES: EnvironmentNames = {
  prefix: 'COUNTERSIGN_',
  reserved: new Set([
    'COUNTERSIGN_SERVER',
    'COUNTERSIGN_TOKEN',
    'COUNTERSIGN_TOKEN_FILE',
    'COUNTERSIGN_CA_FILE',
    'COUNTERSIGN_CLIENT_CERT_FILE',
    'COUNTERSIGN_CLIENT_KEY_FILE',
    'COUNTERSIGN_CLIENT_CONFIG',
    'COUNTERSIGN_OPERATOR_SOCKET',
    'COUNTERSIGN_OIDC',
    'COUNTERSIGN_OIDC_AUDIENCE',
    'COUNTERSIGN_OIDC_VARIABLE',
    'COUNTERSIGN_ID_TOKEN',
    'COUNTERSIGN_CONFIG',
  ]),
  // What Kubernetes puts into every pod when a Service is called `countersign`.
  foreign: /^COUNTERSIGN_(SERVICE_HOST|SERVICE_PORT|PORT)(_.*)?$/,
}

/** One setting from the environment: where it goes and what it is. */
export interface EnvironmentSetting {
  readonly variable: string
  readonly path: readonly (string | number)[]
  readonly value: unknown
}

/**
 * The settings of the environment in order of their names, and a fault for each variable that names no setting. `shape` is asked only
 * where a variable has to be looked up.
 */
export function environmentSettings(
  env: Environment,
  { prefix, reserved, foreign }: EnvironmentNames,
  shape: () => SchemaNode,
): {
  readonly settings: readonly EnvironmentSetting[]
  readonly faults: readonly ConfigFault[]
} {
  const settings: EnvironmentSetting[] = []
  const faults: ConfigFault[] = []
  let schema: SchemaNode | undefined
  for (const variable of Object.keys(env).sort()) {
    const text = env[variable]
    if (text === undefined || !variable.startsWith(prefix)) continue
    if (reserved.has(variable) || foreign.test(variable)) continue
    schema ??= shape()
    const found = locate(schema, variable.slice(prefix.length).split('__'))
    if (found === undefined) {
      faults.push({ path: `environment ${variable}`, message: 'names no setting' })
      continue
    }
    const value = readValue(text, found.node)
    if (value === undefined) faults.push({ path: `environment ${variable}`, message: 'cannot be read as this setting' })
    else settings.push({ variable, path: found.path, value })
  }
  return { settings, faults }
}

/** The variable that sets a path, as documented beside each setting: `http.listen` -> `COUNTERSIGN_HTTP__LISTEN`. */
export function variableOf(path: readonly (string | number)[], prefix: string = DAEMON_NAMES.prefix): string {
  return prefix + path.map((part) => upperSnake(String(part))).join('__')
}

function upperSnake(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()
}

function locate(
  schema: SchemaNode,
  segments: readonly string[],
): { readonly path: readonly (string | number)[]; readonly node: SchemaNode } | undefined {
  const path: (string | number)[] = []
  let nodes: readonly SchemaNode[] = [schema]
  for (const segment of segments) {
    const next: SchemaNode[] = []
    let part: string | number | undefined
    for (const node of nodes.flatMap(variants)) {
      if (node.items !== undefined && /^(0|[1-9][0-9]{0,3})$/.test(segment)) {
        part = Number(segment)
        next.push(node.items)
      }
      for (const [name, child] of Object.entries(node.properties ?? {})) {
        if (upperSnake(name) !== segment) continue
        part = name
        next.push(child)
      }
    }
    if (part === undefined) return undefined
    path.push(part)
    nodes = next
  }
  const [node] = nodes.flatMap(variants)
  return node === undefined ? undefined : { path, node }
}

function variants(node: SchemaNode): readonly SchemaNode[] {
  const choices = node.oneOf ?? node.anyOf
  return choices === undefined ? [node] : choices.flatMap(variants)
}

function readValue(text: string, node: SchemaNode): unknown {
  switch (node.type) {
    case 'integer':
    case 'number':
      return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : undefined
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined
    case 'array':
    case 'object':
      return readYaml(text)
    default:
      return text
  }
}

function readYaml(text: string): unknown {
  const read = readStrictYaml(text)
  return read.ok ? read.value : undefined
}
