// Folders that a command works in and removes again. One that was killed cannot, so the next one does.
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from './errors.ts'

/**
 * A new folder `PREFIX-PID-RANDOM` with mode 0700. What processes of this user that have ended left under such a name is removed before. A
 * process that another container has started looks as if it had ended: two of them do not work in one place at a time.
 * @throws CliError FILE_UNWRITABLE
 */
export async function makeWorkFolder(parent: string, prefix: string): Promise<string> {
  try {
    for (const name of await readdir(parent)) {
      if (await isLeftOver(parent, name, prefix)) await rm(join(parent, name), { recursive: true, force: true })
    }
    return await mkdtemp(join(parent, `${prefix}-${process.pid}-`))
  } catch (cause) {
    throw new CliError('FILE_UNWRITABLE', `${parent} cannot be written.`, { facts: { folder: parent }, cause })
  }
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
