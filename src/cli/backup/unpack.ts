// Takes a backup apart into a folder, and verifies everything before anybody may use it. Shared by restoring and by the drill.
import { createHash } from 'node:crypto'
import { mkdir, open, rm, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { openSecrets } from '../../key-holder/backup-secrets.ts'
import { parseLimits } from '../../key-holder/limits.ts'
import type { TokenConfig } from '../../key-holder/config.ts'
import { proveInTokens, type TokenKeyProof } from '../../key-holder/token-proof.ts'
import { completeRestore, type RestoredState } from '../../key-holder/restore.ts'
import { checkDatabase } from '../../sqlite/copy.ts'
import { SCHEMA, TRUST_SERVER_FOLDER } from '../../supervisor/data-folder.ts'
import { SCHEMA as TRUST_SERVER_SCHEMA } from '../../trust-server/schema.ts'
import { CliError } from '../errors.ts'
import { evidenceOf } from '../operator-socket.ts'
import type { Session } from '../session.ts'
import { readAgeFile } from './age-file.ts'
import { MAX_MANIFEST_BYTES, MEMBERS, parseManifest, type BackupManifest } from './content.ts'
import { damagedBackup, withFileCodes } from './errors.ts'
import { LAYOUT } from './layout.ts'
import { TarReader, type Member } from './tar.ts'

const MAX_LIMITS_BYTES = 4 * 1024 * 1024
const MAX_SECRETS_BYTES = 4096

export interface Unpacked {
  readonly manifest: BackupManifest
  readonly state: RestoredState
  /** Of keys that no backup holds. */
  readonly inTokens: readonly TokenKeyProof[]
  /** Written nowhere; the caller zeroes it. */
  readonly unlockKey: Buffer
  /** In milliseconds: reading and decrypting the file, and checking the databases. */
  readonly times: { readonly unpack: number; readonly databases: number }
}

export interface UnpackOptions {
  readonly file: string
  readonly folder: string
  readonly passphrase: Buffer
  /** Asked for the keys that are in them. Absent: none is. */
  readonly tokens: readonly TokenConfig[] | undefined
}

/**
 * Everything that is in the backup but the unlock key, in a folder that is there and empty, as it would be in the data folder of `serve`.
 * Nothing of it is to be used before this returns. A crash leaves a part, which opens nothing.
 * @throws CliError BACKUP_DAMAGED, PASSPHRASE_WRONG, FILE_UNREADABLE, FILE_UNWRITABLE; KeyHolderError; StoreError
 */
export async function unpackBackup(session: Session, o: UnpackOptions): Promise<Unpacked> {
  return withFileCodes(o, () => unpack(session, o))
}

async function unpack(session: Session, o: UnpackOptions): Promise<Unpacked> {
  const begun = performance.now()
  for (const folder of [LAYOUT.keyHolder, join(TRUST_SERVER_FOLDER, 'state')]) {
    await mkdir(join(o.folder, folder), { recursive: true, mode: 0o700 })
  }
  const handle = await open(o.file, 'r').catch((cause: unknown) => {
    throw new CliError('FILE_UNREADABLE', `${o.file} cannot be read.`, { facts: { file: o.file }, cause })
  })
  let files: { readonly manifest: BackupManifest; readonly secrets: string }
  try {
    files = await unpackFiles(session, o, handle)
  } finally {
    await handle.close()
  }
  const unpacked = performance.now()
  const { manifest, secrets } = files
  const at = (name: string) => join(o.folder, name)
  if (manifest.daemon !== undefined) checkDatabase(at(LAYOUT.daemon), SCHEMA)
  if (manifest.trustServer === undefined) await rm(at(TRUST_SERVER_FOLDER), { recursive: true })
  else checkDatabase(at(LAYOUT.trustServer), TRUST_SERVER_SCHEMA)
  const checked = performance.now()
  const unlockKey = await openSecrets(secrets, o.passphrase)
  try {
    const state = completeRestore({
      folder: at(LAYOUT.keyHolder),
      unlockKey,
      ...manifest.keyHolder.log,
      madeAt: manifest.madeAt,
      evidence: evidenceOf('restore'),
      now: session.terminal.now(),
    })
    const inTokens = await proveInTokens(state.inTokens, o.tokens)
    return { manifest, state, inTokens, unlockKey, times: { unpack: unpacked - begun, databases: checked - unpacked } }
  } catch (error) {
    unlockKey.fill(0)
    throw error
  }
}

async function unpackFiles(
  session: Session,
  { file, folder, passphrase }: { readonly file: string; readonly folder: string; readonly passphrase: Buffer },
  handle: FileHandle,
): Promise<{ readonly manifest: BackupManifest; readonly secrets: string }> {
  const archive = new TarReader(file, readAgeFile(file, handle, passphrase))
  const expect = async (name: string): Promise<Member> => {
    if (session.isInterrupted()) throw new CliError('INTERRUPTED', 'Interrupted. Nothing was restored.')
    const member = await archive.next()
    if (member?.name === name) return member
    throw damagedBackup(file, `${name} is not where it belongs`)
  }
  const toFile = async (name: string, size: number): Promise<string> => {
    const hash = createHash('sha256')
    const target = await open(join(folder, name), 'wx', 0o600)
    try {
      let written = 0
      for await (const part of archive.content()) {
        await target.writeFile(part)
        hash.update(part)
        written += part.byteLength
      }
      await target.sync()
      if (written !== size) throw damagedBackup(file, `${name} is longer or shorter than it was`)
    } finally {
      await target.close()
    }
    return hash.digest('hex')
  }
  await expect(MEMBERS.manifest)
  const manifest = parseManifest(file, await archive.bytes(MAX_MANIFEST_BYTES))
  for (const part of ['daemon', 'trustServer'] as const) {
    const described = manifest[part]
    if (described === undefined) continue
    await expect(MEMBERS[part])
    await toFile(LAYOUT[part], described.bytes)
  }
  await expect(MEMBERS.limits)
  const limits = await archive.bytes(MAX_LIMITS_BYTES)
  parseLimits(limits)
  await writeFile(join(folder, LAYOUT.limits), limits, { mode: 0o600, flag: 'wx', flush: true })
  await expect(MEMBERS.secrets)
  const secrets = (await archive.bytes(MAX_SECRETS_BYTES)).toString('utf8')
  await expect(MEMBERS.keyHolder)
  const { bytes, sha256 } = manifest.keyHolder
  const found = await toFile(join(LAYOUT.keyHolder, MEMBERS.keyHolder), bytes)
  if (found !== sha256) throw damagedBackup(file, 'the copy of the key holder is not the one that was made')
  if ((await archive.next()) !== undefined) throw damagedBackup(file, 'more is in it than belongs there')
  return { manifest, secrets }
}
