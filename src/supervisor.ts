// `serve`: the daemon, and as its children the key holder and the trust server where the configuration names no others. The children are
// there before the daemon, and stop after it, the key holder last.
import { chmodSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CodedError } from '@countersign/tuf'
import { startApp } from './app.ts'
import { TrustServerProbe } from './app/trust-server-probe.ts'
import type { LoadedConfig } from './config/load.ts'
import { trustServerSchema, type Config } from './config/schema.ts'
import { KeyHolderClient } from './holder/client.ts'
import { parseKeyHolderConfig } from './key-holder/config.ts'
import { createLog, type Log } from './log.ts'
import {
  AUTHORITY_FOLDER,
  FIRST_TOKEN_FILE,
  KEY_HOLDER_FOLDER,
  openDataFolder,
  TRUST_SERVER_FOLDER,
  TRUST_SERVER_TOKEN_FILE,
} from './supervisor/data-folder.ts'
import { prepareKeyHolderFiles } from './supervisor/key-holder-files.ts'
import type { Owner } from './supervisor/private-files.ts'
import { SupervisedProcess, type ProcessKind, type SupervisedProcessOptions } from './supervisor/supervised-process.ts'
import { prepareTrustServerFiles, type TrustServerFiles } from './supervisor/trust-server-files.ts'
import { programVersion } from './version.ts'

export interface ServeOptions {
  /** Tells a person at the terminal where things are; never a secret. The log goes to standard output. */
  readonly tell?: (line: string) => void
  readonly log?: Log
  /** How this program is called, for its children: by default as this process was. */
  readonly program?: SupervisedProcessOptions['program']
  readonly environment?: SupervisedProcessOptions['environment']
}

export interface RunningServer {
  /** Where the API listens. */
  readonly url: string
  /** No new work; resolves when the steps at hand are finished and everything is closed, the key holder last. */
  stop(): Promise<void>
}

const KEY_HOLDER: ProcessKind = {
  command: 'key-holder',
  title: 'key holder',
  prefix: 'KEY_HOLDER_',
  notStarted: 'KEY_HOLDER_NOT_STARTED',
  advice: 'Its own lines in the log say why.',
}

const TRUST_SERVER: ProcessKind = {
  command: 'trust-server',
  title: 'trust server',
  prefix: 'TRUST_SERVER_',
  notStarted: 'TRUST_SERVER_NOT_STARTED',
  advice:
    'Its own lines in the log say why. Where its port is taken, choose another: TRUST_SERVER_HTTP__LISTEN=127.0.0.1:PORT.',
}

/** What `repo move --to` calls the trust server that is started here. */
const EMBEDDED = 'embedded'

/** How often the certificate's end is looked at, in milliseconds. */
const RENEWAL_EVERY_MS = 3_600_000

/**
 * Starts everything. What has been started is stopped again where a later step fails.
 * @throws ConfigError CONFIG_INVALID, FIRST_START_REFUSED, DATA_FOLDER_EXPOSED, KEY_HOLDER_NOT_STARTED, TRUST_SERVER_NOT_STARTED,
 * SECRET_FILE_*; StoreError; Error where the address is taken
 */
