// Docker credential helpers: `docker-credential-<suffix> get`, the server on standard input, JSON on standard output.
// Started without a shell, with limits on time and output. docker/docker-credential-helpers README.
import { spawn } from 'node:child_process'
import * as z from 'zod'
import { NetError } from './errors.ts'

const SUFFIX = /^[a-z0-9][a-z0-9_-]{0,63}$/
const TIMEOUT_MS = 15_000
const MAX_OUTPUT_BYTES = 256 * 1024
const NOT_FOUND = 'credentials not found in native keychain'

const helperAnswer = z.object({ Username: z.string(), Secret: z.string() })

/** Undefined: the helper has none for this server. @throws NetError CREDENTIAL_HELPER_FAILED, never with its output */
export async function askCredentialHelper(
  suffix: string,
  serverKey: string,
  timeoutMs = TIMEOUT_MS,
): Promise<{ username: string; secret: string } | undefined> {
  if (!SUFFIX.test(suffix)) throw failed('its name is not allowed')
  const { status, output } = await run(`docker-credential-${suffix}`, serverKey, timeoutMs)
  if (status !== 0) {
    if (output.toString('utf8').includes(NOT_FOUND)) return undefined
    throw failed(`it ended with status ${status ?? 'none'}`)
  }
  return parseHelperAnswer(output)
}

/** @throws NetError CREDENTIAL_HELPER_FAILED, never with the answer */
export function parseHelperAnswer(output: Buffer): { username: string; secret: string } {
  const parsed = helperAnswer.safeParse(readJson(output))
  if (!parsed.success) throw failed('its answer has an unknown form')
  return { username: parsed.data.Username, secret: parsed.data.Secret }
}

function readJson(output: Buffer): unknown {
  try {
    return JSON.parse(output.toString('utf8'))
  } catch {
    throw failed('its answer is not JSON')
  }
}

/** The helper leads a process group of its own, and the whole group ends with it: what it started may hold its output open. */
async function run(
  program: string,
  input: string,
  timeoutMs: number,
): Promise<{ status: number | null; output: Buffer }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
    const chunks: Buffer[] = []
    let length = 0
    const timer = setTimeout(() => {
      reject(failed(`${program} took longer than ${timeoutMs} ms`))
      endGroup(child.pid)
    }, timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.byteLength
      if (length <= MAX_OUTPUT_BYTES) return void chunks.push(chunk)
      reject(failed(`${program} wrote more than ${MAX_OUTPUT_BYTES} bytes`))
      endGroup(child.pid)
    })
    child.on('error', () => {
      clearTimeout(timer)
      reject(failed(`${program} cannot be started`))
    })
    child.on('exit', () => {
      endGroup(child.pid)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, output: Buffer.concat(chunks) })
    })
    // A helper that does not read its input must not bring us down.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group is gone already.
  }
}

function failed(why: string): NetError {
  return new NetError('CREDENTIAL_HELPER_FAILED', `The credential helper failed: ${why}.`, { why })
}
