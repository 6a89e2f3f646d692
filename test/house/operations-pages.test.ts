// Every section of docs/operations with commands is run by a test, which reads them from the page and names page and heading.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'

const top = resolve(import.meta.dirname, '../..')
const PAGES = readdirSync(join(top, 'docs/operations')).map((name) => `docs/operations/${name}`)
const TESTS = readdirSync(join(top, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.startsWith('house/'))
  .map((name) => readFileSync(join(top, 'test', name), 'utf8'))
  .filter((text) => /\bcommandsOf\(/.test(text))

/** Headings of the sections in which somebody is told to type. */
function headingsWithCommands(page: string): string[] {
  const [, ...sections] = readFileSync(join(top, page), 'utf8').split('\n## ')
  return sections.filter((text) => text.includes('\n```console\n')).map((text) => text.split('\n')[0] ?? '')
}

describe('the pages of docs/operations', () => {
  for (const page of PAGES) {
    it(`${page}: every section with commands is run by a test`, () => {
      const tests = TESTS.filter((text) => text.includes(`'${page}'`))
      const unrun = headingsWithCommands(page).filter(
        (heading) => !tests.some((text) => text.includes(`'${heading}'`) || text.includes(`"${heading}"`)),
      )
      expect(unrun).to.deep.equal([])
    })
  }
})
