// Every row of the table of differences from notary-server is about a numbered trap, and has a test that is named after it, or a recorded answer
// that names it.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { DIFFERENCES, OWN_TRAPS } from '../../src/trust-server/differences.ts'

const top = resolve(import.meta.dirname, '..')
const sources = readdirSync(top, { recursive: true, encoding: 'utf8' })
  .filter((file) => /^(trust-server|peer|long)\/.*\.test\.ts$/.test(file))
  .map((file) => readFileSync(join(top, file), 'utf8'))
/** In titles, and in tables of what differs. */
const NAMES = [/\(row (D\d+)\)/g, /row: '(D\d+)'/g, /^ {2}'.*': '(D\d+)',$/gm]
/** Known traps of Notary v1; findings of Cure53's audit of 2018; our own. */
const KNOWN_TRAPS = [
  ...Array.from({ length: 38 }, (_, index) => `Q${index + 1}`),
  ...Array.from({ length: 4 }, (_, index) => `TUF-01-00${index + 1}`),
  ...OWN_TRAPS.map(({ id }) => id),
]
const named = new Set(sources.flatMap((text) => NAMES.flatMap((name) => [...text.matchAll(name)].map(([, id]) => id))))

describe('the differences from notary-server', () => {
  for (const { id, trap, original } of DIFFERENCES) {
    it(`${id} is about traps that are known: ${trap}`, () => {
      expect(trap.split(', ').filter((one) => !KNOWN_TRAPS.includes(one))).to.deep.equal([])
    })
    it(`${id} is tested: notary-server ${original}`, () => expect(named).to.include(id))
  }

  it('use every trap of our own', () => {
    const used = new Set(DIFFERENCES.flatMap(({ trap }) => trap.split(', ')))
    expect(OWN_TRAPS.filter(({ id }) => !used.has(id))).to.deep.equal([])
  })

  it('are those that tests name, and no others', () => {
    expect([...named].filter((id) => !DIFFERENCES.some((row) => row.id === id))).to.deep.equal([])
  })
})
