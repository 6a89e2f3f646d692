// Files in the repository that are made from the source. Tests hold the files against this; run as a program, it writes them:
//   node --import=tsx --conditions=source test/support/generated.ts
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { configJsonSchema } from '../../src/config/json-schema.ts'
import { errorsMarkdown } from '../../src/http/error-docs.ts'
import { differencesTable } from '../../src/trust-server/differences.ts'

const top = resolve(import.meta.dirname, '../..')

/** Path from the top of the repository -> what it must hold. */
export const GENERATED: Readonly<Record<string, () => Promise<string>>> = {
  'docs/errors.md': () => Promise.resolve(errorsMarkdown()),
  'config/countersign.schema.json': async () => {
    const path = join(top, 'config/countersign.schema.json')
    return format(JSON.stringify(configJsonSchema()), { ...(await resolveConfig(path)), filepath: path })
  },
  // Of this page the table alone is made.
  'docs/trust-server.md': () =>
    Promise.resolve(
      readGenerated('docs/trust-server.md').replace(
        /(<!-- differences: [^\n]*-->\n)[^]*(<!-- end of differences -->)/,
        (_, begin: string, end: string) => `${begin}\n${differencesTable()}\n\n${end}`,
      ),
    ),
}

/** What the file holds now. */
export function readGenerated(path: string): string {
  return readFileSync(join(top, path), 'utf8')
}

if (process.argv[1] === import.meta.filename) {
  for (const [path, make] of Object.entries(GENERATED)) writeFileSync(join(top, path), await make())
}
