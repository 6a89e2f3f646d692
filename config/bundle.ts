// Bundles a program of src/: few files instead of hundreds, since reading those is most of what a short command takes. Types are checked
// elsewhere (`npm run check`). docs/decisions/0027-bundle.md says why.
import { basename, join } from 'node:path'
import { build } from 'esbuild'

/** The process with a PKCS#11 module, which src/pkcs11/token.ts starts: beside every program that has a key holder in it. */
const TOKEN_PROCESS = join(import.meta.dirname, '../src/pkcs11/token-process.ts')

/** @param entry a TypeScript file; @param outdir becomes the folder with the entry of the same name, and with what it loads when needed */
export async function bundle(entry: string, outdir: string): Promise<void> {
  await build({
    entryPoints: Object.fromEntries([entry, TOKEN_PROCESS].map((file) => [basename(file, '.ts'), file])),
    outdir,
    bundle: true,
    // Commands that need little load little: what is imported when it is needed has files of its own.
    splitting: true,
    format: 'esm',
    platform: 'node',
    // The oldest Node that package.json allows.
    target: 'node20.19',
    // Imports of @countersign/tuf lead to its sources.
    conditions: ['source'],
    // They find their addons beside themselves, and the second may be missing.
    external: ['better-sqlite3', 'pkcs11js'],
    sourcemap: 'linked',
    sourcesContent: false,
    // CommonJS packages ask for Node's own modules by `require`.
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
    },
    logLevel: 'warning',
  })
}
