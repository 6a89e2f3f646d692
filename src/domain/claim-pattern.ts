// Patterns over claims: `*` matches any run of characters, nothing else is special. Pure.
import type { Pattern } from './pattern.ts'

const MAX_LENGTH = 512

/** Whether the text can be a pattern over claims, whose values have more characters than the names of repositories. */
export function isClaimPattern(text: string): text is Pattern {
  return text.length >= 1 && text.length <= MAX_LENGTH && !/\p{Cc}/u.test(text)
}

/** Whether it matches one text alone. */
export function isExact(pattern: string): boolean {
  return !pattern.includes('*')
}
