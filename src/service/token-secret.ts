// Secrets of tokens: made at random, shown once, kept as a hash.
import { createHash } from 'node:crypto'
import type { RandomSource } from '../domain/ports.ts'

/** Bytes of randomness: nobody guesses them, so a plain hash is enough to store. */
const SECRET_BYTES = 32
const SECRET = /^cs_[A-Za-z0-9_-]{43}$/

export function newSecret(random: RandomSource): string {
  return `cs_${Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url')}`
}

export function isSecret(text: string): boolean {
  return SECRET.test(text)
}

/** Hex SHA-256. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
