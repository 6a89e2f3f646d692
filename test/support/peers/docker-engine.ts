// A real Docker engine on a socket and in folders of its own. Needs root. It trusts the given authority through SSL_CERT_FILE, so that
// nothing of this machine is changed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand, startProcess, type RunningProcess } from '../processes.ts'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'
import { waitForServer } from './readiness.ts'
import { programOnPath } from './require-peers.ts'

export interface DockerEngine {
  /** For DOCKER_HOST. */
  readonly address: string
  readonly folder: string
  readonly process: RunningProcess
}

/** A dockerd that answers, until the scope closes. Its containers have no bridge: give them `--network none` or `host`. */
export async function startDockerEngine(scope: Scope, options: { ca?: TestCa } = {}): Promise<DockerEngine> {
  const folder = scope.folder('engine')
  const storageDriver = (await hasOverlay(folder)) ? 'overlay2' : 'vfs'
  // Runs after the engine has stopped and before its folder is removed.
  scope.add(() => unmountBelow(folder))
  const caFile = join(folder, 'ca.crt')
  if (options.ca !== undefined) writeFileSync(caFile, options.ca.certificatePem)
  writeFileSync(join(folder, 'daemon.json'), '{}')
  const socket = join(folder, 'd.sock')
  const engine = startProcess(
    scope,
    programOnPath('dockerd'),
    [
      `--config-file=${join(folder, 'daemon.json')}`,
      '--iptables=false',
      '--bridge=none',
      `--storage-driver=${storageDriver}`,
      `--data-root=${join(folder, 'data')}`,
      `--exec-root=${join(folder, 'exec')}`,
      `--pidfile=${join(folder, 'pid')}`,
      `--host=unix://${socket}`,
    ],
    { env: options.ca === undefined ? {} : { SSL_CERT_FILE: caFile } },
  )
  const docker = programOnPath('docker')
  const address = `unix://${socket}`
  await waitForServer('dockerd', engine, async () => {
    return (await runCommand(docker, ['--host', address, 'version'], { env: { DOCKER_CONFIG: folder } })).status === 0
  })
  return { address, folder, process: engine }
}

/** Whether layers can be mounted above one another there; else each is a full copy, which works everywhere and takes its time. */
async function hasOverlay(folder: string): Promise<boolean> {
  const at = (name: string): string => join(folder, 'probe', name)
  const [lower, upper, work, merged] = [at('lower'), at('upper'), at('work'), at('merged')]
  for (const path of [lower, upper, work, merged]) mkdirSync(path, { recursive: true })
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`
  const mounted = await runCommand(programOnPath('mount'), ['-t', 'overlay', 'overlay', '-o', options, merged])
  if (mounted.status === 0) await runCommand(programOnPath('umount'), [merged])
  return mounted.status === 0
}

/** The engine leaves mounts behind (its network namespace, its data folder); they would keep the folder from being removed. */
async function unmountBelow(folder: string): Promise<void> {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse()
  for (const path of mounted) await runCommand(programOnPath('umount'), ['--lazy', path])
}
