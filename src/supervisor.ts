// `serve`: the daemon, and the key holder as its child where the configuration says so. Starts them in order, stops them in reverse.
import { chmodSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { programVersion, startApp } from './app.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { KeyHolderClient } from './holder/client.ts'
import { createLog, type Log } from './log.ts'
import { FIRST_TOKEN_FILE, KEY_HOLDER_FOLDER, openDataFolder } from './supervisor/data-folder.ts'
import { type Owner, prepareKeyHolderFiles } from './supervisor/key-holder-files.ts'
import { KeyHolderProcess, type KeyHolderProcessOptions } from './supervisor/key-holder-process.ts'

export interface ServeOptions {
  /** Tells a person at the terminal where things are; never a secret. The log goes to standard output. */
  readonly tell?: (line: string) => void
  readonly log?: Log
  /** How this program is called, for the key holder: by default as this process was. */
  readonly program?: KeyHolderProcessOptions['program']
  readonly environment?: KeyHolderProcessOptions['environment']
}

export interface RunningServer {
  /** Where the API listens. */
  readonly url: string
  /** No new work; resolves when the steps at hand are finished and everything is closed, the key holder last. */
  stop(): Promise<void>
}

/**
 * Starts everything. What has been started is stopped again where a later step fails.
 * @throws ConfigError FIRST_START_REFUSED, DATA_FOLDER_EXPOSED, KEY_HOLDER_NOT_STARTED, SECRET_FILE_*; StoreError; Error where the
 * address is taken
 */
export async function startServe(loaded: LoadedConfig, options: ServeOptions = {}): Promise<RunningServer> {
  const { config } = loaded
  const log = options.log ?? createLog(config.log.level)
  const tell = options.tell ?? (() => undefined)
  const dataFolder = resolve(config.dataFolder)
  log.info({ version: programVersion(), configDigest: loaded.digest, dataFolder }, 'starting')
  if (config.trustServers.length === 0) {
    log.warn({}, 'no trust server is configured')
    tell('No trust server is configured yet: nothing can be signed until trustServers and registries are set.')
  }
  const database = openDataFolder(dataFolder)
  const child = superviseKeyHolder(config, dataFolder, log, options)
  try {
    await child?.start()
    const firstTokenFile = join(dataFolder, FIRST_TOKEN_FILE)
    const app = await startApp({ config, log, database, firstTokenFile, tell })
    void warnOfSharedUser(config, log)
    tell(`Countersign listens on ${app.url}`)
    return {
      url: app.url,
      stop: async () => {
        await app.stop()
        await child?.stop()
      },
    }
  } catch (error) {
    await child?.stop()
    database.close()
    throw error
  }
}

function superviseKeyHolder(
  config: Config,
  dataFolder: string,
  log: Log,
  options: ServeOptions,
): KeyHolderProcess | undefined {
  const { supervise, serviceSocket } = config.keyHolder
  if (supervise === undefined) return undefined
  const { uid, gid } = supervise
  const owner: Owner | undefined = uid === undefined || gid === undefined ? undefined : { uid, gid }
  // The key holder's user has to walk through the data folder to its own folder in it; it still cannot list it.
  if (owner !== undefined && supervise.configFile === undefined) chmodSync(dataFolder, 0o711)
  const configFile =
    supervise.configFile ?? prepareKeyHolderFiles({ folder: join(dataFolder, KEY_HOLDER_FOLDER), serviceSocket, owner })
  return new KeyHolderProcess({
    program: options.program ?? thisProgram(),
    configFile: resolve(configFile),
    serviceSocket,
    owner,
    log,
    environment: options.environment ?? process.env,
  })
}

/** The way in which this process was started, loaders included. */
function thisProgram(): readonly [string, ...string[]] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? '']
}

/** Two processes of one user are one purse: a thief of the daemon can read the keys. Root can read everything. */
async function warnOfSharedUser(config: Config, log: Log): Promise<void> {
  const client = new KeyHolderClient(config.keyHolder.serviceSocket)
  try {
    const { uid } = await client.status()
    const own = process.getuid?.()
    if (own !== uid && own !== 0) return
    log.warn(
      { daemonUid: own, keyHolderUid: uid },
      'the daemon can read the keys, since both processes share a user or the daemon is root: give each a user of its own',
    )
  } catch (error) {
    log.warn({ error }, 'the key holder does not answer yet')
  } finally {
    client.close()
  }
}
