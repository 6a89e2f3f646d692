// Where the built program lies, so that other users of this machine can run it too: a checkout below a private home folder is copied.
import { chmodSync, cpSync, existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Scope } from './scope.ts'

/** The folder of this checkout. */
export const checkout = resolve(import.meta.dirname, '../..')

/** The entry point that `npm run build` made. @throws Error where it was not run */
export function builtProgram(): string {
  const entry = join(checkout, 'dist/main.js')
  if (!existsSync(entry)) throw new Error('The program is not built: run "npm run build" first.')
  return entry
}

/** The client in one file, as `npm run build` made it. @throws Error where it was not run */
export function builtClient(): string {
  return join(dirname(builtProgram()), 'countersign-client.cjs')
}

/** The entry point at a place that every user can reach. */
export function sharedProgram(scope: Scope): string {
  const entry = builtProgram()
  if (isOpen(checkout)) return entry
  const folder = scope.folder('program')
  chmodSync(folder, 0o755)
  for (const part of ['package.json', 'dist', 'node_modules']) {
    cpSync(join(checkout, part), join(folder, part), { recursive: true, verbatimSymlinks: true })
  }
  return join(folder, 'dist/main.js')
}

/** Whether every user may walk into that folder. */
export function isOpen(folder: string): boolean {
  const parent = dirname(folder)
  return (statSync(folder).mode & 0o001) !== 0 && (parent === folder || isOpen(parent))
}
