// Strict hex, base64 and UTF-8: one spelling per value, so that bytes and text always map back to each other.
import { Buffer } from 'node:buffer'
import { TufError } from './errors.ts'

const HEX = /^(?:[0-9a-f]{2})*$/
/** With padding, and with no bits set in the last digit that belong to no byte. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Text of bytes that `encodeUtf8` made. @throws TypeError */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

export function encodeHex(bytes: Uint8Array): string {
  return bufferOver(bytes).toString('hex')
}

/** Lower-case hex with an even number of digits. @throws TufError ENCODING_HEX */
export function decodeHex(text: string): Uint8Array {
  if (!HEX.test(text)) throw new TufError('ENCODING_HEX', 'Not lower-case hexadecimal')
  return Buffer.from(text, 'hex')
}

/** Standard base64 with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return bufferOver(bytes).toString('base64')
}

/**
 * Standard base64 with padding, without line breaks and without stray bits in the last digit.
 * Stricter than Go (encoding/base64 StdEncoding), which skips CR and LF and ignores those bits: Go would write such a value
 * differently, so it could not be carried in Notary's normal form.
 * @throws TufError ENCODING_BASE64
 */
export function decodeBase64(text: string): Uint8Array {
  requireBase64(text)
  return Buffer.from(text, 'base64')
}

/** How many bytes `decodeBase64` gives. @throws TufError ENCODING_BASE64 */
export function base64Length(text: string): number {
  requireBase64(text)
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return (text.length / 4) * 3 - padding
}

function requireBase64(text: string): void {
  if (!BASE64.test(text)) throw new TufError('ENCODING_BASE64', 'Not standard base64 with padding')
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
