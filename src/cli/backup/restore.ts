// `backup restore`: everything into a folder of its own, verified, then in its place.
import { mkdir, mkdtemp, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CliError, type ExitStatus } from '../errors.ts'
import { syncFolder } from '../files.ts'
import type { Session } from '../session.ts'
import type { OpeningOptions } from '../shares/options.ts'
import { LAYOUT } from './layout.ts'
import { passphraseOf } from './passphrase.ts'
import { describeBackup, describeTokenKeys, tokensOf, unproven } from './report.ts'
import { unpackBackup, type Unpacked } from './unpack.ts'

export interface RestoreCommandOptions extends OpeningOptions {
  readonly keyHolderConfig?: string
}

interface RestoreWork {
  readonly file: string
  readonly folder: string
  readonly passphrase: Buffer
  readonly tokens: ReturnType<typeof tokensOf>
}

/** @throws CliError FOLDER_NOT_EMPTY, BACKUP_DAMAGED, PASSPHRASE_*; KeyHolderError; StoreError */
export async function restoreBackup(
  session: Session,
  file: string,
  folder: string,
  options: RestoreCommandOptions,
): Promise<ExitStatus> {
  const tokens = tokensOf(options.keyHolderConfig)
  const passphrase = await passphraseOf(session, options)
  try {
    return await restore(session, { file, folder, passphrase, tokens })
  } finally {
    passphrase.fill(0)
  }
}

async function restore(session: Session, { file, folder, passphrase, tokens }: RestoreWork): Promise<ExitStatus> {
  const target = resolve(folder)
  await requireEmpty(target)
  // In the folder itself, which may be a file system of its own. A crash leaves it there, and the folder is refused until it is gone.
  const staging = await mkdtemp(join(target, 'restoring-')).catch((cause: unknown) => {
    throw unwritable(target, cause)
  })
  let unpacked
  try {
    unpacked = await unpackBackup(session, { file, folder: staging, passphrase, tokens })
    await takePlace(staging, target, unpacked)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  const { manifest, state, inTokens } = unpacked
  const { log, keys, repositories } = state
  const at = (name: string) => join(target, name)
  const settings = {
    folder: at(LAYOUT.keyHolder),
    keyFile: at(LAYOUT.unlockKey),
    limitsFile: at(LAYOUT.limits),
    logOrigin: log.origin,
  }
  session.output.document({
    file,
    folder: target,
    ...manifest,
    restored: { keys, inTokens, repositories, log },
    settings,
  })
  session.output.line(
    `Restored into ${target}. Every key in it has signed a challenge, and the audit log is whole.`,
    unproven(inTokens) === 0 ? 'green' : 'yellow',
  )
  describeBackup(session, manifest)
  const status = describeTokenKeys(session, inTokens)
  session.output.line()
  session.output.line('Settings of the key holder, where `serve` does not make them:')
  session.output.line(`  folder: ${settings.folder}`)
  session.output.line(`  unlock: { keyFile: ${settings.keyFile} }`)
  session.output.line(`  limitsFile: ${settings.limitsFile}`)
  session.output.line(`  logOrigin: ${settings.logOrigin}`)
  session.output.progress('Do not start it while the original runs: what either signs stops the other.')
  return status
}

/** All of it gets its name, or nothing. @throws CliError FILE_UNWRITABLE */
async function takePlace(staging: string, target: string, { unlockKey }: Unpacked): Promise<void> {
  const renamed: string[] = []
  try {
    await writeFile(join(staging, LAYOUT.unlockKey), unlockKey, { mode: 0o600, flag: 'wx', flush: true })
    for (const name of (await readdir(staging)).sort()) {
      await rename(join(staging, name), join(target, name))
      renamed.push(name)
    }
    await rmdir(staging)
    await syncFolder(target)
  } catch (cause) {
    for (const name of renamed) await rm(join(target, name), { recursive: true, force: true })
    throw unwritable(target, cause)
  } finally {
    unlockKey.fill(0)
  }
}

/** @throws CliError FOLDER_NOT_EMPTY, FILE_UNWRITABLE */
async function requireEmpty(folder: string): Promise<void> {
  let names: string[]
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    names = await readdir(folder)
  } catch (cause) {
    throw unwritable(folder, cause)
  }
  if (names.length === 0) return
  throw new CliError('FOLDER_NOT_EMPTY', `${folder} holds something already.`, {
    next: 'Name a new or an empty folder. A name that begins with restoring- is what an interrupted restore has left: remove it.',
    facts: { folder, found: names.slice(0, 5).join(' ') },
  })
}

function unwritable(folder: string, cause: unknown): CliError {
  return new CliError('FILE_UNWRITABLE', `${folder} cannot be written. Nothing was restored.`, {
    facts: { folder },
    cause,
  })
}
