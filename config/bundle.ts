// Bundles a program of src/: few files instead of hundreds, since reading those is most of what a short command takes. Types are checked
// elsewhere (`npm run check`). docs/decisions/0027-bundle.md says why.
import { build } from 'esbuild'

/** @param entry a TypeScript file; @param outdir becomes the folder with the entry of the same name, and with what it loads when needed */
export async function bundle(entry: string, outdir: string): Promise<void> {
  await build({
    entryPoints: [entry],
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
    // It finds its addon beside itself.
    external: ['better-sqlite3'],
    // Errors tell the names of their classes, stacks those of functions.
    keepNames: true,
    sourcemap: 'linked',
    sourcesContent: false,
    // CommonJS packages ask for Node's own modules by `require`.
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
    },
    logLevel: 'warning',
  })
}
