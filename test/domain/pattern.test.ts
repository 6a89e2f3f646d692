import { expect } from 'chai'
import fc from 'fast-check'
import { matchesGlob, matchesPattern, parsePattern, patternCovers, patternsMeet } from '../../src/domain/pattern.ts'
import { expectCode } from '../support/expect-code.ts'

const matches = (pattern: string, text: string): boolean => matchesPattern(parsePattern(pattern), text)

describe('matchesPattern', () => {
  const cases: readonly [string, string, boolean][] = [
    ['*', 'registry.example.com/team/app', true],
    ['registry.example.com/*', 'registry.example.com/team/app', true],
    ['registry.example.com/*', 'registry.example.com.evil/app', false],
    ['registry.example.com/team/app', 'registry.example.com/team/app', true],
    ['registry.example.com/team/app', 'registry.example.com/team/app2', false],
    ['registry.example.com/team/app', 'xregistry.example.com/team/app', false],
    ['*/app', 'registry.example.com/team/app', true],
    ['*/app', 'registry.example.com/team/app2', false],
    ['registry.example.com/*/app', 'registry.example.com/a/b/app', true],
    ['r.*.com/x', 'rx.com/x', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['**', 'x', true],
    ['a.b/c', 'axb/c', false],
  ]
  for (const [pattern, text, expected] of cases) {
    it(`${pattern} ${expected ? 'matches' : 'does not match'} ${text}`, () => {
      expect(matches(pattern, text)).to.equal(expected)
    })
  }

  it('agrees with a regular expression', () => {
    const letters = fc
      .array(fc.constantFrom('a', 'b', '/', '*'), { minLength: 1, maxLength: 12 })
      .map((l) => l.join(''))
    const text = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 14 }).map((l) => l.join(''))
    fc.assert(
      fc.property(letters, text, (pattern, candidate) => {
        const expression = new RegExp(`^${pattern.replaceAll('*', '[^]*')}$`)
        expect(matches(pattern, candidate)).to.equal(expression.test(candidate))
      }),
    )
  })

  it('takes no exponential time', () => {
    // 40 stars against 250 characters that almost match: a backtracking matcher would not return.
    expect(matches(`${'a*'.repeat(40)}b`, 'a'.repeat(250))).to.equal(false)
  })
})

describe('patternCovers', () => {
  it('says yes only where every match of the inner is one of the outer', () => {
    const pattern = fc.array(fc.constantFrom('a', 'b', '*'), { minLength: 1, maxLength: 6 }).map((l) => l.join(''))
    const run = fc.array(fc.constantFrom('a', 'b'), { maxLength: 4 }).map((l) => l.join(''))
    fc.assert(
      fc.property(pattern, pattern, fc.array(run, { minLength: 6, maxLength: 6 }), (outer, inner, runs) => {
        fc.pre(patternCovers(parsePattern(outer), parsePattern(inner)))
        let index = 0
        const text = inner.replaceAll('*', () => runs[index++] ?? '')
        expect(matches(outer, text)).to.equal(true)
      }),
    )
  })

  it('says no for a wider pattern', () => {
    expect(patternCovers(parsePattern('r.example/team/*'), parsePattern('r.example/*'))).to.equal(false)
    expect(patternCovers(parsePattern('r.example/*'), parsePattern('r.example/team/*'))).to.equal(true)
  })
})

describe('parsePattern', () => {
  for (const text of ['', 'a b', 'a?', 'a{b}', 'ä', 'a'.repeat(301)]) {
    it(`refuses ${JSON.stringify(text.slice(0, 10))}`, () => {
      expectCode('GRANT_INVALID', () => parsePattern(text))
    })
  }
})

describe('patternsMeet', () => {
  /** Every text over these letters up to a length. */
  const texts = (letters: string, length: number): string[] => {
    const shorter = length === 0 ? [] : texts(letters, length - 1)
    if (length === 0) return ['']
    return [
      ...shorter,
      ...shorter
        .filter((text) => text.length === length - 1)
        .flatMap((text) => Array.from(letters).map((letter) => text + letter)),
    ]
  }

  it('says whether some text is matched by both: all short patterns', () => {
    const patterns = texts('ab*', 3)
    const words = texts('ab', 6)
    for (const one of patterns) {
      for (const other of patterns) {
        const isMet = words.some((word) => matchesGlob(one, word) && matchesGlob(other, word))
        expect(patternsMeet(one, other), `${one} and ${other}`).to.equal(isMet)
      }
    }
  })
})