export async function startServe(loaded: LoadedConfig, options: ServeOptions = {}): Promise<RunningServer> {
  const { config } = loaded
  const log = options.log ?? createLog(config.log.level)
  const tell = options.tell ?? (() => undefined)
  const dataFolder = resolve(config.dataFolder)
  log.info({ version: programVersion(), configDigest: loaded.digest, dataFolder }, 'starting')
  const database = openDataFolder(dataFolder)
  /** Stopped in reverse. */
  const started: { stop(): Promise<void> | void }[] = []
  const stopAll = async (): Promise<void> => {
    for (let one = started.pop(); one !== undefined; one = started.pop()) await one.stop()
  }
  try {
    const children = { dataFolder, log, ...childOptions(options) }
    const keyHolder = prepareKeyHolder(config, children)
    const trustServer = prepareTrustServer(config, keyHolder?.configFile, children)
    if (trustServer === undefined && config.trustServers.length === 0) {
      log.warn({}, 'no trust server is configured')
      tell('No trust server: name one in trustServers, or give the key holder a trustServerSocket.')
    }
    const processes = [keyHolder, trustServer].flatMap((child) => (child === undefined ? [] : [child.process]))
    started.push(...processes)
    await Promise.all(processes.map((one) => one.start()))
    const app = await startApp({
      config:
        trustServer === undefined ? config : { ...config, trustServers: [...config.trustServers, trustServer.client] },
      log,
      database,
      firstTokenFile: join(dataFolder, FIRST_TOKEN_FILE),
      tell,
      ...(trustServer !== undefined && { trustServer: trustServer.probe }),
    })
    started.push(app)
    if (trustServer !== undefined) started.push(keepCertificate(trustServer, log))
    void warnOfSharedUser(config, trustServer !== undefined, log)
    tell(`Countersign listens on ${app.url}`)
    if (trustServer !== undefined) tellOf(trustServer.files, tell)
    return { url: app.url, stop: stopAll }
  } catch (error) {
    await stopAll()
    database.close()
    throw error
  }
}

interface Children {
  readonly dataFolder: string
  readonly log: Log
  readonly program: SupervisedProcessOptions['program']
  readonly environment: SupervisedProcessOptions['environment']
}

interface Child {
  readonly process: SupervisedProcess
  readonly configFile: string
}

interface TrustServerChild extends Child {
  readonly files: TrustServerFiles
  readonly probe: TrustServerProbe
  /** How the daemon reaches it. */
  readonly client: Config['trustServers'][number]
}

function childOptions(options: ServeOptions): Pick<Children, 'program' | 'environment'> {
  return { program: options.program ?? thisProgram(), environment: options.environment ?? process.env }
}

/** The way in which this process was started, loaders included. */
function thisProgram(): readonly [string, ...string[]] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? '']
}

function prepareKeyHolder(config: Config, { dataFolder, ...rest }: Children): Child | undefined {
  const { supervise, serviceSocket } = config.keyHolder
  if (supervise === undefined) return undefined
  const owner = ownerOf(supervise)
  // Users of their own have to walk through the data folder to their own folders in it; they still cannot list it.
  if (owner !== undefined && supervise.configFile === undefined) chmodSync(dataFolder, 0o711)
  const configFile = resolve(
    supervise.configFile ??
      prepareKeyHolderFiles({
        folder: join(dataFolder, KEY_HOLDER_FOLDER),
        serviceSocket,
        owner,
        trustServerOwner: ownerOf(config.embeddedTrustServer),
      }),
  )
  const isAnswering = () => isKeyHolderAnswering(serviceSocket)
  return { configFile, process: new SupervisedProcess({ ...rest, kind: KEY_HOLDER, configFile, isAnswering, owner }) }
}

/** Where no other trust server is named or repositories may move into it, and only beside a key holder of our own that opens a socket for it. */
function prepareTrustServer(
  config: Config,
  keyHolderConfigFile: string | undefined,
  { dataFolder, ...rest }: Children,
): TrustServerChild | undefined {
  const { guns } = config.embeddedTrustServer
  const isAlone = config.trustServers.length === 0
  if ((!isAlone && guns.length === 0) || keyHolderConfigFile === undefined) return undefined
  const keyHolderSocket = trustServerSocketOf(keyHolderConfigFile, rest.environment)
  if (keyHolderSocket === undefined) return undefined
  const owner = ownerOf(config.embeddedTrustServer)
  if (owner !== undefined) chmodSync(dataFolder, 0o711)
  const tokenFile = join(dataFolder, TRUST_SERVER_TOKEN_FILE)
  const files = prepareTrustServerFiles({
    folder: join(dataFolder, TRUST_SERVER_FOLDER),
    authorityFolder: join(dataFolder, AUTHORITY_FOLDER),
    tokenFile,
    keyHolderSocket,
    owner,
    environment: rest.environment,
  })
  const { configFile, url, tls } = files
  const probe = new TrustServerProbe(url, { caPem: readFileSync(tls.caFile, 'utf8') })
  const isAnswering = async () => (await probe.ask()) !== 'unreachable'
  return {
    configFile,
    files,
    probe,
    process: new SupervisedProcess({ ...rest, kind: TRUST_SERVER, configFile, isAnswering, owner }),
    client: trustServerSchema.parse({
      name: EMBEDDED,
      url,
      guns: isAlone ? ['*'] : guns,
      caFile: tls.caFile,
      credentials: { kind: 'file', username: 'countersign', passwordFile: tokenFile },
    }),
  }
}

