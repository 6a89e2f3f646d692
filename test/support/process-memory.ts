// The writable memory of another process, as its owner or root may read it, and a search in it. Linux only.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const CHUNK_BYTES = 16 * 1024 * 1024
/** Reserved but never touched address space is not worth reading; V8 reserves gigabytes. */
const MAX_REGION_BYTES = 2 * 1024 ** 3

/** How often each pattern occurs. @throws Error with code EACCES or EPERM where the kernel refuses */
export function countInMemory(pid: number, patterns: ReadonlyMap<string, Buffer>): Map<string, number> {
  const counts = new Map([...patterns.keys()].map((name) => [name, 0]))
  const overlap = Math.max(...[...patterns.values()].map(({ byteLength }) => byteLength))
  const regions = writableRegions(pid)
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES + overlap)
    for (const { start, end } of regions) {
      for (let at = start; at < end; at += CHUNK_BYTES) {
        const read = readAt(memory, buffer, at, Math.min(CHUNK_BYTES + overlap, end - at))
        const chunk = buffer.subarray(0, read)
        for (const [name, pattern] of patterns) {
          if (chunk.includes(pattern)) counts.set(name, (counts.get(name) ?? 0) + 1)
        }
      }
    }
    return counts
  } finally {
    closeSync(memory)
  }
}

function writableRegions(pid: number): { start: number; end: number }[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .map((line) => /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line))
    .filter((match) => match !== null)
    .map(([, start = '', end = '']) => ({ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) }))
    .filter(({ start, end }) => end - start <= MAX_REGION_BYTES)
}

/** Some mapped pages cannot be read (guards, devices); they hold nothing of ours. */
function readAt(memory: number, buffer: Buffer, position: number, length: number): number {
  try {
    return readSync(memory, buffer, 0, length, position)
  } catch {
    return 0
  }
}
