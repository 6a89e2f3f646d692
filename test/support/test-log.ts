// An audit log as the key holder writes it, in a folder of its own, with records of the test's choice.
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { AuditLog, type LogProof } from '../../src/key-holder/audit-log.ts'
import { StateDatabase } from '../../src/key-holder/database.ts'
import type { Scope } from './scope.ts'

/** Records that are published at once: their files are in memory together. */
const ROUND = 25_600

export type TestRecord = Readonly<Record<string, unknown>>

export class TestLog {
  /** The folder `log` of the key holder. */
  readonly folder: string
  readonly #scope: Scope
  readonly #database: StateDatabase
  readonly #log: AuditLog

  constructor(scope: Scope, keys: KeyPairKeyObjectResult = generateKeyPairSync('ed25519'), origin = 'test/audit') {
    this.#scope = scope
    const top = scope.folder('log')
    this.folder = join(top, 'log')
    const database = StateDatabase.open(join(top, 'key-holder.db'), true)
    this.#database = database
    scope.add(() => {
      database.close()
    })
    const nothing = (): void => undefined
    this.#log = new AuditLog({ folder: this.folder, origin, database, step: nothing, onFailure: nothing, ...keys })
    this.#log.open()
  }

  get verifierKey(): string {
    return this.#log.verifierKey
  }

  get size(): number {
    return this.#log.tree.size
  }

  /** The newest checkpoint, as a note. */
  get checkpoint(): string {
    return this.#log.checkpoint.note
  }

  get rootHash(): string {
    return this.#log.checkpoint.rootHash
  }

  /** Appends and publishes. */
  append(count: number, record: (index: number) => TestRecord = (index) => ({ kind: 'test', n: index })): this {
    for (let done = 0; done < count; done += ROUND) {
      this.#database.write(() => {
        for (let n = done; n < Math.min(done + ROUND, count); n++) this.#log.tree.append(record(this.#log.tree.size))
      })
      this.#log.publish()
    }
    return this
  }

  /** Appends these and publishes. */
  add(records: readonly TestRecord[]): this {
    const first = this.size
    return this.append(records.length, (index) => records[index - first] ?? {})
  }

  /** As the key holder proves it; undefined where the checkpoint is older. */
  prove(position: number, entry: Uint8Array): LogProof | undefined {
    return this.#log.prove(position, entry)
  }

  /** The folder as it is now, elsewhere. */
  copy(): string {
    const folder = join(this.#scope.folder('copy'), 'log')
    cpSync(this.folder, folder, { recursive: true })
    return folder
  }
}
