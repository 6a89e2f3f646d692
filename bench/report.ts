// A run as text for people, in Markdown as docs/performance.md has it.
import type { Comparison, Side } from './comparison.ts'
import type { Machine } from './machine.ts'
import type { Memory } from './stage.ts'

export interface MemoryRow extends Memory {
  readonly when: string
  /** Absent: stated only. */
  readonly targetMiB?: number
}

export interface Run {
  readonly machine: Machine
  readonly comparisons: readonly Comparison[]
  readonly memory: readonly MemoryRow[]
  readonly seconds: number
}

export function report({ machine, comparisons, memory, seconds }: Run): string {
  const { processor, cores, memoryMiB, kernel, node, notary, loadBefore } = machine
  const lines = [
    `${processor}, ${cores} cores, ${memoryMiB} MiB; Linux ${kernel}; Node ${node}; notary ${notary}; load before the run ${loadBefore.toFixed(2)}; ${seconds.toFixed(0)} s.`,
    '',
    '| scenario | | median, ms if not said | quartiles | min–max | n | of it in the servers | ratio | target | |',
    '|---|---|---|---|---|---|---|---|---|---|',
  ]
  for (const { title, unit, native, ours, ratio, target } of comparisons) {
    const verdict = target === undefined ? ' | ' : `${ratioText(target)} | ${ratio <= target ? 'met' : 'MISSED'}`
    lines.push(
      `| ${title}${unit === undefined ? '' : `, ${unit}`} | ${side(native)} | | | |`,
      `| | ${side(ours)} | **${ratioText(ratio)}** | ${verdict} |`,
    )
  }
  lines.push('', '| resident memory, MiB | daemon | key holder | together | target | |', '|---|---|---|---|---|---|')
  for (const { when, daemonMiB, keyHolderMiB, targetMiB } of memory) {
    const sum = daemonMiB + keyHolderMiB
    const verdict = targetMiB === undefined ? ' | ' : `${targetMiB} | ${sum <= targetMiB ? 'met' : 'MISSED'}`
    lines.push(`| ${when} | ${daemonMiB.toFixed(0)} | ${keyHolderMiB.toFixed(0)} | ${sum.toFixed(0)} | ${verdict} |`)
  }
  return lines.join('\n')
}

function side({ what, summary, servers }: Side): string {
  const { median, quartiles, min, max, count } = summary
  const share =
    servers === undefined ? '' : `${digits(servers.milliseconds)} ms, ${servers.requests.toFixed(0)} requests`
  return `${what} | ${digits(median)} | ${quartiles.map(digits).join('–')} | ${digits(min)}–${digits(max)} | ${count} | ${share}`
}

/** 0.64, and 1/18 where that is easier to read. */
function ratioText(ratio: number): string {
  return ratio >= 0.4 ? ratio.toFixed(2) : `1/${(1 / ratio).toFixed(1)}`
}

function digits(milliseconds: number): string {
  return milliseconds.toFixed(milliseconds < 100 ? 1 : 0)
}
