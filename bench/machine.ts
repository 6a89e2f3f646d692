// Where the figures were made.
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { programOnPath } from '../test/support/peers/require-peers.ts'

export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryMiB: number
  readonly kernel: string
  readonly node: string
  readonly notary: string
  /** Of the last minute, before the run: above a few tenths somebody else was at work. */
  readonly loadBefore: number
}

export function describeMachine(): Machine {
  const [first, ...others] = cpus()
  return {
    processor: first?.model ?? 'unknown',
    cores: 1 + others.length,
    memoryMiB: Math.round(totalmem() / 1024 ** 2),
    kernel: release(),
    node: process.version,
    notary: notaryVersion(),
    loadBefore: loadavg()[0] ?? 0,
  }
}

function notaryVersion(): string {
  const text = execFileSync(programOnPath('notary'), ['version'], { encoding: 'utf8' })
  return /Version:\s*(\S+)/.exec(text)?.[1] ?? 'unknown'
}
