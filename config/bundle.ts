// Bundles programs of src/: few files instead of hundreds, since reading those is most of what a short command takes. Types are checked
// elsewhere (`npm run check`). docs/decisions/0027-bundle.md says why.
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build, type BuildOptions } from 'esbuild'

/** The process with a PKCS#11 module, which src/pkcs11/token.ts starts: beside every program that has a key holder in it. */
const TOKEN_PROCESS = join(import.meta.dirname, '../src/pkcs11/token-process.ts')

const SHARED = {
  bundle: true,
  platform: 'node',
  // The oldest Node that package.json allows.
  target: 'node20.19',
  // Imports of @countersign/tuf lead to its sources.
  conditions: ['source'],
  // They find their addons beside themselves, and the second may be missing.
  external: ['better-sqlite3', 'pkcs11js'],
  logLevel: 'warning',
} as const satisfies BuildOptions

/** @param entry a TypeScript file; @param outdir becomes the folder with the entry of the same name, and with what it loads when needed */
export async function bundle(entry: string, outdir: string): Promise<void> {
  await build({
    ...SHARED,
    entryPoints: Object.fromEntries([entry, TOKEN_PROCESS].map((file) => [basename(file, '.ts'), file])),
    outdir,
    // Commands that need little load little: what is imported when it is needed has files of its own.
    splitting: true,
    format: 'esm',
    sourcemap: 'linked',
    sourcesContent: false,
    // CommonJS packages ask for Node's own modules by `require`.
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
    },
  })
}

/**
 * One file with nothing beside it. CommonJS, since Node takes a file without an ending for that: docker names its plugins so.
 * @param entry a TypeScript file; @param outfile what becomes of it, executable
 */
export async function bundleOneFile(entry: string, outfile: string): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    readonly version: string
  }
  await build({
    ...SHARED,
    entryPoints: [entry],
    outfile,
    format: 'cjs',
    define: { COUNTERSIGN_VERSION: JSON.stringify(version), 'import.meta.url': 'urlOfThisFile' },
    banner: { js: "const urlOfThisFile = require('node:url').pathToFileURL(__filename).href;" },
  })
}
