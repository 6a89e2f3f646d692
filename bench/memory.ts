// Resident memory of processes. Linux only.
import { readFileSync } from 'node:fs'

/** MiB of a process that are in memory now, shared pages included. */
export function residentMiB(pid: number): number {
  const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) / 1024
}
