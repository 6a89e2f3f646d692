// Prints the effective configuration as YAML. Secrets are never in it: it names their files. What looks like one is masked all the same.
import { stringify } from 'yaml'
import { SECRET_MARK } from './secret.ts'
import type { Config } from './schema.ts'
import { printDuration, printSize } from './units.ts'

const DURATIONS =
  /^(connect|headers|total|timeout|headersTimeout|requestTimeout|shutdownTimeout|wait|patience|contention|before|every|fullEvery|grace|targetsBefore|delegationsBefore|spread|checkpointEvery|clockSkew|maxAge|tokenLifetime|alertAfter)$/
const SIZES = /^(manifest|maxHeaderSize|bodyBytes)$/
const SECRETS = /(password|secret|passphrase|token)$/i

/** YAML that parseConfig reads back to the same configuration. */
export function printConfig(config: Config): string {
  return stringify(printable(config, ''))
}

function printable(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((element) => printable(element, ''))
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, member]) => member !== undefined)
    return Object.fromEntries(entries.map(([key, member]) => [key, printable(member, key)]))
  }
  if (SECRETS.test(name)) return SECRET_MARK
  if (typeof value === 'number' && DURATIONS.test(name)) return printDuration(value)
  if (typeof value === 'number' && SIZES.test(name)) return printSize(value)
  return value
}
