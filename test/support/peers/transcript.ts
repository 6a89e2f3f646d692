// What a run of a stock client left behind, without what differs between any two runs: keys, hashes, moments, hosts.
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'
import type { CommandResult } from '../processes.ts'
import { startRecordingProxy, type Exchange, type RecordingProxy } from './recording-proxy.ts'
import type { TokenServer } from './token-server.ts'

/** One command of a client. */
export interface Step {
  readonly title: string
  readonly exit: number
  readonly output: readonly string[]
  readonly requests: readonly string[]
  /** Of the tokens that it asked for. */
  readonly scopes: readonly string[]
  /** The metadata afterwards; a word where it is as before. */
  readonly state: unknown
}

export interface Site {
  /** For clients: a proxy before the server. */
  readonly url: string
  readonly host: string
  readonly ca: TestCa
  readonly caFile: string
  readonly proxy: RecordingProxy
  /** Of the test's own reads. */
  readonly headers: Readonly<Record<string, string>>
  /** What was asked of a token server elsewhere; absent: of the server itself. */
  readonly tokens?: TokenServer
}

/** A server with a proxy before it. */
export async function siteOf(
  scope: Scope,
  server: { readonly url: string; readonly ca: TestCa; readonly caFile: string },
  o: { readonly headers?: Readonly<Record<string, string>>; readonly tokens?: TokenServer } = {},
): Promise<Site> {
  const { ca, caFile } = server
  const proxy = await startRecordingProxy(scope, ca, server.url)
  return { url: proxy.url, host: proxy.host, ca, caFile, proxy, headers: {}, ...o }
}

/** What a script of commands does at one server. */
export class Transcript {
  readonly steps: Step[] = []
  readonly names = new Names()
  readonly #site: Site
  readonly #gun: string
  #timestamp: string | undefined
  #asked: number

  constructor(site: Site, gun: string) {
    this.#site = site
    this.#gun = gun
    this.#asked = site.tokens?.requests.length ?? 0
    this.names.set(site.host, 'HOST')
    this.names.set(gun, 'GUN')
  }

  async note(title: string, { status, text }: CommandResult): Promise<void> {
    const { proxy } = this.#site
    const output = this.names
      .in(text)
      .split('\n')
      .filter((line) => line.trim() !== '')
    const exchanges = proxy.take()
    const requests = exchanges.filter(({ path }) => !isForToken(path)).map((one) => this.#line(one))
    const scopes = this.#scopes(exchanges).map((one) => this.names.in(one))
    // Whatever changes, the timestamp does.
    const timestamp = (await this.#read('timestamp.json'))?.toString()
    const isChanged = timestamp !== this.#timestamp
    this.#timestamp = timestamp
    const state = isChanged ? await stateOf((name) => this.#read(name), this.names) : AS_BEFORE
    this.steps.push({ title, exit: status, output, requests, scopes, state })
  }

  #read(name: string): Promise<Buffer | undefined> {
    return this.#site.proxy.read(`/v2/${this.#gun}/_trust/tuf/${name}`, this.#site.headers)
  }

  #scopes(exchanges: readonly Exchange[]): string[] {
    const { tokens } = this.#site
    if (tokens === undefined) return exchanges.flatMap(({ path }) => (isForToken(path) ? scopesIn(path) : []))
    const found = tokens.requests.slice(this.#asked).flatMap(({ scopes }) => scopes)
    this.#asked = tokens.requests.length
    return found
  }

  #line({ method, path, parts, status, refusal, challenge = '', authorization = '' }: Exchange): string {
    // notary-server names the actions in any order.
    const actions = /[^:]*$/.exec(challenge)?.[0] ?? ''
    const scope = challenge.slice(0, challenge.length - actions.length) + actions.split(',').sort().join()
    return this.names.in([method, path, authorization, ...parts, '->', status, ...refusal, scope].join(' '))
  }
}

const AS_BEFORE = 'as before'

/** Every step by itself, so that a failure shows the one that differs. @throws AssertionError */
export function expectSame(
  ours: readonly Step[],
  original: readonly Step[],
  except: Readonly<Record<string, Difference>>,
): void {
  expect(ours.map(({ title }) => title)).to.deep.equal(original.map(({ title }) => title))
  for (const [index, step] of ours.entries()) {
    if (except[step.title] === undefined) expect(step).to.deep.equal(original[index])
  }
}

/** How a step ends. */
export interface Outcome {
  readonly exit: number
  /** Of the last request and its answer. */
  readonly request: RegExp
  /** Whether the metadata did. */
  readonly isChanged: boolean
}

/** A step that ends otherwise at the two servers, and the row of the table of differences that says why. */
export interface Difference {
  readonly row: string
  readonly ours: Outcome
  readonly original: Outcome
}

/** @throws AssertionError */
export function expectOutcome(steps: readonly Step[], title: string, { exit, request, isChanged }: Outcome): void {
  const step = steps.find((one) => one.title === title)
  expect(step?.exit, title).to.equal(exit)
  expect(step?.requests.at(-1), title).to.match(request)
  expect(step?.state !== AS_BEFORE, title).to.equal(isChanged)
}

function isForToken(path: string): boolean {
  return path.startsWith('/token?')
}

function scopesIn(path: string): string[] {
  return new URL(path, 'https://localhost').searchParams.getAll('scope')
}

/** Reads one file of a repository; undefined where it is not there. */
type ReadFile = (fileName: string) => Promise<Buffer | undefined>

const DAY_MS = 86_400_000

/** Gives every key ID, hash and host of one run a name: the same in two runs that meet theirs in the same order. */
class Names {
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
      .replaceAll(/\b([0-9a-f]{7}|[0-9a-f]{12})\b/g, '#short')
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
async function stateOf(read: ReadFile, names: Names): Promise<Record<string, unknown> | undefined> {
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
