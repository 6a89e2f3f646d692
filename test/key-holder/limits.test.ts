import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseGun, parseRoleName } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  checkServed,
  isTagAllowed,
  isTagLocked,
  lifetimeOf,
  limitsFor,
  parseLimits,
  readLimits,
} from '../../src/key-holder/limits.ts'
import { matchesPattern } from '../../src/key-holder/patterns.ts'
import { expectCode } from '../support/expect-code.ts'

const TEXT = `
repositories:
  - gun: registry.example.com/team/secret
    tags: ["rc-*"]
  - gun: "registry.example.com/team/*"
    initialize: true
    lockedTags: ["v*"]
`

function limits(text: string) {
  return parseLimits(Buffer.from(text))
}

describe('patterns', () => {
  for (const [pattern, text, matches] of [
    ['*', '', true],
    ['*', 'anything/at-all', true],
    ['v*', 'v1', true],
    ['v*', 'w1', false],
    ['*-rc', '1-rc', true],
    ['a*b*c', 'a--b--c', true],
    ['a*b*c', 'acb', false],
    ['a*a', 'a', false],
    ['a.c', 'abc', false],
    ['a?c', 'abc', false],
    ['[a]', 'a', false],
    ['ab*ba', 'aba', false],
    ['', '', true],
    ['', 'x', false],
  ] as const) {
    it(`${pattern} ${matches ? 'matches' : 'does not match'} ${text}`, () => {
      expect(matchesPattern(pattern, text)).to.equal(matches)
    })
  }

  it('agree with the same pattern as a regular expression', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 })
    fc.assert(
      fc.property(letters, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 }), (pattern, text) => {
        const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(text)
        expect(matchesPattern(pattern, text)).to.equal(expected)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('the limits file', () => {
  it('has its first match win', () => {
    const secret = limitsFor(limits(TEXT), parseGun('registry.example.com/team/secret'))
    expect(secret.initialize).to.equal(false)
    expect(isTagAllowed(secret, 'rc-1')).to.equal(true)
    expect(isTagAllowed(secret, 'v1')).to.equal(false)
    const app = limitsFor(limits(TEXT), parseGun('registry.example.com/team/app'))
    expect(app.initialize).to.equal(true)
    expect(isTagLocked(app, 'v1')).to.equal(true)
    expect(isTagLocked(app, 'latest')).to.equal(false)
  })

  it('refuses a repository that no pattern names', () => {
    expectCode('LIMIT_GUN', () => limitsFor(limits(TEXT), parseGun('registry.example.com/other/app')))
  })

  it('lets repositories be served only where the first pattern that matches says so', () => {
    const text = 'repositories:\n  - { gun: "r.example.com/a/*", serve: true }\n  - { gun: "r.example.com/*" }'
    checkServed(limits(text), parseGun('r.example.com/a/app'))
    for (const gun of ['r.example.com/b', 'other.example.com/a']) {
      expectCode('SERVED_REPOSITORY_NOT_ALLOWED', () => {
        checkServed(limits(text), parseGun(gun))
      })
    }
  })

  it('has a digest that follows the bytes', () => {
    expect(limits(TEXT).digest).to.match(/^[0-9a-f]{64}$/)
    expect(limits(TEXT).digest).to.not.equal(limits(`${TEXT}\n`).digest)
  })

  it('gives lives within bounds, and those of notary where it says nothing', () => {
    const bounds = {
      root: [365, 3650],
      targets: [30, 3650],
      delegations: [30, 3650],
      snapshot: [30, 3650],
      timestamp: [2, 30],
    }
    const usual = { root: 3650, targets: 1095, delegations: 1095, snapshot: 1095, timestamp: 14 }
    const role = fc.constantFrom(...(Object.keys(bounds) as (keyof typeof bounds)[]))
    const life = fc.oneof(fc.integer({ min: -10, max: 40 }), fc.integer({ min: 300, max: 4000 }), fc.double())
    fc.assert(
      fc.property(role, life, (name, days) => {
        const text = JSON.stringify({ repositories: [{ gun: '*', lifetimeDays: { [name]: days } }] })
        const [least, most] = bounds[name] as [number, number]
        if (Number.isInteger(days) && days >= least && days <= most) {
          const one = limitsFor(limits(text), parseGun('registry.example.com/app'))
          expect(one.lifetimeDays).to.deep.equal({ ...usual, [name]: days })
          const asked = name === 'delegations' ? 'targets/releases' : name
          expect(lifetimeOf(one, parseRoleName(asked))).to.equal(days * 86_400_000)
        } else {
          expectCode('LIMITS_FILE_INVALID', () => limits(text))
        }
      }),
      { numRuns: 500 },
    )
    expect(limitsFor(limits(TEXT), parseGun('registry.example.com/team/app')).lifetimeDays).to.deep.equal(usual)
  })

  for (const [what, text] of [
    ['an unknown name', 'repositories: []\nrepository: []'],
    ['an unknown name in a repository', 'repositories: [{gun: "*", tag: ["*"]}]'],
    ['no repositories', 'recordsPerHour: 1'],
    ['a repository without a GUN', 'repositories: [{tags: ["*"]}]'],
    ['a negative number', 'repositories: [{gun: "*", maxEntries: -1}]'],
    ['a fraction', 'repositories: [{gun: "*", maxEntries: 1.5}]'],
    ['a word for a number', 'repositories: [{gun: "*", maxEntries: many}]'],
    ['the life of an unknown role', 'repositories: [{gun: "*", lifetimeDays: {releases: 90}}]'],
    ['a name twice', 'repositories: []\nrepositories: []'],
    ['a pattern with a space', 'repositories: [{gun: "a b"}]'],
    ['an alias', 'a: &a [1]\nrepositories: *a'],
    ['no YAML', '{'],
    ['nothing', ''],
  ] as const) {
    it(`is refused with ${what}`, () => {
      expectCode('LIMITS_FILE_INVALID', () => limits(text))
    })
  }

  it('is refused when others can write it, or when it is not there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-limits-'))
    const path = join(folder, 'limits.yaml')
    try {
      expectCode('LIMITS_FILE_INVALID', () => readLimits(path))
      writeFileSync(path, TEXT, { mode: 0o644 })
      expect(readLimits(path).repositories).to.have.length(2)
      chmodSync(path, 0o664)
      expectCode('LIMITS_FILE_INVALID', () => readLimits(path))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
