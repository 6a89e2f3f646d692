// A script of the tests as a bundle, as the program is built: it starts in a quarter of the time that loading TypeScript takes.
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { bundle } from '../../config/bundle.ts'
import { checkout } from './countersign-program.ts'

const bundles = new Map<string, Promise<string>>()

/** The path to run; made once for each process of the tests, and gone with it. */
export function bundledScript(script: string): Promise<string> {
  const made = bundles.get(script) ?? make(script)
  bundles.set(script, made)
  return made
}

async function make(script: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'cs-bundle-'))
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true })
  })
  // What a bundle finds beside itself.
  copyFileSync(join(checkout, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'))
  await bundle(script, join(folder, 'dist'))
  return join(folder, 'dist', basename(script).replace(/\.ts$/, '.js'))
}
