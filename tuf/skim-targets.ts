// Large targets files at a trust server, which signs none of what stands in them: every entry is checked for its form where it lies,
// and nothing is built of it. What is left of the file without its entries is read as any other file. Only the plain form that nearly
// all entries have is known here; whatever else there is leaves the file to the parser, and so does every fault.
import { Buffer } from 'node:buffer'
import { sha256Hex } from './digest.ts'
import { TufError } from './errors.ts'
import type { RoleName } from './role.ts'
import { METADATA_LIMITS, verifyNormalFormFile, type Received } from './signed.ts'
import { parseTargets, type TargetsMetadata } from './targets.ts'

/** A targets file whose entries were only looked at. */
export interface SkimmedTargets {
  /** All of it, but for `targets`, which is empty here and in `signed`. */
  readonly file: Received<TargetsMetadata>
  /** The names of its targets, in order. */
  readonly names: readonly string[]
}

const START = '{"signed":'
/** Where the entries begin: members stand in the order of their names. */
const BEFORE_ENTRIES = /,"expires":"[0-9TZ:.+-]{1,40}","targets":\{/
/**
 * One entry, with the comma or brace behind it: a name of printable ASCII that no encoder escapes, SHA-256, perhaps SHA-512, and a
 * length that is a safe integer; digests in the one spelling of base64 (encoding.ts).
 */
const ENTRY =
  /"([ !#-%'-;=?-[\]-~]*)":\{"hashes":\{"sha256":"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="(?:,"sha512":"[A-Za-z0-9+/]{85}[AQgw]==")?\},"length":(?:0|[1-9][0-9]{0,14})\}([,}])/y
const AFTER_ENTRIES = /,"version":[1-9][0-9]{0,9}\}(?=,"signatures":\[)/y
/** Two objects each; the parser takes a million (json.ts). */
const MAX_ENTRIES = 400_000

/**
 * The file, where it is in Notary's normal form and all of its entries are plain; undefined where the parser must tell. What is
 * returned has passed what `parseTargets` and `verifyNormalFormFile` would have asked.
 */
export function skimTargets(bytes: Uint8Array, role: RoleName): SkimmedTargets | undefined {
  if (bytes.byteLength > METADATA_LIMITS.maxBytes) return undefined
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // One byte is one character, so that places in the text are places in the file.
  const text = raw.toString('latin1')
  const before = text.startsWith(START) ? BEFORE_ENTRIES.exec(text) : null
  if (before === null) return undefined
  const start = before.index + before[0].length
  const entries = skimEntries(text, start)
  if (entries === undefined) return undefined
  AFTER_ENTRIES.lastIndex = entries.end + 1
  if (!AFTER_ENTRIES.test(text)) return undefined
  const signedEnd = AFTER_ENTRIES.lastIndex
  const rest = readRest(Buffer.concat([raw.subarray(0, start), raw.subarray(entries.end)]), role)
  // With an escape in it the canonical text is another one than the file's.
  const restSigned = signedEnd - START.length - (entries.end - start)
  if (rest?.message.byteLength !== restSigned) return undefined
  const message = raw.subarray(START.length, signedEnd)
  return { file: { ...rest, bytes, sha256: sha256Hex(bytes), message }, names: entries.names }
}

/** `end` is the place of the closing brace. */
function skimEntries(
  text: string,
  start: number,
): { readonly names: readonly string[]; readonly end: number } | undefined {
  const names: string[] = []
  if (text[start] === '}') return { names, end: start }
  let previous: string | undefined
  ENTRY.lastIndex = start
  while (names.length < MAX_ENTRIES) {
    const [, name, separator] = ENTRY.exec(text) ?? []
    // Ascending names: sorted as encoders do it, and none twice. For ASCII the order of texts is that of bytes.
    if (name === undefined || (previous !== undefined && name <= previous)) return undefined
    names.push(name)
    if (separator === '}') return { names, end: ENTRY.lastIndex - 1 }
    previous = name
  }
  return undefined
}

function readRest(bytes: Buffer, role: RoleName): Received<TargetsMetadata> | undefined {
  try {
    const file = parseTargets(bytes, role)
    verifyNormalFormFile(file)
    return file
  } catch (error) {
    // The parser gives the reason, having read all of it.
    if (error instanceof TufError) return undefined
    throw error
  }
}
