// The images of a Compose file, as `docker compose config` prints it or as people write it: anchors, aliases and merges are followed, variables
// and other files are not, since what they stand for is Compose's to say. Only the nodes that lead to an image are read. Pure.
// Source: compose-spec 05-services.md (image, extends), 10-fragments.md, 12-interpolation.md, 14-include.md.
import { type Document, isAlias, isMap, isScalar, isSeq, type YAMLMap } from 'yaml'
import { parseStrictYaml, type YamlFault } from '../../strict-yaml.ts'
import { CliError } from '../errors.ts'

/** Aliases and merges that are followed in one file: more than people write, and few enough that nothing grows out of them. */
const MAX_FOLLOWED = 1000

/** Whether this is YAML or JSON with services, and no list of images. */
export function isComposeFile(text: string): boolean {
  if (!text.trimStart().startsWith('{')) return /^(?:services|"services"|'services')[ \t]*:(?:\s|$)/m.test(text)
  const { services } = membersOf(text)
  return typeof services === 'object' && services !== null && !('containerimage.digest' in services)
}

/**
 * The image of each service, each once, in the order of the file. A service without one is built and never pushed, as Compose has it.
 * @throws CliError IMAGE_LIST_MALFORMED, IMAGE_LIST_UNRESOLVED
 */
export function composeImages(text: string): readonly string[] {
  const parsed = parseStrictYaml(text)
  if (!parsed.ok) throw malformed(faultText(parsed.faults))
  const reader = new Reader(parsed.document)
  const top = reader.map(parsed.document.contents, 'the file')
  if (reader.member(top, 'include') !== undefined) throw unresolved('the file includes others')
  const services = reader.map(reader.member(top, 'services'), 'services')
  const images = services.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : '?'
    return imageOf(reader, name, reader.map(value, `service ${name}`)) ?? []
  })
  return [...new Set(images)]
}

function imageOf(reader: Reader, name: string, service: YAMLMap): string | undefined {
  const node = reader.member(service, 'image')
  if (node === undefined) {
    if (reader.member(service, 'extends') === undefined) return undefined
    throw unresolved(`service ${name} extends another one`)
  }
  const image = isScalar(node) ? node.value : undefined
  if (typeof image !== 'string') throw malformed(`the image of service ${name} is no text`)
  if (image.includes('$')) throw unresolved(`the image of service ${name} is made of variables`)
  return image
}

/** Looks members up through aliases and merges, and counts what it follows. */
class Reader {
  readonly #document: Document
  #followed = 0

  constructor(document: Document) {
    this.#document = document
  }

  /** @throws CliError IMAGE_LIST_MALFORMED */
  map(node: unknown, what: string): YAMLMap {
    const followed = this.#follow(node)
    if (isMap(followed)) return followed
    throw malformed(`${what} is no mapping`)
  }

  /** Undefined where there is none. What is written beside a merge comes before it, and of several merges the first. */
  member(map: YAMLMap, name: string): unknown {
    const own = this.#follow(map.get(name, true))
    if (own !== undefined) return own
    const merged = this.#follow(map.get('<<', true))
    for (const source of isSeq(merged) ? merged.items : merged === undefined ? [] : [merged]) {
      const found = this.member(this.map(source, 'what is merged by <<'), name)
      if (found !== undefined) return found
    }
    return undefined
  }

  #follow(node: unknown): unknown {
    let target = node
    while (isAlias(target)) {
      this.#count()
      target = target.resolve(this.#document)
      if (target === undefined) throw malformed('an alias has no anchor')
    }
    if (isMap(target)) this.#count()
    return target
  }

  #count(): void {
    this.#followed += 1
    if (this.#followed > MAX_FOLLOWED) throw malformed('too many aliases, merges and services')
  }
}

/** Of a JSON text, where it is an object. */
function membersOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

function faultText(faults: readonly YamlFault[]): string {
  return faults.map(({ line, code }) => (line === undefined ? code : `line ${line}: ${code}`)).join(', ')
}

function malformed(why: string): CliError {
  return new CliError('IMAGE_LIST_MALFORMED', `The Compose file cannot be read: ${why}.`, { next: RESOLVE })
}

function unresolved(why: string): CliError {
  return new CliError(
    'IMAGE_LIST_UNRESOLVED',
    `The Compose file does not say by itself which images are meant: ${why}.`,
    {
      next: RESOLVE,
    },
  )
}

const RESOLVE = 'Let Compose resolve it: docker compose config | countersign sign --from -'
