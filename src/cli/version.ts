// The version of this program, from the one place that states it.
import { readFileSync } from 'node:fs'
import { z } from 'zod'

const manifestSchema = z.object({ version: z.string() })

/** Read at call time: src/cli and dist/cli stand at the same depth below package.json. */
export function programVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifestSchema.parse(manifest).version
}
