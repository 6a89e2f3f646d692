// `backup create`: the daemon's database, the trust server's, then what the key holder has, in this order and encrypted.
//
// What is copied later knows at least as much as what was copied before: nothing stands in the daemon's copy as published that the trust
// server's has not, and nothing is published there that the key holder's has no record of.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openSecrets } from '../../key-holder/backup-secrets.ts'
import { KeyHolderError } from '../../key-holder-protocol/errors.ts'
import type { KeyHolderConnection } from '../../holder/client.ts'
import { CliError, EXIT, type ExitStatus } from '../errors.ts'
import { refuseExisting, syncFolder } from '../files.ts'
import { evidenceOf, withOperator, type SocketOptions } from '../operator-socket.ts'
import type { Session } from '../session.ts'
import { AgeWriter } from './age-file.ts'
import { MEMBERS, type BackupManifest } from './content.ts'
import { Copies, type Copy, type Source } from './copies.ts'
import { LAYOUT, TRUST_SERVER_DATABASE } from './layout.ts'
import { passphraseInFile } from './passphrase.ts'
import { MAX_MEMBER_BYTES, TAR_END, tarHeader, tarPadding } from './tar.ts'
import { describeBackup } from './report.ts'

export interface CreateOptions extends SocketOptions {
  readonly daemonFolder?: string
  readonly trustServerFolder?: string
  readonly passphraseFile?: string
  readonly reason: string
}

const READ_BYTES = 1024 * 1024

/** @throws CliError FILE_EXISTS, BACKUP_*, INTERRUPTED; KeyHolderError; StoreError; ConfigError SECRET_FILE_* */
export async function createBackup(session: Session, file: string, options: CreateOptions): Promise<ExitStatus> {
  refuseExisting(file)
  const copies = new Copies(file)
  try {
    const [daemonSource, trustServerSource] = [daemonDatabase(options), trustServerDatabase(options)]
    const daemon = daemonSource && (await copies.of(daemonSource))
    const trustServer = trustServerSource && (await copies.of(trustServerSource))
    const manifest = await withOperator(session, options, (operator) =>
      writeBackup(session, operator, { file, options, daemon, trustServer }),
    )
    const { size: bytes } = await stat(file)
    session.output.document({ file, bytes, ...manifest })
    session.output.line(`${file} holds the backup, encrypted.`, 'green')
    describeBackup(session, manifest)
    session.output.progress(
      'Keep it elsewhere, and its passphrase at a third place. Try both: countersign backup drill',
    )
    return EXIT.done
  } finally {
    await copies.close()
  }
}

function daemonDatabase({ daemonFolder: folder }: CreateOptions): Source | undefined {
  return folder === undefined ? undefined : { folder, database: join(folder, LAYOUT.daemon) }
}

/** Of a trust server with a folder of its own, or that which `serve` has started. */
function trustServerDatabase({ daemonFolder, trustServerFolder: folder }: CreateOptions): Source | undefined {
  if (folder !== undefined) return { folder, database: join(folder, TRUST_SERVER_DATABASE) }
  if (daemonFolder === undefined) return undefined
  const database = join(daemonFolder, LAYOUT.trustServer)
  return existsSync(database) ? { folder: daemonFolder, database } : undefined
}

interface Parts {
  readonly file: string
  readonly options: CreateOptions
  readonly daemon: Copy | undefined
  readonly trustServer: Copy | undefined
}

