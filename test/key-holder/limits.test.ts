import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  checkServed,
  isTagAllowed,
  isTagLocked,
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

  for (const [what, text] of [
    ['an unknown name', 'repositories: []\nrepository: []'],
    ['an unknown name in a repository', 'repositories: [{gun: "*", tag: ["*"]}]'],
    ['no repositories', 'recordsPerHour: 1'],
    ['a repository without a GUN', 'repositories: [{tags: ["*"]}]'],
    ['a negative number', 'repositories: [{gun: "*", maxEntries: -1}]'],
    ['a fraction', 'repositories: [{gun: "*", maxEntries: 1.5}]'],
    ['a word for a number', 'repositories: [{gun: "*", maxEntries: many}]'],
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
