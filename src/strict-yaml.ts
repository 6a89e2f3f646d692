// YAML of configuration files, as people write it. What the parser would only warn of is refused; so is what could exhaust it: a text
// that is large or nested deeply ends the process inside the parser, where nothing can be caught. Pure.
import { type Document, parseDocument } from 'yaml'

/** Characters; some thousand repositories. The parser takes hundreds of bytes for each. */
export const MAX_YAML_LENGTH = 256 * 1024
/** Of each kind: open brackets, collections begun in one line, columns of indentation. The deepest setting needs six. */
const MAX_NESTING = 100

export interface YamlFault {
  /** From 1; absent: the whole text. */
  readonly line?: number
  /** The parser's code, or ours; never the text. */
  readonly code: string
}

export type StrictYaml =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly faults: readonly YamlFault[] }

/** The document, undefined members as they are; an empty text is null. `maxAliases`: how many `*name` may be followed. */
export function readStrictYaml(text: string, maxAliases = 0): StrictYaml {
  const parsed = parseStrictYaml(text)
  if (!parsed.ok) return parsed
  try {
    return { ok: true, value: parsed.document.toJS({ maxAliasCount: maxAliases }) as unknown }
  } catch {
    return { ok: false, faults: [{ code: 'ALIASES' }] }
  }
}

/** The nodes, for whoever reads a few of them: no `*name` and no `<<` has been followed. */
export function parseStrictYaml(
  text: string,
): { readonly ok: true; readonly document: Document } | { readonly ok: false; readonly faults: readonly YamlFault[] } {
  if (text.length > MAX_YAML_LENGTH) return { ok: false, faults: [{ code: 'TOO_LARGE' }] }
  if (isNestedTooDeeply(text)) return { ok: false, faults: [{ code: 'TOO_DEEP' }] }
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    uniqueKeys: true,
    prettyErrors: false,
    logLevel: 'silent',
  })
  const faults = [...document.errors, ...document.warnings].map(({ code, pos }) => ({
    line: text.slice(0, pos[0]).split('\n').length,
    code,
  }))
  return faults.length > 0 ? { ok: false, faults } : { ok: true, document }
}

/** Counts what may open a collection, in quotes and comments too: it may count too much, never too little. */
function isNestedTooDeeply(text: string): boolean {
  let brackets = 0
  let begun = 0
  for (const [mark] of text.matchAll(/[[\]{}\n]|[-?:](?=\s|$)/g)) {
    if (mark === '[' || mark === '{') brackets++
    else if (mark === ']' || mark === '}') brackets = Math.max(0, brackets - 1)
    else if (mark === '\n') begun = 0
    else begun++
    if (brackets > MAX_NESTING || begun > MAX_NESTING) return true
  }
  return new RegExp(`^[ \\t]{${MAX_NESTING},}\\S`, 'm').test(text)
}
