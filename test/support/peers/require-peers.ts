// Which real peers this machine has. A suite that needs one asks here first: in CI a missing peer is a failure, elsewhere the suite is
// skipped and says which line installs what is missing.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { execFileSync } from 'node:child_process'

/** Each peer: the programs it consists of, and the Debian package that has them. */
const PEERS = {
  'notary-server': { programs: ['notary-server', 'notary-signer'], debianPackage: 'notary' },
  notary: { programs: ['notary'], debianPackage: 'notary' },
  registry: { programs: ['docker-registry'], debianPackage: 'docker-registry' },
  docker: { programs: ['docker'], debianPackage: 'docker.io' },
  'docker-engine': { programs: ['dockerd', 'containerd', 'runc', 'tar'], debianPackage: 'docker.io' },
  // Gives stock Go clients another clock; libfaketime is found by shifted-clock.ts.
  'shifted-clock': { programs: ['qemu-x86_64'], debianPackage: 'qemu-user libfaketime' },
  // Tokens, and the other programs' look at them; cc makes modules that hang.
  softhsm: {
    programs: ['softhsm2-util', 'pkcs11-tool', 'p11-kit', 'cc'],
    debianPackage: 'softhsm2 opensc p11-kit p11-kit-modules gcc',
  },
  // For the examples of the documents.
  curl: { programs: ['curl', 'bash'], debianPackage: 'curl' },
  // Not a peer of Countersign: two users of this machine, one of which tries to look at the other.
  'two-users': { programs: ['perl'], debianPackage: 'perl' },
} as const

/** What only root can start. */
const FOR_ROOT: readonly PeerName[] = ['docker-engine', 'two-users']

export type PeerName = keyof typeof PEERS

/** Clients from this major version on have no content trust in pull and push. */
const FIRST_DOCKER_WITHOUT_TRUST = 29

/** All executables of that name, in the order of PATH; /usr/sbin and /sbin are looked at too, as an ordinary user's PATH lacks them. */
export function programsOnPath(name: string): string[] {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(
    (folder) => folder !== '',
  )
  return [...new Set(folders)].map((folder) => join(folder, name)).filter(isExecutable)
}

/** The first executable of that name. @throws Error where there is none: ask requirePeers first */
export function programOnPath(name: string): string {
  const [first] = programsOnPath(name)
  if (first === undefined) throw new Error(`${name} is not installed.`)
  return first
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

interface DockerProgram {
  readonly path: string
  readonly version: string
}

let trusting: readonly DockerProgram[] | undefined

/** The docker clients that still verify content trust on pull, newest first, one of each version. Asked of the machine once: each answer costs a process. */
export function trustingDockerClients(): readonly DockerProgram[] {
  trusting ??= findTrustingDockerClients()
  return trusting
}

function findTrustingDockerClients(): readonly DockerProgram[] {
  const clients = programsOnPath('docker').map((path) => ({ path, version: dockerVersion(path) }))
  return clients
    .filter(({ version }) => Number.parseInt(version, 10) < FIRST_DOCKER_WITHOUT_TRUST)
    .filter(({ version }, index, all) => all.findIndex((other) => other.version === version) === index)
    .sort((a, b) => b.version.localeCompare(a.version, 'en', { numeric: true }))
}

function dockerVersion(path: string): string {
  try {
    const text = execFileSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 })
    return /version ([\d.]+)/.exec(text)?.[1] ?? ''
  } catch {
    return ''
  }
}

function isMissing(peer: PeerName): boolean {
  if (peer === 'docker' && trustingDockerClients().length === 0) return true
  return PEERS[peer].programs.some((program) => programsOnPath(program).length === 0)
}

/** What is missing, and the line that installs it; undefined where everything is there. */
export function missingPeers(names: readonly PeerName[]): { names: PeerName[]; remedy: string } | undefined {
  const missing = names.filter(isMissing)
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((name) => PEERS[name].debianPackage))]
    return { names: missing, remedy: `apt-get install -y --no-install-recommends ${packages.join(' ')}` }
  }
  const forRoot = names.filter((name) => FOR_ROOT.includes(name))
  if (forRoot.length === 0 || process.getuid?.() === 0) return undefined
  return { names: forRoot, remedy: 'run the suite as root' }
}

const told = new Set<string>()

/**
 * Call it first in a suite's `before`. Where a peer is missing: skips the suite and says so once per reason.
 * @throws Error in CI, where skipping would hide a hole
 */
export function requirePeers(suite: Mocha.Context, ...names: PeerName[]): void {
  const missing = missingPeers(names)
  if (missing === undefined) return
  const title = suite.test?.parent?.fullTitle() ?? 'a suite'
  const sentence = `skipped: ${title} (missing: ${missing.names.join(', ')}). To run it: ${missing.remedy}`
  if ((process.env['CI'] ?? '') !== '') throw new Error(sentence)
  if (!told.has(sentence)) process.stderr.write(`    ${sentence}\n`)
  told.add(sentence)
  suite.skip()
}
