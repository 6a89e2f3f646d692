// Processes of other programs: servers that run for the length of a test, and commands that run to their end.
// Each server is the leader of a process group of its own and is stopped by that group's id, never by name.
import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { Scope } from './scope.ts'

/** The most output kept of one process, in bytes; the start is dropped. */
const MAX_OUTPUT = 2_000_000
/** Milliseconds between a polite stop and the end by force. */
const STOP_GRACE_MS = 10_000

export interface ProcessOptions {
  readonly cwd?: string
  /** Added to this process's own environment; undefined removes a name. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly uid?: number
  readonly gid?: number
}

export interface RunningProcess {
  readonly pid: number
  /** Standard output and standard error so far. */
  output(): string
  /** The exit status or signal, once it has ended. */
  ended(): string | undefined
  /** Sends one signal to the whole group. */
  signal(name: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after the grace time; resolves when it is gone. */
  stop(): Promise<void>
}

const running = new Set<number>()
process.on('exit', () => {
  for (const pid of running) signalGroup(pid, 'SIGKILL')
})

function signalGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name)
  } catch {
    // The group is gone already.
  }
}

function environment(added: ProcessOptions['env'] = {}): NodeJS.ProcessEnv {
  // The options that make mocha load TypeScript must not reach the programs under test.
  const merged: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: undefined, ...added }
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined))
}

function start(
  command: string,
  args: readonly string[],
  options: ProcessOptions,
  input: 'ignore' | 'pipe',
): ChildProcess {
  const { cwd, env, uid, gid } = options
  return spawn(command, args, {
    detached: true,
    stdio: [input, 'pipe', 'pipe'],
    env: environment(env),
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  })
}

/** Starts a server; it is stopped when the scope closes. Wait for its readiness yourself. */
export function startProcess(
  scope: Scope,
  command: string,
  args: readonly string[],
  options: ProcessOptions = {},
): RunningProcess {
  const child = start(command, args, options, 'ignore')
  const pid = child.pid
  if (pid === undefined) throw new Error(`${command} could not be started.`)
  running.add(pid)
  const chunks: Buffer[] = []
  let kept = 0
  let ended: string | undefined
  const keep = (chunk: Buffer): void => {
    kept += chunk.byteLength
    chunks.push(chunk)
    while (kept > MAX_OUTPUT) kept -= chunks.shift()?.byteLength ?? 0
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  const gone = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      ended = error.message
      resolve()
    })
    child.once('exit', (status, signal) => {
      ended = signal ?? `status ${status ?? 'unknown'}`
      resolve()
    })
  })
  const stop = async (): Promise<void> => {
    signalGroup(pid, 'SIGTERM')
    await Promise.race([gone, delay(STOP_GRACE_MS, undefined, { ref: false })])
    // Also after a clean end: what it left behind in its group goes with it.
    signalGroup(pid, 'SIGKILL')
    await gone
    running.delete(pid)
  }
  scope.add(stop)
  return {
    pid,
    output: () => Buffer.concat(chunks).toString('utf8'),
    ended: () => ended,
    signal: (name) => {
      signalGroup(pid, name)
    },
    stop,
  }
}

export interface CommandResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  /** Both streams, for messages. */
  readonly text: string
}

export interface CommandOptions extends ProcessOptions {
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
}

/** Runs a command to its end. A non-zero status is a result, not an error. @throws Error where it cannot start or takes too long */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { timeoutMs = 60_000, input, ...rest } = options
  const child = start(command, args, rest, 'pipe')
  const chunks: { out: Buffer[]; err: Buffer[] } = { out: [], err: [] }
  child.stdout?.on('data', (chunk: Buffer) => chunks.out.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => chunks.err.push(chunk))
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input ?? '')
  const pid = child.pid
  if (pid !== undefined) running.add(pid)
  const deadline = new AbortController()
  const timer = setTimeout(() => {
    deadline.abort()
    if (pid !== undefined) signalGroup(pid, 'SIGKILL')
  }, timeoutMs)
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        resolve(code ?? -1)
      })
    })
    const stdout = Buffer.concat(chunks.out).toString('utf8')
    const stderr = Buffer.concat(chunks.err).toString('utf8')
    if (deadline.signal.aborted)
      throw new Error(`${command} ${args.join(' ')}: not finished within ${timeoutMs} ms.\n${stdout}${stderr}`)
    return { status, stdout, stderr, text: stdout + stderr }
  } finally {
    clearTimeout(timer)
    if (pid !== undefined) running.delete(pid)
  }
}

/** Like runCommand, for steps that must succeed. @throws Error with the output on any other status than 0 */
export async function runToSuccess(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const result = await runCommand(command, args, options)
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: status ${result.status}\n${result.text}`)
  }
  return result
}
