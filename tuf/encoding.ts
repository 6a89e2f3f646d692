// Strict hex, base64 and UTF-8: one spelling per value, so that bytes and text always map back to each other.
import { Buffer } from 'node:buffer'
import { TufError } from './errors.ts'

const HEX = /^(?:[0-9a-f]{2})*$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const encoder = new TextEncoder()

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
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
  if (BASE64.test(text)) {
    const bytes = Buffer.from(text, 'base64')
    if (!text.endsWith('=') || bytes.toString('base64') === text) return bytes
  }
  throw new TufError('ENCODING_BASE64', 'Not standard base64 with padding')
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
