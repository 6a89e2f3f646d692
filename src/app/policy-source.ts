// The policy in force: read from its folder at start, and again when the folder has changed. A faulty folder at start ends the start; later
// it changes nothing but what is said about it.
import { ConfigError } from '../config/errors.ts'
import type { Policy, PolicySource } from '../domain/policy.ts'
import type { KeyHolder } from '../domain/ports.ts'
import type { Log } from '../log.ts'
import { faultyFolder, printOfFolder, readFolderFiles } from '../policy/folder-files.ts'
import { type PolicyFault, type PolicyFolder, readPolicyFolder } from '../policy/policy-folder.ts'

export interface PolicyState {
  /** 64 hex digits of the folder in force. */
  readonly digest: string
  /** What is wrong with the folder as it is now; empty where it is the one in force. */
  readonly faults: readonly PolicyFault[]
}

export class PolicyFolderSource implements PolicySource {
  readonly #folder: string
  readonly #log: Log
  readonly #keyHolder: Pick<KeyHolder, 'appendRecord'>
  #policy: Policy
  #state: PolicyState
  /** The folder as the last look found it: what has changed since is left alone until it has settled. */
  #seen: string
  /** The folder that was judged last; undefined where it could not be read. */
  #judged: string | undefined
  #recorded: string | undefined

  /** @throws ConfigError POLICY_INVALID with every fault */
  constructor(folder: string, log: Log, keyHolder: Pick<KeyHolder, 'appendRecord'>) {
    this.#folder = folder
    this.#log = log
    this.#keyHolder = keyHolder
    const { files, print } = readFolderFiles(folder)
    const read = readPolicyFolder(files)
    if (!read.ok) throw faultyFolder(folder, read.faults)
    this.#policy = read.policy
    this.#state = { digest: read.digest, faults: [] }
    this.#seen = print
    this.#judged = print
    log.info({ folder, digest: read.digest, projects: read.projects.length }, 'policies are in force')
  }

  current(): Policy {
    return this.#policy
  }

  get state(): PolicyState {
    return this.#state
  }

  /** Called again and again. What changed is taken over at the first look that finds it as the look before did. */
  async look(): Promise<void> {
    await this.#record()
    try {
      const print = printOfFolder(this.#folder)
      if (print !== this.#seen) this.#seen = print
      else if (print !== this.#judged) this.#judge()
    } catch (error) {
      this.#judged = undefined
      this.#refuse([{ file: '', path: '', message: error instanceof ConfigError ? error.message : 'cannot be read' }])
    }
    await this.#record()
  }

  /** Files are read and parsed once for each state of the folder. */
  #judge(): void {
    const { files, print } = readFolderFiles(this.#folder)
    this.#takeOver(readPolicyFolder(files))
    this.#judged = print
  }

  /** One assignment: no request is decided by half of it. */
  #takeOver(read: PolicyFolder): void {
    if (!read.ok) {
      this.#refuse(read.faults)
      return
    }
    const isNew = read.digest !== this.#state.digest
    if (isNew) this.#policy = read.policy
    this.#state = { digest: read.digest, faults: [] }
    if (isNew) this.#log.info({ digest: read.digest, projects: read.projects.length }, 'policies are in force')
  }

  #refuse(faults: readonly PolicyFault[]): void {
    const isNews = JSON.stringify(faults) !== JSON.stringify(this.#state.faults)
    this.#state = { ...this.#state, faults }
    if (isNews)
      this.#log.error({ faults, inForce: this.#state.digest }, 'the policy folder is faulty; the former policies stay')
  }

  /** Which rules were in force when belongs into the log; where it cannot be written nothing is signed either. */
  async #record(): Promise<void> {
    const { digest } = this.#state
    if (this.#recorded === digest) return
    try {
      await this.#keyHolder.appendRecord('policies-loaded', { digest })
      this.#recorded = digest
    } catch (error) {
      this.#log.warn({ error }, 'the policies in force cannot be recorded yet; it is tried again')
    }
  }
}
