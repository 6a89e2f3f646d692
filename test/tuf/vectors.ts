// Paths and readers of the Notary vectors. Test code only.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

const folder = resolve(import.meta.dirname, '../vectors/notary-v1')

export function vectorBytes(path: string): Buffer {
  return readFileSync(resolve(folder, path))
}

export function vectorText(path: string): string {
  return vectorBytes(path).toString('utf8')
}

/** Files that we trust, so the ordinary parser will do. */
export function vectorJson(path: string): unknown {
  return JSON.parse(vectorText(path))
}
