// The chain of roots from the trusted one to the current one: each signed by its predecessor's keys and by its own.
import { Buffer } from 'node:buffer'
import { askFor, hashedName, isListed, ROOT_MAX_BYTES, requireFile, type Steps } from './file-request.ts'
import { TufError } from './errors.ts'
import { readFile } from './file-cache.ts'
import type { FileMeta } from './metadata.ts'
import { verifyOwnSignatures, verifySuccession, type RootRules } from './root-pin.ts'
import { parseRoot, type RootMetadata } from './root.ts'
import { ROOT } from './role.ts'
import type { Received } from './signed.ts'

/**
 * How many root files one verification asks for. Roots change when keys do: this is three years of daily rotations behind the
 * pin. Whoever is further behind pins a later root.
 */
export const MAX_ROOT_FILES = 1024

export class RootChain {
  private readonly rules: RootRules
  private readonly links: Received<RootMetadata>[]
  private asked = 0

  private constructor(rules: RootRules, first: Received<RootMetadata>) {
    this.rules = rules
    this.links = [first]
  }

  /**
   * The first root: the pinned file, or what the server has, held against the pin.
   * A pinned root must still be valid in itself: clients that have it in their cache refuse it otherwise.
   * @throws TufError FILE_MISSING, ROOT_NOT_PINNED, CERTIFICATE_*, SIGNATURE_*, and what parsing throws
   */
  static *begin(rules: RootRules): Steps<RootChain> {
    const { pin } = rules
    const bytes = pin.kind === 'root' ? pin.bytes : yield* requireFile('root.json', ROOT, ROOT_MAX_BYTES)
    const root = readFile(rules.cache, ROOT, bytes, parseRoot)
    verifyOwnSignatures(root, rules)
    return new RootChain(rules, root)
  }

  get current(): Received<RootMetadata> {
    return this.links.at(-1) as Received<RootMetadata>
  }

  /** Every root walked, oldest first. */
  get files(): readonly Uint8Array[] {
    return this.links.map(({ bytes }) => bytes)
  }

  /**
   * Moves on to a later root, because metadata does not go with the current one.
   * TUF 1.0.34, 5.3: version by version; then, as Notary's clients do, one hop to the root that the snapshot names, else to
   * `root.json`, which the current keys must have signed (notary v0.7.0 client/tufclient.go updateRoot).
   * @param failure thrown where there is no later root
   * @param named the root that a verified snapshot describes
   * @throws TufError `failure`, ROOT_CHAIN_TOO_LONG, VERSION_ROLLED_BACK, VERSION_FORKED, FILE_HASH_MISMATCH, and as `begin`
   */
  *follow(failure: TufError, named?: FileMeta): Steps<void> {
    const before = this.current
    for (;;) {
      if (named !== undefined && isListed(this.current.bytes, named)) return
      const bytes = yield* this.ask(`${this.current.metadata.version + 1}.root.json`)
      if (bytes === undefined) break
      this.append(bytes, this.current.metadata.version + 1)
    }
    if (named === undefined && this.current !== before) return
    yield* this.hop(failure, named)
  }

  private *hop(failure: TufError, named: FileMeta | undefined): Steps<void> {
    const bytes = yield* this.ask(named === undefined ? 'root.json' : hashedName(ROOT, named))
    if (bytes === undefined || Buffer.compare(bytes, this.current.bytes) === 0) throw failure
    if (named !== undefined && !isListed(bytes, named)) {
      throw new TufError('FILE_HASH_MISMATCH', 'The root is not the one that the snapshot describes')
    }
    this.append(bytes)
  }

  private *ask(fileName: string): Steps<Uint8Array | undefined> {
    this.asked++
    if (this.asked > MAX_ROOT_FILES) {
      throw new TufError('ROOT_CHAIN_TOO_LONG', 'The current root is too many steps from the trusted one', {
        limit: MAX_ROOT_FILES,
      })
    }
    return yield* askFor({ fileName, role: ROOT, maxBytes: ROOT_MAX_BYTES, optional: true })
  }

  /** @param expected the version that a link must have; without it any higher one */
  private append(bytes: Uint8Array, expected?: number): void {
    const { current, rules } = this
    const root = readFile(rules.cache, ROOT, bytes, parseRoot)
    const { version } = root.metadata
    if (expected !== undefined && version !== expected) {
      throw new TufError('ROOT_VERSION', 'A root does not have the version of its file name', { version, expected })
    }
    if (version <= current.metadata.version) {
      const code = version === current.metadata.version ? 'VERSION_FORKED' : 'VERSION_ROLLED_BACK'
      throw new TufError(code, 'The root that the server has is not later than the trusted one', {
        role: ROOT,
        version,
        highest: current.metadata.version,
      })
    }
    verifySuccession(current, root, rules.gun)
    verifyOwnSignatures(root, rules)
    this.links.push(root)
  }
}