async function writeBackup(session: Session, operator: KeyHolderConnection, parts: Parts): Promise<BackupManifest> {
  const { file, options, daemon, trustServer } = parts
  const request = { reason: options.reason, evidence: evidenceOf('backup') }
  const { response, attachments } = await operator.call('begin-backup', request)
  const passphrase = passphraseInFile(options.passphraseFile ?? response.passphraseFile)
  await requireSamePassphrase(response.secrets, passphrase, response.passphraseFile)
  const { madeAt, version, bytes, sha256, repositories, keys, inTokens, log } = response
  const manifest: BackupManifest = {
    format: 1,
    madeAt,
    version,
    keyHolder: { bytes, sha256, repositories, keys, ...(inTokens !== undefined && { inTokens }), log },
    ...(daemon !== undefined && { daemon: { bytes: daemon.bytes } }),
    ...(trustServer !== undefined && { trustServer: { bytes: trustServer.bytes } }),
  }
  // Under another name until it is whole. A crash leaves that, and it does not open.
  const partial = `${file}.new`
  await rm(partial, { force: true })
  const handle = await open(partial, 'wx', 0o600).catch((cause: unknown) => {
    throw unwritable(file, cause)
  })
  try {
    const archive = new Archive(await AgeWriter.begin(handle, passphrase), new Date(madeAt))
    await archive.add(MEMBERS.manifest, Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`))
    if (daemon !== undefined) await archive.addFile(MEMBERS.daemon, daemon)
    if (trustServer !== undefined) await archive.addFile(MEMBERS.trustServer, trustServer)
    await archive.add(MEMBERS.limits, attachments.get(MEMBERS.limits) ?? new Uint8Array())
    await archive.add(MEMBERS.secrets, Buffer.from(response.secrets))
    await archive.addStream(MEMBERS.keyHolder, bytes, readParts(session, operator, response))
    await archive.end()
    await handle.sync()
    await handle.close()
    await rename(partial, file)
    await syncFolder(dirname(file))
    return manifest
  } catch (error) {
    await handle.close().catch(() => undefined)
    await rm(partial, { force: true })
    throw error instanceof Error && 'syscall' in error ? unwritable(file, error) : error
  }
}

/**
 * The key holder has sealed the unlock key under the passphrase that it knows; the rest is encrypted under the one that we know.
 * @throws CliError BACKUP_PASSPHRASE_DIFFERS
 */
async function requireSamePassphrase(secrets: string, passphrase: Buffer, passphraseFile: string): Promise<void> {
  try {
    ;(await openSecrets(secrets, passphrase)).fill(0)
  } catch (cause) {
    if (!(cause instanceof KeyHolderError)) throw cause
    throw new CliError(
      'BACKUP_PASSPHRASE_DIFFERS',
      "This is not the passphrase that the key holder's configuration names.",
      {
        next: `It is in ${passphraseFile} on its host. No backup was made.`,
        facts: { passphraseFile },
        cause,
      },
    )
  }
}

/** The key holder's copy. @throws CliError BACKUP_INTERRUPTED, INTERRUPTED; KeyHolderError */
async function* readParts(
  session: Session,
  operator: KeyHolderConnection,
  copy: { readonly session: string; readonly bytes: number; readonly sha256: string },
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for (let offset = 0, isLast = false; !isLast;) {
    if (session.isInterrupted()) throw new CliError('INTERRUPTED', 'Interrupted. No backup was made.')
    const { response, attachments } = await operator.call('read-backup', { session: copy.session, offset })
    const part = attachments.get('part') ?? new Uint8Array()
    hash.update(part)
    offset += part.byteLength
    isLast = response.isLast
    if (part.byteLength === 0 || offset > copy.bytes || (isLast && offset !== copy.bytes)) throw interrupted()
    yield part
  }
  if (hash.digest('hex') !== copy.sha256) throw interrupted()
}

function interrupted(): CliError {
  return new CliError('BACKUP_INTERRUPTED', 'The copy of the key holder has not come whole. No backup was made.', {
    next: 'Run the command again.',
  })
}

function unwritable(file: string, cause: unknown): CliError {
  return new CliError('FILE_UNWRITABLE', `${file} cannot be written.`, { facts: { file }, cause })
}

/** Members of the archive, one after the other. */
class Archive {
  readonly #writer: AgeWriter
  readonly #at: Date

  constructor(writer: AgeWriter, at: Date) {
    this.#writer = writer
    this.#at = at
  }

  add(name: string, bytes: Uint8Array): Promise<void> {
    return this.addStream(name, bytes.byteLength, [bytes])
  }

  addFile(name: string, { file, bytes }: Copy): Promise<void> {
    return this.addStream(name, bytes, chunksOf(file))
  }

  async addStream(name: string, size: number, parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    if (size > MAX_MEMBER_BYTES) throw new CliError('FILE_UNWRITABLE', `${name} is larger than a backup can hold.`)
    await this.#writer.write(tarHeader({ name, size }, this.#at))
    for await (const part of parts) await this.#writer.write(part)
    await this.#writer.write(tarPadding(size))
  }

  async end(): Promise<void> {
    await this.#writer.write(TAR_END)
    await this.#writer.end()
  }
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const chunk = Buffer.alloc(READ_BYTES)
    const { bytesRead } = await file.read(chunk, 0, chunk.byteLength)
    if (bytesRead === 0) return
    yield chunk.subarray(0, bytesRead)
  }
}
