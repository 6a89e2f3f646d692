// Patterns over GUNs: `*` matches any run of characters, nothing else is special. Pure.
import { DomainError } from './errors.ts'

/** A pattern such as `registry.example.com/team/*`. Made by `parsePattern` only. */
export type Pattern = string & { readonly brand: unique symbol }

/** Wider than a GUN, so that `*` can stand beside a full name. */
const MAX_PATTERN_LENGTH = 300
/** Characters of a GUN and the wildcard; anything else could never match. */
const PATTERN = /^[-A-Za-z0-9._:/[\]*]+$/

/** @throws DomainError GRANT_INVALID */
export function parsePattern(text: string): Pattern {
  if (text.length > MAX_PATTERN_LENGTH || !PATTERN.test(text)) {
    throw new DomainError(
      'GRANT_INVALID',
      'A repository pattern is a repository name in which * stands for anything.',
      {
        pattern: text.slice(0, MAX_PATTERN_LENGTH),
      },
    )
  }
  return text as Pattern
}

/**
 * Linear in practice: on a mismatch only the last `*` is extended, so no pattern makes the match exponential.
 * A text may hold `*` itself; then only a `*` of the pattern matches it, which is what `patternCovers` needs.
 */
export function matchesPattern(pattern: Pattern, text: string): boolean {
  let [p, t] = [0, 0]
  let star = -1
  let resume = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++
      resume = t
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++
      t++
    } else if (star >= 0) {
      p = star + 1
      t = ++resume
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/** Whether every text that `inner` matches is also matched by `outer`. Says no where it cannot tell. */
export function patternCovers(outer: Pattern, inner: Pattern): boolean {
  return matchesPattern(outer, inner)
}
