// What the documents name exists: links, headings, files, commands and their options, npm scripts, packages.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect } from 'chai'
import type { Command } from 'commander'
import { buildProgram } from '../../src/cli/program.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

const top = resolve(import.meta.dirname, '../..')
const DOCUMENTS = [
  ...readdirSync(top).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(top, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]

function read(path: string): string {
  return readFileSync(join(top, path), 'utf8')
}

/** Without blocks of code, whose brackets are no links. */
function prose(path: string): string {
  return read(path).replace(/^```[\s\S]*?^```/gm, '')
}

/** As GitHub makes anchors of headings. */
function anchorsOf(path: string): string[] {
  return [...prose(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** Command lines in blocks of console text, and whole ones in backticks; without the prompt. */
function commandLines(path: string): string[] {
  const blocks = [...read(path).matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  const typed = blocks.flatMap((block) => [...block.matchAll(/^[$#] (.+)$/gm)].map(([, line = '']) => line))
  const named = [...prose(path).matchAll(/`((?:countersign|npm) [^`]+)`/g)].map(([, line = '']) => line)
  return [...typed, ...named].map((line) => line.replace(/ +#.*$/, ''))
}

/** `countersign` and what follows, up to the end of that command. */
function countersignCalls(line: string): string[][] {
  return [...line.matchAll(/(?:^|[\s(|])countersign ([^|&;)\n]+)/g)].map(([, rest = '']) => rest.trim().split(/\s+/))
}

const program = await buildProgram({} as Terminal, () => Promise.resolve())

/** What is wrong with a call; undefined where the program knows the command and its options. */
function faultOf(words: readonly string[]): string | undefined {
  let command = program
  for (const word of words) {
    if (word === 'help') return undefined
    const next: Command | undefined = command.commands.find((one) => one.name() === word)
    if (next === undefined) break
    command = next
  }
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/=.*/, ''))
  const known = [...program.options, ...command.options].map(({ long }) => long)
  const unknown = options.filter((option) => !known.includes(option))
  if (unknown.length > 0) return `unknown ${unknown.join(' ')}`
  if (words[0]?.startsWith('--') === true) return undefined
  return command.commands.length > 0 ? 'no such command' : undefined
}

describe('the documents', () => {
  for (const path of DOCUMENTS) {
    it(`${path}: every link leads somewhere`, () => {
      const links = [...prose(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
      const dead = links
        .filter((target) => !/^[a-z]+:/.test(target))
        .filter((target) => {
          const [file = '', anchor] = target.split('#')
          const found = file === '' ? path : join(dirname(path), file)
          if (!existsSync(join(top, found))) return true
          return anchor !== undefined && !anchorsOf(found).includes(anchor)
        })
      expect(dead).to.deep.equal([])
    })

    it(`${path}: every file that it names is there`, () => {
      const names = read(path).match(/(?<![\w./~-])(?:test|src|tuf|docs|config|deploy|demo)\/[\w./-]*\w\/?/g) ?? []
      expect(names.filter((name) => !existsSync(join(top, name)))).to.deep.equal([])
    })

    it(`${path}: every command that it names is known`, () => {
      const calls = commandLines(path).flatMap(countersignCalls)
      const faults = calls.map((words) => [words.join(' '), faultOf(words)]).filter(([, fault]) => fault !== undefined)
      expect(faults).to.deep.equal([])
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
      const wanted = commandLines(path).flatMap((line) => [
        ...[...line.matchAll(/npm run ([\w:]+)/g)].map(([, name = '']) => name),
        ...(/npm test\b/.test(line) ? ['test'] : []),
      ])
      expect(wanted.filter((name) => !(name in scripts))).to.deep.equal([])
    })
  }

  it('would notice', () => {
    expect(faultOf(['sign', '--json', 'a:1'])).to.equal(undefined)
    expect(faultOf(['repo', 'status'])).to.equal(undefined)
    expect(faultOf(['repo'])).to.equal('no such command')
    expect(faultOf(['engrave', 'a:1'])).to.equal('no such command')
    expect(faultOf(['sign', '--loud', 'a:1'])).to.equal('unknown --loud')
    expect(countersignCalls('ID=$(countersign sign --no-wait a:1) || [ $? -eq 4 ]')).to.deep.equal([
      ['sign', '--no-wait', 'a:1'],
    ])
  })

  it('docs/cli.md has every command, and a section for each', () => {
    const headings = [...prose('docs/cli.md').matchAll(/^## (.+)$/gm)].flatMap(([, text = '']) => text.split(', '))
    const leaves = (command: Command, path: string): string[] =>
      command.commands.length === 0
        ? [path]
        : command.commands.flatMap((next) => leaves(next, `${path} ${next.name()}`.trim()))
    expect(headings).to.include.members(leaves(program, ''))
  })

  it('docs/decisions/0002-dependencies.md gives a reason for every package', () => {
    const rows =
      read('docs/decisions/0002-dependencies.md')
        .match(/^\| [^|]+/gm)
        ?.join(' ') ?? ''
    const packages = ['package.json', 'tuf/package.json'].flatMap((file) => {
      const manifest = JSON.parse(read(file)) as Record<string, Record<string, string> | undefined>
      return Object.keys({ ...manifest['dependencies'], ...manifest['devDependencies'] })
    })
    const listed = rows.split(/[\s,|]+/)
    expect(packages.filter((name) => !listed.includes(name))).to.deep.equal([])
  })
})
