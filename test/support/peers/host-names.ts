// Names under which the peers of one test are reached. Docker skips TLS checks for addresses in 127.0.0.0/8, whatever name leads to
// them, so a run that proves TLS needs a name that leads to another address of this machine.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
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

/** From the range for benchmarks (RFC 2544): never routed, so nobody else can reach what listens there. */
const TEST_ADDRESS = '198.18.77.1'
const HOSTS_FILE = '/etc/hosts'

/** Gives this machine a name that is not loopback, until the scope closes. Needs root. */
export async function nonLoopbackHost(scope: Scope): Promise<PeerHost> {
  const address = await testAddress(scope)
  const name = `trust-${process.pid}.countersign.test`
  const line = `${address} ${name}\n`
  const before = readFileSync(HOSTS_FILE, 'utf8')
  appendFileSync(HOSTS_FILE, before === '' || before.endsWith('\n') ? line : `\n${line}`)
  scope.add(() => {
    // Rewritten in place: in a container the file is a mount and cannot be replaced.
    writeFileSync(HOSTS_FILE, readFileSync(HOSTS_FILE, 'utf8').replace(line, ''))
  })
  return { name, address }
}

async function testAddress(scope: Scope): Promise<string> {
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
