// Every known trap of Notary v1 that concerns us has a test that is named after it; the others are listed with the reason.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'

const TRAPS = 38

/** Traps that no code of ours can fall into. */
const NOT_OURS: Readonly<Record<number, string>> = {
  13: 'configuration of a stock server: other kinds of auth than token are ignored there',
  14: 'order of checks inside a stock server',
  24: 'the server cannot renew a timestamp under an expired root; repo status warns half a year before',
  25: 'repair of a stock server; what would brick it is trap Q1',
  26: 'docker trust key load',
  27: 'docker trust signer remove',
  32: 'timestamps are never uploaded',
  34: 'caches of stock readers',
  38: 'encoder cache of a Go process',
}

const top = resolve(import.meta.dirname, '..')
const titles = readdirSync(top, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts') && !file.startsWith('house/'))
  .flatMap((file) => readFileSync(join(top, file), 'utf8').match(/trap Q\d+(, Q\d+)*/g) ?? [])
const named = new Set(titles.flatMap((title) => title.match(/\d+/g) ?? []).map(Number))

describe('the traps of Notary v1', () => {
  for (let trap = 1; trap <= TRAPS; trap++) {
    const reason = NOT_OURS[trap]
    if (reason === undefined) it(`Q${trap} has a test`, () => expect(named).to.include(trap))
    else it(`Q${trap} is not ours: ${reason}`, () => expect(named).not.to.include(trap))
  }
})
