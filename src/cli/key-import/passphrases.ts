// Opens encrypted keys with the passphrases that are at hand: files, the variables that docker and notary read, a person at the terminal.
import type { KeyObject } from 'node:crypto'
import { TufError } from '@countersign/tuf'
import { readSecretFile } from '../../config/secret-file.ts'
import type { Terminal } from '../terminal.ts'
import type { FoundKey } from './key-files.ts'

/** How often a person may try. */
const MAX_TRIES = 3

/** docker/cli v28.2.2 cli/trust/trust.go GetPassphraseRetriever; notary v0.7.0 cmd/notary/main.go getPassphraseRetriever. */
const VARIABLES: readonly { readonly name: string; readonly opens: (role: string) => boolean }[] = [
  { name: 'DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE', opens: (role) => role === 'root' },
  { name: 'DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE', opens: (role) => role !== 'root' },
  { name: 'NOTARY_ROOT_PASSPHRASE', opens: (role) => role === 'root' },
  { name: 'NOTARY_TARGETS_PASSPHRASE', opens: (role) => role === 'targets' },
  { name: 'NOTARY_SNAPSHOT_PASSPHRASE', opens: (role) => role === 'snapshot' },
  { name: 'NOTARY_DELEGATION_PASSPHRASE', opens: (role) => !['root', 'targets', 'snapshot'].includes(role) },
]

export class Passphrases {
  readonly #terminal: Terminal
  readonly #fromFiles: readonly Buffer[]
  /** Typed, and good for one key at least. */
  readonly #typed: Buffer[] = []

  /** @throws ConfigError SECRET_FILE_* */
  constructor(terminal: Terminal, files: readonly string[]) {
    this.#terminal = terminal
    this.#fromFiles = files.map((file) =>
      // Root brings in the keys of users, with their files.
      Buffer.from(readSecretFile(file, { rootReadsAll: true }).reveal(), 'utf8'),
    )
  }

  /** @throws TufError KEY_FILE_*, KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
  async open({ file, block, headers }: FoundKey): Promise<KeyObject> {
    if (!block.isEncrypted) return block.open()
    for (const passphrase of [...this.#fromFiles, ...this.#fromVariables(headers.role), ...this.#typed]) {
      const opened = tryOpen(block, passphrase)
      if (opened !== undefined) return opened
    }
    const role = headers.role ?? 'unknown role'
    let wrong: Buffer | undefined
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const typed = await this.#terminal.askSecret?.(`Passphrase of ${file} (${role}): `)
      if (typed === undefined || typed === '') break
      const passphrase = Buffer.from(typed, 'utf8')
      const opened = tryOpen(block, passphrase)
      if (opened === undefined) {
        wrong = passphrase
        continue
      }
      this.#typed.push(passphrase)
      return opened
    }
    // With one that was wrong again, for its error; without any, that one is missing.
    return block.open(wrong ?? this.#fromFiles[0] ?? this.#fromVariables(headers.role)[0])
  }

  #fromVariables(role: string | undefined): Buffer[] {
    return VARIABLES.filter(({ opens }) => role === undefined || opens(role)).flatMap(({ name }) => {
      const value = this.#terminal.env[name] ?? ''
      return value === '' ? [] : [Buffer.from(value, 'utf8')]
    })
  }
}

/** Undefined where the passphrase is another one. @throws TufError for everything else */
function tryOpen(block: FoundKey['block'], passphrase: Buffer): KeyObject | undefined {
  try {
    return block.open(passphrase)
  } catch (error) {
    if (error instanceof TufError && error.code === 'KEY_FILE_PASSPHRASE') return undefined
    throw error
  }
}
