// PEM blocks with headers, as Go's encoding/pem writes and reads them. Knows nothing of what the blocks hold.
import { Buffer } from 'node:buffer'
import { decodeBase64, encodeBase64 } from './encoding.ts'

export interface PemBlock {
  readonly type: string
  /** In the order of the file; names as written. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

const BEGIN = /^-----BEGIN ([A-Z0-9]+(?: [A-Z0-9]+)*)-----$/
const HEADER = /^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)$/
const LINE_COLUMNS = 64

/**
 * Every block of a text; text between blocks is skipped, as Go skips it. Undefined where a block is broken.
 * A block is refused rather than skipped, unlike in Go, so that no key is left out silently.
 */
export function parsePem(text: string): readonly PemBlock[] | undefined {
  const blocks: PemBlock[] = []
  const lines = text.split(/\r?\n/)
  for (let at = 0; at < lines.length; at++) {
    const type = BEGIN.exec(lines[at]?.trimEnd() ?? '')?.[1]
    if (type === undefined) continue
    const end = lines.findIndex((line, index) => index > at && line.trimEnd() === `-----END ${type}-----`)
    if (end < 0) return undefined
    const block = parseBlock(type, lines.slice(at + 1, end))
    if (block === undefined) return undefined
    blocks.push(block)
    at = end
  }
  return blocks
}

function parseBlock(type: string, lines: readonly string[]): PemBlock | undefined {
  const headers = new Map<string, string>()
  let at = 0
  for (; at < lines.length; at++) {
    const match = HEADER.exec(lines[at] ?? '')
    if (match === null) break
    const [, name = '', value = ''] = match
    if (headers.has(name)) return undefined
    headers.set(name, value.trim())
  }
  try {
    return { type, headers, body: Buffer.from(decodeBase64(lines.slice(at).join('').replace(/[ \t]/g, ''))) }
  } catch {
    return undefined
  }
}

/** Go's bytes (encoding/pem Encode): headers sorted, an empty line after them, 64 columns, a newline at the end. */
export function encodePem(type: string, body: Uint8Array, headers: ReadonlyMap<string, string> = new Map()): string {
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\n`).sort()
  if (lines.length > 0) lines.push('\n')
  const base64 = encodeBase64(body)
  for (let at = 0; at < base64.length; at += LINE_COLUMNS) lines.push(`${base64.slice(at, at + LINE_COLUMNS)}\n`)
  return `-----BEGIN ${type}-----\n${lines.join('')}-----END ${type}-----\n`
}
