// The version of this program, from the one place that states it.
import { readFileSync } from 'node:fs'

/** Written in by the build of the single file, which has no package.json beside it. */
declare const COUNTERSIGN_VERSION: string | undefined

/** Read at call time, from package.json beside src and dist. */
export function programVersion(): string {
  if (typeof COUNTERSIGN_VERSION === 'string') return COUNTERSIGN_VERSION
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    readonly version?: unknown
  }
  if (typeof version !== 'string') throw new Error('package.json states no version')
  return version
}
