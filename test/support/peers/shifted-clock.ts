// A stock Go client under another clock. Go asks the kernel itself, past the C library that libfaketime replaces; inside qemu's user mode
// emulation its question becomes one of qemu's to the C library of this machine.
import { existsSync } from 'node:fs'
import type { Wrapped } from './notary-client.ts'
import { programOnPath } from './require-peers.ts'

const LIBRARIES = ['/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1', '/usr/lib/faketime/libfaketime.so.1']

/** `COUNTERSIGN_TEST_FAKETIME` names one elsewhere. */
export function faketimeLibrary(): string | undefined {
  return [process.env['COUNTERSIGN_TEST_FAKETIME'] ?? '', ...LIBRARIES].find((path) => path !== '' && existsSync(path))
}

/** The program, begun at that moment. @throws Error where a part is not installed: ask requirePeers first */
export function atClock(now: Date, program: string, args: readonly string[]): Wrapped {
  const library = faketimeLibrary()
  if (library === undefined) throw new Error('libfaketime is not installed.')
  const text = now.toISOString().slice(0, 19).replace('T', ' ')
  return {
    command: programOnPath('qemu-x86_64'),
    // The client itself must not load it as well.
    args: ['-U', 'LD_PRELOAD', program, ...args],
    env: { LD_PRELOAD: library, FAKETIME: `@${text}`, TZ: 'UTC' },
  }
}
