// A PostgreSQL server for the test's own length, as the SQL storage of a real notary-server. It does not run as root: root starts it as the user
// `postgres` of the Debian package.
import { chmodSync, chownSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../free-port.ts'
import { runCommand, runToSuccess, startProcess, type ProcessOptions } from '../processes.ts'
import type { Scope } from '../scope.ts'
import { waitForServer } from './readiness.ts'

const ROOM = '/usr/lib/postgresql'

export interface Postgres {
  /** The URL of a new database of these tables. */
  database(name: string, tables: string): Promise<string>
}

/** A server of the Debian package `postgresql` that answers, until the scope closes. It flushes nothing: nobody needs its data after a crash. */
export async function startPostgres(scope: Scope): Promise<Postgres> {
  const [version] = readdirSync(ROOM).sort((a, b) => Number(b) - Number(a))
  if (version === undefined) throw new Error('PostgreSQL is not installed.')
  const program = (name: string): string => join(ROOM, version, 'bin', name)
  const folder = scope.folder('pg')
  const user = await userFor(folder)
  const data = join(folder, 'data')
  await runToSuccess(program('initdb'), ['-D', data, '-U', 'notary', '-A', 'trust', '-E', 'UTF8', '--no-sync'], user)
  const port = await freePort()
  const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: '', fsync: 'off' }
  const server = startProcess(
    scope,
    program('postgres'),
    ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    user,
  )
  await waitForServer('postgres', server, async () => {
    return (await runCommand(program('pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(port)])).status === 0
  })
  const url = (name: string): string => `postgres://notary@127.0.0.1:${port}/${name}?sslmode=disable`
  const psql = (name: string, sql: string) =>
    runToSuccess(program('psql'), [url(name), '-q', '-v', 'ON_ERROR_STOP=1', '-c', sql])
  return {
    database: async (name, tables) => {
      await psql('postgres', `CREATE DATABASE ${name}`)
      await psql(name, tables)
      return url(name)
    },
  }
}

/** The user to run as, who gets the folder. */
async function userFor(folder: string): Promise<ProcessOptions> {
  if (process.getuid?.() !== 0) return { cwd: folder }
  const ask = async (flag: string): Promise<number> =>
    Number((await runToSuccess('id', [flag, 'postgres'])).stdout.trim())
  const [uid, gid] = [await ask('-u'), await ask('-g')]
  chownSync(folder, uid, gid)
  chmodSync(folder, 0o700)
  return { uid, gid, cwd: folder }
}
