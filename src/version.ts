// The version of this program, from the one place that states it.
import { readFileSync } from 'node:fs'

/** Read at call time, from package.json beside src and dist. */
export function programVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    readonly version?: unknown
  }
  if (typeof version !== 'string') throw new Error('package.json states no version')
  return version
}
