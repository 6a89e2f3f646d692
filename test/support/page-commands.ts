// What a page of the documentation tells its reader to type, and the files that it shows: tests do what it says.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from './countersign-program.ts'

/** The commands of one section, without the prompt, in order. */
export function commandsOf(page: string, heading: string): string[] {
  const blocks = [...sectionOf(page, heading).matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  return blocks.flatMap((block) => block.split('\n').flatMap((line) => (line.startsWith('$ ') ? [line.slice(2)] : [])))
}

/** Blocks of YAML whose first line is a comment with a path, by that path. */
export function filesOf(page: string, heading: string): ReadonlyMap<string, string> {
  const blocks = [...sectionOf(page, heading).matchAll(/^```yaml\n# (\S+\.yaml)\n([\s\S]*?)^```/gm)]
  return new Map(blocks.map(([, path = '', text = '']) => [path, text]))
}

function sectionOf(page: string, heading: string): string {
  const text = readFileSync(join(checkout, page), 'utf8')
  const start = text.indexOf(`\n## ${heading}\n`)
  if (start < 0) throw new Error(`${page} has no section "${heading}".`)
  return text.slice(start + 1).split('\n## ')[0] ?? ''
}
