// Folders that a command works in and removes again. One that was killed cannot, so the next one does.
import { lstat, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from './errors.ts'

/** Entries are renamed and removed by their owner alone, as in /tmp. */
const STICKY = 0o1000

/**
 * A new folder `PREFIX-PID-RANDOM` with mode 0700. What processes of this user that have ended left under such a name is removed before, where
 * nobody else can rename what is there. A process that another container has started looks as if it had ended: two of them do not work in one
 * place at a time. Root works in no folder where somebody else could put a link in the place of the new one.
 * @throws CliError FILE_UNWRITABLE
 */
export async function makeWorkFolder(parent: string, prefix: string): Promise<string> {
  try {
    if (await isSafe(parent)) {
      for (const name of await readdir(parent)) {
        if (await isLeftOver(parent, name, prefix)) await rm(join(parent, name), { recursive: true, force: true })
      }
    } else if (process.getuid?.() === 0) {
      throw unwritable(parent, 'others can rename what root makes there')
    }
    return await mkdtemp(join(parent, `${prefix}-${process.pid}-`))
  } catch (cause) {
    throw cause instanceof CliError ? cause : unwritable(parent, 'no folder can be made there', cause)
  }
}

/** Whether this user and root alone can rename what this user makes in the folder: it is theirs, and no others write there, or it is sticky. */
export async function isSafe(folder: string): Promise<boolean> {
  const { uid, mode } = await stat(folder)
  return (uid === 0 || uid === process.getuid?.()) && ((mode & 0o022) === 0 || (mode & STICKY) !== 0)
}

function unwritable(folder: string, why: string, cause?: unknown): CliError {
  return new CliError('FILE_UNWRITABLE', `${folder} cannot be written: ${why}.`, { facts: { folder }, cause })
}

async function isLeftOver(parent: string, name: string, prefix: string): Promise<boolean> {
  const [, pid] = new RegExp(`^${prefix}-([0-9]+)-[A-Za-z0-9]{6}$`).exec(name) ?? []
  if (pid === undefined || isAlive(Number(pid))) return false
  const stat = await lstat(join(parent, name)).catch(() => undefined)
  return stat?.isDirectory() === true && stat.uid === process.getuid?.()
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}
