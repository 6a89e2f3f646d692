// A key holder in a folder of its own, with callers on both sockets, and repositories whose files it signs.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  METADATA_LIMITS,
  parseJson,
  parsePublicKey,
  parseRoleName,
  parseTargets,
  RELEASES,
  ROOT,
  TARGETS,
  type RoleName,
} from '@countersign/tuf'
import { connectKeyHolder, type KeyHolderConnection } from '../../src/holder/connection.ts'
import { PUBLISH_DELAY_MS } from '../../src/key-holder/audit-log.ts'
import { verifyAuditLog } from '../../src/key-holder/audit-verification.ts'
import { silentLog } from '../../src/key-holder/holder-log.ts'
import {
  createUnlockKeyFile,
  parseKeyHolderConfig,
  startKeyHolder,
  type KeyHolderConfig,
  type KeyHolderOptions,
  type RunningKeyHolder,
} from '../../src/key-holder/main.ts'
import type { UnlockSource } from '../../src/key-holder/unlock.ts'
import type { Attachments, OperationInput, OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import { bundledScript } from './bundled-script.ts'
import { imageOf, NOW, RepositoryBuilder } from './repository-builder.ts'
import type { Scope } from './scope.ts'
import { TOKEN_URI, type SoftHsm } from './softhsm.ts'
import { testKey, type TestKey } from './test-keys.ts'

export const EVIDENCE = { request: 'req-1', principal: 'bot' }

export const BACKUP_PASSPHRASE = 'correct horse battery staple'

export const LIMITS = `
repositories:
  - gun: "registry.example.com/team/*"
    initialize: true
    serve: true
    lockedTags: ["v*"]
  - gun: "registry.example.com/narrow/*"
    tags: ["rc-*"]
    maxEntries: 3
    versionsPerHour: 6
    entriesPerHour: 4
recordsPerHour: 100000
keysPerHour: 1000
`

/** The same limits with other lives, in days, for all that is signed in `team`. */
export function living(lifetimeDays: Readonly<Record<string, number>>): string {
  return LIMITS.replace('    serve: true\n', `$&    lifetimeDays: ${JSON.stringify(lifetimeDays)}\n`)
}

/** The same limits, with all new keys in the token of the tests. */
export function inToken(limits: string): string {
  return limits.replace(/^( *)- gun: .*$/gm, `$&\n$1  custody: "${TOKEN_URI}"`)
}

const TOKEN_PROCESS = join(import.meta.dirname, '../../src/pkcs11/token-process.ts')

export type Change = OperationInput<'change-targets'>['changes'][number]

export function put(tag: string, content = tag): Change {
  const { sha256, length } = imageOf(content)
  return { kind: 'put', tag, sha256, length, evidence: EVIDENCE }
}

export function drop(tag: string): Change {
  return { kind: 'drop', tag, evidence: EVIDENCE }
}

export interface LogEntry {
  readonly kind: string
  readonly code?: string
  readonly gun?: string
  readonly [name: string]: unknown
}

export class TestKeyHolder {
  readonly folder: string
  readonly config: KeyHolderConfig & { readonly unlock: UnlockSource }
  readonly unlockKeyFile: string
  /** Where a rewrap finds the next unlock key; there is none yet. */
  readonly nextUnlockKeyFile: string
  /** The passphrase of backups. */
  readonly backupPassphraseFile: string
  now = NOW
  #running: RunningKeyHolder | undefined
  readonly #connections = new Map<string, KeyHolderConnection>()

  /** @param hsm where it has one, new keys of targets and delegations are made in its token */
  constructor(scope: Scope, limits = LIMITS, hsm?: SoftHsm) {
    const top = scope.folder('kh')
    this.folder = join(top, 'state')
    this.unlockKeyFile = join(top, 'unlock.key')
    this.nextUnlockKeyFile = join(top, 'unlock-next.key')
    this.backupPassphraseFile = join(top, 'backup.passphrase')
    createUnlockKeyFile(this.unlockKeyFile)
    writeFileSync(this.backupPassphraseFile, `${BACKUP_PASSPHRASE}\n`, { mode: 0o600 })
    const config = parseKeyHolderConfig(
      JSON.stringify({
        folder: this.folder,
        serviceSocket: join(top, 's', 'service.sock'),
        operatorSocket: join(top, 's', 'operator.sock'),
        trustServerSocket: join(top, 's', 'trust-server.sock'),
        unlock: { keyFile: this.unlockKeyFile, nextKeyFile: this.nextUnlockKeyFile },
        backup: { passphraseFile: this.backupPassphraseFile },
        limitsFile: join(top, 'limits.yaml'),
        logOrigin: 'test.example.com/audit',
        ...(hsm !== undefined && { tokens: [hsm.setting] }),
      }),
    )
    this.config = { ...config, unlock: { kind: 'key-file', path: this.unlockKeyFile } }
    this.writeLimits(hsm === undefined ? limits : inToken(limits))
    scope.add(() => this.stop())
    scope.add(() => {
      for (const connection of this.#connections.values()) connection.close()
    })
  }

  static async start(
    scope: Scope,
    limits = LIMITS,
    options: KeyHolderOptions = {},
    hsm?: SoftHsm,
  ): Promise<TestKeyHolder> {
    const holder = new TestKeyHolder(scope, limits, hsm)
    await holder.start(options)
    return holder
  }

  writeLimits(text: string): void {
    writeFileSync(this.config.limitsFile, text)
    chmodSync(this.config.limitsFile, 0o600)
  }

  async start(options: KeyHolderOptions = {}, config: KeyHolderConfig = this.config): Promise<void> {
    const tokens = config.tokens === undefined ? {} : { tokenScript: await bundledScript(TOKEN_PROCESS) }
    this.#running = await startKeyHolder(config, { now: () => this.now, log: silentLog, ...tokens, ...options })
  }

  /** Closes the key holder under its callers' feet. */
  async closeServers(): Promise<void> {
    await this.#running?.close()
  }

  async stop(): Promise<void> {
    await this.#running?.close()
    this.#running = undefined
  }

  get service(): KeyHolderConnection {
    return this.#connect(this.config.serviceSocket)
  }

  get operator(): KeyHolderConnection {
    return this.#connect(this.config.operatorSocket)
  }

  get trustServer(): KeyHolderConnection {
    return this.#connect(this.config.trustServerSocket ?? '')
  }

  /** The log on disk, verified. */
  log(): LogEntry[] {
    const entries: LogEntry[] = []
    verifyAuditLog(join(this.folder, 'log'), {
      onEntry: (entry) => entries.push(JSON.parse(entry.toString('utf8')) as LogEntry),
    })
    return entries
  }

  /** The same once everything that is recorded by now has been published: later than any timer that waits for it. */
  async wholeLog(): Promise<LogEntry[]> {
    await delay(PUBLISH_DELAY_MS + 1)
    return this.log()
  }

  /** The database, opened beside a stopped key holder. */
  database<T>(work: (database: Connection) => T): T {
    const database = new Connection(join(this.folder, 'key-holder.db'))
    try {
      return work(database)
    } finally {
      database.close()
    }
  }

  #connect(path: string): KeyHolderConnection {
    const connection = this.#connections.get(path) ?? connectKeyHolder(path, { timeoutMs: 15_000 })
    this.#connections.set(path, connection)
    return connection
  }
}

/** Publication ids are unique over all repositories. */
let publications = 0

/** A repository as its trust server holds it, whose signed files come from a key holder. */
export class HeldRepository {
  readonly holder: TestKeyHolder
  readonly builder: RepositoryBuilder
  readonly service: KeyHolderConnection
  readonly #signed = new Map<string, Uint8Array>()

  constructor(holder: TestKeyHolder, builder: RepositoryBuilder) {
    this.holder = holder
    this.builder = builder
    this.service = holder.service
  }

  get gun(): string {
    return this.builder.gun
  }

  /** Created by the key holder, all its keys there, with `targets/releases` and `targets/countersign`; observed once. */
  static async initialize(
    holder: TestKeyHolder,
    gun = 'registry.example.com/team/app',
    signer: string | null = 'countersign',
  ): Promise<HeldRepository> {
    const builder = new RepositoryBuilder(gun)
    const repository = new HeldRepository(holder, builder)
    const { attachments } = await repository.service.call('initialize-repository', initialization(gun, signer))
    if (signer !== null) builder.delegate(`targets/${signer}`).delegate(RELEASES)
    repository.publish(attachments)
    await repository.observe()
    return repository
  }

  /** Of somebody else, pinned by an operator; the key holder's key is in `targets/countersign` and `targets/releases`. */
  static async pin(
    holder: TestKeyHolder,
    builder = new RepositoryBuilder('registry.example.com/team/adopted'),
    others: TestKey[] = [testKey('alice')],
  ): Promise<HeldRepository> {
    const repository = new HeldRepository(holder, builder)
    const files = repository.files()
    const root = builder.role(ROOT).keys.map(({ publicKey }) => publicKey.tufKeyId as string)
    await holder.operator.call(
      'pin-repository',
      {
        gun: builder.gun,
        certificateKeyIds: root,
        signer: 'countersign',
        files: [...files.keys()],
        evidence: EVIDENCE,
      },
      files,
    )
    const key = await repository.delegationKey()
    builder.delegate('targets/countersign', { keys: [key], published: false })
    builder.delegate(RELEASES, { keys: [...others, key], published: others.length > 0 })
    builder.role(RELEASES).signers = others
    builder.nextVersions(TARGETS)
    return repository
  }

  /** The key holder's key as a test key that cannot sign. */
  async delegationKey(role = 'targets/countersign'): Promise<TestKey> {
    const { response } = await this.service.call('export-public-key', { gun: this.gun, role })
    const { keytype, keyval } = response.key
    const publicKey = parsePublicKey(parseJson(Buffer.from(JSON.stringify({ keytype, keyval })), METADATA_LIMITS))
    return { publicKey, privateKey: testKey('nobody').privateKey }
  }

  /** The trust server takes these files and makes new snapshot and timestamp. */
  publish(files: Attachments): void {
    for (const [name, bytes] of files) {
      const role = this.builder.role(name)
      role.mangle = () => bytes
      role.published = true
      if (name !== ROOT) role.version = parseTargets(bytes, parseRoleName(name)).metadata.version
    }
    this.builder.nextVersions()
  }

  /** What the trust server serves; the same content always has the same signatures. */
  files(): Map<string, Uint8Array> {
    for (const [name, role] of this.builder.roles) {
      role.mangle ??= (bytes) => {
        const content = name + (Buffer.from(bytes).toString().split(',"signatures":')[0] ?? '')
        const known = this.#signed.get(content) ?? bytes
        this.#signed.set(content, known)
        return known
      }
    }
    return this.builder.files()
  }

  async observe(): Promise<void> {
    const files = this.files()
    await this.service.call('observe-repository', { gun: this.gun, files: [...files.keys()] }, files)
  }

  request(
    changes: Change[],
    o: { roles?: string[]; files?: Map<string, Uint8Array>; publication?: string } = {},
  ): OperationInput<'change-targets'> {
    const files = o.files ?? this.files()
    return {
      publication: o.publication ?? `publication-${++publications}`,
      gun: this.gun,
      roles: o.roles ?? ['targets/countersign', 'targets/releases'],
      changes,
      files: [...files.keys()],
    }
  }

  /** Signed, not published. */
  async change(
    changes: Change[],
    o: { roles?: string[]; files?: Map<string, Uint8Array>; publication?: string } = {},
  ): Promise<{ roles: OperationResponse<'change-targets'>['roles']; files: Attachments }> {
    const files = o.files ?? this.files()
    const { response, attachments } = await this.service.call(
      'change-targets',
      this.request(changes, { ...o, files }),
      files,
    )
    return { roles: response.roles, files: attachments }
  }

  /** Signed and published, not observed. */
  async sign(changes: Change[], roles?: string[]): Promise<void> {
    this.publish((await this.change(changes, roles === undefined ? {} : { roles })).files)
  }

  tags(role: RoleName | string): string[] {
    const trusted = this.builder.verify({ now: this.holder.now }, this.files())
    const file = role === TARGETS ? trusted.targets : trusted.delegations.get(parseRoleName(role))
    return [...(file?.metadata.targets.keys() ?? [])].sort()
  }
}

/** The input of initialize-repository with test keys of a trust server. */
export function initialization(
  gun: string,
  signer: string | null = 'countersign',
): OperationInput<'initialize-repository'> {
  const wire = ({ publicKey }: TestKey) => ({
    keytype: publicKey.keyType,
    keyval: { private: null, public: publicKey.publicValue },
  })
  return {
    gun,
    root: { kind: 'online' },
    snapshotKey: wire(testKey('snapshot')),
    timestampKey: wire(testKey('timestamp')),
    signer,
    evidence: EVIDENCE,
  }
}
