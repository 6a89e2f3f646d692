// The moment when metadata expires, as Go writes and reads it.
import { TufError } from './errors.ts'

// Go time.RFC3339 as encoding/json reads it: upper-case T and Z, seconds present, any number of fraction digits.
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/

/**
 * Milliseconds are kept, what is below them is cut off: metadata expires at most a millisecond early.
 * Stricter than Go: at most nine fraction digits, offsets up to 23:59.
 * @throws TufError METADATA_EXPIRES
 */
export function parseExpires(text: string): Date {
  const match = RFC3339.exec(text)
  if (match === null) throw invalid()
  const [, year, month, day, hour, minute, second, fraction, sign, offsetHours, offsetMinutes] = match
  const numbers = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const milliseconds = Number((fraction ?? '').slice(0, 3).padEnd(3, '0'))
  const local = new Date(0)
  local.setUTCFullYear(numbers[0], numbers[1] - 1, numbers[2])
  local.setUTCHours(numbers[3], numbers[4], numbers[5], milliseconds)
  // A field out of range moves the date on.
  if (!local.toISOString().startsWith(text.slice(0, 19))) throw invalid()
  const offset = (Number(offsetHours ?? 0) * 60 + Number(offsetMinutes ?? 0)) * (sign === '-' ? -1 : 1)
  if (Number(offsetHours ?? 0) > 23 || Number(offsetMinutes ?? 0) > 59) throw invalid()
  return new Date(local.getTime() - offset * 60_000)
}

/** Whole seconds in UTC: Notary's normal form has no trailing zeros in a fraction. @throws TufError METADATA_EXPIRES */
export function formatExpires(at: Date): string {
  const text = Number.isNaN(at.getTime()) ? '' : at.toISOString()
  if (!/^\d{4}-/.test(text)) throw invalid()
  return `${text.slice(0, 19)}Z`
}

/** notary v0.7.0 tuf/signed/verify.go IsExpired: no leeway. */
export function isExpired(expiresAt: Date, now: Date): boolean {
  return expiresAt.getTime() < now.getTime()
}

function invalid(): TufError {
  return new TufError('METADATA_EXPIRES', 'An expiry is not a date as YYYY-MM-DDTHH:MM:SSZ')
}
