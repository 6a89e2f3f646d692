// What a run of a stock client left behind, without what differs between any two runs: keys, hashes, moments, hosts.
import { createHash } from 'node:crypto'

/** Reads one file of a repository; undefined where it is not there. */
export type ReadFile = (fileName: string) => Promise<Buffer | undefined>

const DAY_MS = 86_400_000

/** Gives every key ID, hash and host of one run a name: the same in two runs that meet theirs in the same order. */
export class Names {
  readonly #names = new Map<string, string>()

  /** From now on, in place of this text, that name. */
  set(text: string, name: string): void {
    this.#names.set(text, name)
  }

  of(id: string): string {
    const known = this.#names.get(id)
    if (known !== undefined) return known
    const name = `#${this.#names.size}`
    this.#names.set(id, name)
    return name
  }

  /** Text of a client, or a path. */
  in(text: string): string {
    let named = text
    for (const [known, name] of this.#names) if (!/^[0-9a-f]{64}$/.test(known)) named = named.replaceAll(known, name)
    return named
      .replaceAll(/[0-9a-f]{64}/g, (id) => this.of(id))
      .replaceAll(/\b[0-9a-f]{7}\b/g, '#short')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)/g, 'TIME')
      .replaceAll(/[ \t-]+/g, ' ')
      .replaceAll(/ +$/gm, '')
  }
}

interface File {
  readonly signed: {
    readonly _type: string
    readonly version: number
    readonly expires: string
    readonly keys?: Record<string, { keytype: string }>
    readonly roles?: Record<string, Role>
    readonly delegations?: { readonly keys: Record<string, { keytype: string }>; readonly roles: readonly Role[] }
    readonly meta?: Record<string, { hashes: Record<string, string>; length: number }>
    readonly targets?: Record<string, unknown>
  }
  readonly signatures: readonly { readonly keyid: string; readonly method: string }[]
}

interface Role {
  readonly name?: string
  readonly keyids: readonly string[] | null
  readonly threshold: number
  readonly paths?: readonly string[]
}

/** Every role of a repository as its clients find it: by name, then by the hashes of timestamp and snapshot. Undefined where there is none. */
export async function stateOf(read: ReadFile, names: Names): Promise<Record<string, unknown> | undefined> {
  const root = await read('root.json')
  const timestamp = await read('timestamp.json')
  if (root === undefined || timestamp === undefined) return undefined
  const state: Record<string, unknown> = { root: described(root, names), timestamp: described(timestamp, names) }
  const listed = [...metaOf(timestamp)]
  for (const [role, meta] of listed) {
    const hex = Buffer.from(meta.hashes['sha256'] ?? '', 'base64').toString('hex')
    const bytes = await read(`${role}.${hex}.json`)
    state[role] = bytes === undefined ? 'missing' : described(bytes, names)
    if (bytes === undefined) continue
    const plain = await read(`${role}.json`)
    const isWhole = matches(bytes, meta) && plain?.equals(bytes) === true
    if (!isWhole) state[role] = 'not what was listed'
    if (role === 'snapshot') listed.push(...metaOf(bytes))
  }
  return state
}

function metaOf(bytes: Buffer): (readonly [string, { hashes: Record<string, string>; length: number }])[] {
  const { meta = {} } = (JSON.parse(bytes.toString('utf8')) as File).signed
  return Object.entries(meta).sort(([a], [b]) => (a < b ? -1 : 1))
}

function matches(bytes: Buffer, { hashes, length }: { hashes: Record<string, string>; length: number }): boolean {
  const digest = (algorithm: string): string => createHash(algorithm).update(bytes).digest('base64')
  return length === bytes.byteLength && hashes['sha256'] === digest('sha256') && hashes['sha512'] === digest('sha512')
}

/** A file with names in place of keys, its time to live in days, and without what the caller checks: hashes and signatures. */
function described(bytes: Buffer, names: Names): unknown {
  const { signed, signatures } = JSON.parse(bytes.toString('utf8')) as File
  const { version, expires, keys = {}, roles = {}, delegations, meta = {}, targets, ...rest } = signed
  const role = ({ keyids, threshold, paths }: Role): string =>
    `${
      keyids
        ?.map((id) => names.of(id))
        .sort()
        .join(' ') ?? 'null'
    } / ${threshold}${paths === undefined ? '' : ` / ${JSON.stringify(paths)}`}`
  const typed = (all: Record<string, { keytype: string }>): string[] =>
    Object.entries(all)
      .map(([id, { keytype }]) => `${names.of(id)} ${keytype}`)
      .sort()
  return {
    ...rest,
    version,
    days: Math.round((Date.parse(expires) - Date.now()) / DAY_MS),
    roles: Object.entries(roles).map(([name, one]) => `${name}: ${role(one)}`),
    keys: typed(keys),
    delegations: delegations?.roles.map((one) => `${one.name ?? ''}: ${role(one)}`),
    delegationKeys: typed(delegations?.keys ?? {}),
    listed: Object.keys(meta).sort(),
    targets,
    signatures: signatures.map(({ keyid, method }) => `${names.of(keyid)} ${method}`).sort(),
  }
}
