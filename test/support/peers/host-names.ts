// Names under which the peers of one test are reached. Docker skips TLS checks for addresses in 127.0.0.0/8, whatever name leads to
// them, so a run that proves TLS needs a name that leads to another address of this machine.
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '../polling.ts'
import type { Scope } from '../scope.ts'
import { runCommand } from '../processes.ts'
import { programsOnPath } from './require-peers.ts'

export interface PeerHost {
  /** What clients write. */
  readonly name: string
  /** Where servers listen. */
  readonly address: string
}

export const LOOPBACK: PeerHost = { name: 'localhost', address: '127.0.0.1' }

/**
 * From the range for benchmarks (RFC 2544): never routed, so nobody else can reach what listens there. One for each process: test files run
 * beside one another.
 */
const TEST_ADDRESS = `198.18.${(process.pid >> 8) & 255}.${process.pid & 255}`
const HOSTS_FILE = '/etc/hosts'
const HOSTS_LOCK = join(tmpdir(), 'countersign-test-hosts.lock')
/** A lock this old was left by a process that was killed. */
const STALE_MS = 10_000

/** Gives this machine a name that is not loopback, until the scope closes. Needs root. */
export async function nonLoopbackHost(scope: Scope): Promise<PeerHost> {
  const address = await nonLoopbackAddress(scope)
  const name = `trust-${process.pid}.countersign.test`
  const line = `${address} ${name}\n`
  await changeHosts((text) => `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}`)
  scope.add(() => changeHosts((text) => text.replace(line, '')))
  return { name, address }
}

/** One process after the other. Rewritten in place: in a container the file is a mount and cannot be replaced. */
async function changeHosts(change: (text: string) => string): Promise<void> {
  await waitFor('the lock of the hosts file', () => {
    if (existsSync(HOSTS_LOCK) && Date.now() - statSync(HOSTS_LOCK).mtimeMs > STALE_MS) rmdirSync(HOSTS_LOCK)
    mkdirSync(HOSTS_LOCK)
    return true
  })
  try {
    writeFileSync(HOSTS_FILE, change(readFileSync(HOSTS_FILE, 'utf8')))
  } finally {
    rmdirSync(HOSTS_LOCK)
  }
}

/** An address of this machine that is not loopback, until the scope closes. Needs root, or a network. */
export async function nonLoopbackAddress(scope: Scope): Promise<string> {
  const [ip] = programsOnPath('ip')
  if (ip !== undefined) {
    const added = await runCommand(ip, ['address', 'add', `${TEST_ADDRESS}/32`, 'dev', 'lo'])
    if (added.status === 0) {
      scope.add(async () => {
        await runCommand(ip, ['address', 'delete', `${TEST_ADDRESS}/32`, 'dev', 'lo'])
      })
      return TEST_ADDRESS
    }
    if (added.text.includes('exists')) return TEST_ADDRESS
  }
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)
  if (own === undefined)
    throw new Error('This machine has no address but loopback, and none could be added with ip(8).')
  return own.address
}
