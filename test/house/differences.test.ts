// Every row of the table of differences from notary-server has a test that is named after it, or a recorded answer that names it.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { DIFFERENCES } from '../../src/trust-server/differences.ts'

const top = resolve(import.meta.dirname, '..')
const sources = readdirSync(top, { recursive: true, encoding: 'utf8' })
  .filter((file) => /^(trust-server|peer|long)\/.*\.test\.ts$/.test(file))
  .map((file) => readFileSync(join(top, file), 'utf8'))
/** In titles, and in tables of what differs. */
const NAMES = [/\(row (D\d+)\)/g, /row: '(D\d+)'/g, /^ {2}'.*': '(D\d+)',$/gm]
const named = new Set(sources.flatMap((text) => NAMES.flatMap((name) => [...text.matchAll(name)].map(([, id]) => id))))

describe('the differences from notary-server', () => {
  for (const { id, original } of DIFFERENCES) {
    it(`${id} is tested: notary-server ${original}`, () => expect(named).to.include(id))
  }

  it('are those that tests name, and no others', () => {
    expect([...named].filter((id) => !DIFFERENCES.some((row) => row.id === id))).to.deep.equal([])
  })
})
