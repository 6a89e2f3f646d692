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
  return matchesGlob(pattern, text)
}

/** As `matchesPattern`, for patterns over other texts: tags, refs, identities. */
export function matchesGlob(pattern: string, text: string): boolean {
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

/** Whether some text is matched by both. */
export function patternsMeet(one: string, other: string): boolean {
  if (!isPrefixOfOther(literalStart(one), literalStart(other))) return false
  // Reachable positions of `other` while walking through `one`; the last position means that all of it was matched.
  let reachable = closeOverStars(other, new Set([0]))
  for (const mark of one) {
    const next = new Set<number>()
    for (const position of reachable) {
      if (mark === '*') {
        for (let later = position; later <= other.length; later++) next.add(later)
      } else if (other[position] === '*') {
        next.add(position)
      } else if (other[position] === mark) {
        next.add(position + 1)
      }
    }
    reachable = closeOverStars(other, next)
  }
  return reachable.has(other.length)
}

/** A star may match nothing. */
function closeOverStars(pattern: string, positions: Set<number>): Set<number> {
  for (const position of positions) if (pattern[position] === '*') positions.add(position + 1)
  return positions
}

function literalStart(pattern: string): string {
  const star = pattern.indexOf('*')
  return star < 0 ? pattern : pattern.slice(0, star)
}

function isPrefixOfOther(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one)
}
