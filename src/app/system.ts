// The parts of the machine that the services take as arguments: time, identifiers, randomness, pauses.
import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, IdentifierSource, Pause, RandomSource } from '../domain/ports.ts'

export const systemClock: Clock = { now: () => new Date() }

export const systemRandom: RandomSource = { bytes: (count) => randomBytes(count) }

/** Pauses that end at once when the signal fires, and do not keep the process alive. */
export function systemPause(stopping: AbortSignal): Pause {
  // One listener for each repository that waits: many are no leak.
  setMaxListeners(0, stopping)
  return {
    wait: async (milliseconds) => {
      await sleep(milliseconds, undefined, { signal: stopping, ref: false }).catch(() => undefined)
    },
  }
}

/** Crockford's base 32 in lower case: digits first, so that text order is the order of numbers. */
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'
/** 50 bits of milliseconds: until the year 37,000. */
const TIME_DIGITS = 10
/** 80 random bits, so that two daemons never meet. */
const RANDOM_BYTES = 10

/** `req-01jd3x9k2m` and 16 random digits: sortable by time, 30 characters. */
export function timeSortedIdentifiers(clock: Clock, random: RandomSource): IdentifierSource {
  return {
    next: (prefix) => {
      const time = base32(BigInt(clock.now().getTime()), TIME_DIGITS)
      const rest = base32(
        BigInt(`0x${Buffer.from(random.bytes(RANDOM_BYTES)).toString('hex')}`),
        (RANDOM_BYTES * 8) / 5,
      )
      return `${prefix}-${time}${rest}`
    },
  }
}

function base32(value: bigint, digits: number): string {
  let text = ''
  for (let rest = value; text.length < digits; rest >>= 5n) text = (DIGITS[Number(rest & 31n)] ?? '') + text
  return text
}
