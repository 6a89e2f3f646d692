// Makes dist/ from src/: few files instead of hundreds, since reading those is most of what a short command takes. Types are checked elsewhere
// (`npm run check`). docs/decisions/0027-bundle.md says why.
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const top = join(dirname(fileURLToPath(import.meta.url)), '..')

rmSync(join(top, 'dist'), { recursive: true, force: true })
await build({
  absWorkingDir: top,
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
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
