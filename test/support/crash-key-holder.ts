// A key holder as a process of its own, with the clock of the tests; and one that dies at a step of one request, after which a good one
// starts on what it left.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import type { KeyHolderConfig } from '../../src/key-holder/main.ts'
import { bundledScript } from './bundled-script.ts'
import { expectCodeAsync } from './expect-code.ts'
import type { TestKeyHolder } from './key-holder.ts'

const SCRIPT = join(import.meta.dirname, 'crashing-key-holder.ts')

/** Starts the process in the place of a stopped key holder; resolves when it listens. With a step: it dies at the n-th passing of it. */
export async function startSeparately(
  holder: TestKeyHolder,
  step: Step | 'none' = 'none',
  count = 1,
  config: KeyHolderConfig = holder.config,
): Promise<ChildProcess> {
  const configFile = join(holder.folder, '..', 'crash.json')
  const { unlock, nextUnlock, backupPassphraseFile, socketMode, logLevel, ...rest } = config
  expect([socketMode, logLevel]).to.deep.equal([0o660, 'info'])
  const current = unlock === undefined ? { operator: true } : { keyFile: unlock.path }
  const files = { ...current, nextKeyFile: nextUnlock?.path }
  writeFileSync(
    configFile,
    JSON.stringify({ ...rest, unlock: files, backup: { passphraseFile: backupPassphraseFile } }),
  )
  const child = spawn(process.execPath, [await bundledScript(SCRIPT), configFile, step, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

/** Runs `request` against a key holder that dies at the n-th passing of the step, then starts a good one. */
export async function crashAt(
  holder: TestKeyHolder,
  step: Step,
  count: number,
  request: () => Promise<unknown>,
  config: KeyHolderConfig = holder.config,
): Promise<void> {
  await holder.stop()
  const child = await startSeparately(holder, step, count, config)
  const ended = once(child, 'exit')
  try {
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', request)
  } finally {
    child.kill('SIGKILL')
  }
  expect(await ended).to.deep.equal([null, 'SIGKILL'])
  await holder.start({}, config)
}
