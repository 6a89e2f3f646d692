// Lets a key holder die at a step of one request, and starts a good one on what it left.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import { expectCodeAsync } from './expect-code.ts'
import type { TestKeyHolder } from './key-holder.ts'

const SCRIPT = join(import.meta.dirname, 'crashing-key-holder.ts')

/** Runs `request` against a key holder that dies at the n-th passing of the step, then starts a good one. */
export async function crashAt(
  holder: TestKeyHolder,
  step: Step,
  count: number,
  request: () => Promise<unknown>,
): Promise<void> {
  await holder.stop()
  const configFile = join(holder.folder, '..', 'crash.json')
  const { unlock, socketMode, logLevel, ...rest } = holder.config
  expect([socketMode, logLevel]).to.deep.equal([0o660, 'info'])
  writeFileSync(configFile, JSON.stringify({ ...rest, unlock: { keyFile: unlock.path } }))
  const child = spawn(
    process.execPath,
    ['--import=tsx', '--conditions=source', SCRIPT, configFile, step, String(count)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const ended = once(child, 'exit')
  try {
    await once(child.stdout, 'data')
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', request)
  } finally {
    child.kill('SIGKILL')
  }
  expect(await ended).to.deep.equal([null, 'SIGKILL'])
  await holder.start()
}
