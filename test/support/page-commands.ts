// What a page of the documentation tells its reader to type, and the files that it shows: tests do what it says.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from './countersign-program.ts'

/** The commands of one section, without the prompt, in order: `$ `, or `# ` where root types them. */
export function commandsOf(page: string, heading: string): string[] {
  const blocks = [...sectionOf(page, heading).matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  return blocks.flatMap((block) => block.split('\n').flatMap((line) => (/^[$#] /.test(line) ? [line.slice(2)] : [])))
}

/** The arguments of a command of ours: words in quotes stay together, and what a page calls by an example is called by its name here. */
export function argumentsOf(command: string, names: ReadonlyMap<string, string>): string[] {
  const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word = '']) => quoted ?? word)
  return words.slice(1).map((word) => names.get(word) ?? word)
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