/** Undefined also where the file cannot be used: the key holder says why, and does not come up. */
function trustServerSocketOf(configFile: string, environment: Children['environment']): string | undefined {
  try {
    return parseKeyHolderConfig(readFileSync(configFile, 'utf8'), environment).trustServerSocket
  } catch {
    return undefined
  }
}

function ownerOf({ uid, gid }: { uid?: number | undefined; gid?: number | undefined }): Owner | undefined {
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

/** A sealed key holder answers, too. */
async function isKeyHolderAnswering(socket: string): Promise<boolean> {
  const client = new KeyHolderClient(socket, { timeoutMs: 5_000 })
  try {
    await client.status()
    return true
  } catch (error) {
    return error instanceof CodedError && error.code !== 'KEY_HOLDER_UNREACHABLE'
  } finally {
    client.close()
  }
}

/** A server reads its certificate when it starts, so a new one takes a new start: a second in a year. */
function keepCertificate({ files, process: child }: TrustServerChild, log: Log): { stop(): void } {
  const timer = setInterval(() => {
    try {
      if (!files.renew(new Date())) return
      log.info({}, 'made a new certificate for the trust server, which starts again with it')
      child.replace()
    } catch (error) {
      log.error({ error }, 'the certificate of the trust server could not be made again; it is tried again')
    }
  }, RENEWAL_EVERY_MS)
  return {
    stop: () => {
      clearInterval(timer)
    },
  }
}

function tellOf({ publicUrl, tls }: TrustServerFiles, tell: (line: string) => void): void {
  const folder = `~/.docker/tls/${new URL(publicUrl).host}`
  tell(`For docker and notary: the trust server ${publicUrl}, which has a certificate authority of its own.`)
  tell(`  mkdir -p ${folder} && cp ${tls.caFile} ${folder}/ca.crt`)
  tell(`  export DOCKER_CONTENT_TRUST_SERVER=${publicUrl}`)
  tell(`  notary --tlscacert ${tls.caFile} --server ${publicUrl} list REPOSITORY`)
}

/** Processes of one user are one purse: a thief of the daemon can read the keys. Root can read everything. */
async function warnOfSharedUser(config: Config, hasTrustServer: boolean, log: Log): Promise<void> {
  const own = process.getuid?.()
  const client = new KeyHolderClient(config.keyHolder.serviceSocket)
  try {
    const { uid } = await client.status()
    if (own === uid || own === 0) {
      log.warn(
        { daemonUid: own, keyHolderUid: uid },
        'the daemon can read the keys, since both processes share a user or the daemon is root: give each a user of its own',
      )
    }
    const server = config.embeddedTrustServer.uid ?? own
    if (hasTrustServer && (server === uid || server === 0)) {
      log.warn(
        { trustServerUid: server, keyHolderUid: uid },
        'the trust server can read the keys, since both processes share a user or it is root: give each a user of its own',
      )
    }
  } catch (error) {
    log.warn({ error }, 'the key holder does not answer yet')
  } finally {
    client.close()
  }
}
