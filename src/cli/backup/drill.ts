// `backup drill`: the loss of the machine, rehearsed. The backup is restored into a folder of its own, a key holder of its own starts there,
// every key signs, a signature is rehearsed, and all of it is destroyed. The running service is neither asked nor touched.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExitStatus } from '../errors.ts'
import type { Session } from '../session.ts'
import type { OpeningOptions } from '../shares/options.ts'
import { makeWorkFolder } from '../work-folder.ts'
import { withFileCodes } from './errors.ts'
import { LAYOUT } from './layout.ts'
import { passphraseOf } from './passphrase.ts'
import { rehearse, REHEARSAL_LIMITS } from './rehearsal.ts'
import { describeBackup, describeTokenKeys, tokensOf, unproven } from './report.ts'
import { unpackBackup } from './unpack.ts'

export interface DrillOptions extends OpeningOptions {
  readonly keyHolderConfig?: string
  readonly workFolder?: string
}

/** @throws CliError BACKUP_DAMAGED, PASSPHRASE_*, DRILL_FAILED; KeyHolderError; StoreError */
export async function drillBackup(session: Session, file: string, options: DrillOptions): Promise<ExitStatus> {
  const tokens = tokensOf(options.keyHolderConfig)
  const passphrase = await passphraseOf(session, options)
  try {
    const begun = performance.now()
    const folder = await makeWorkFolder(options.workFolder ?? tmpdir(), 'csdrill')
    const work = { file, folder, passphrase, tokens, begun }
    try {
      return await withFileCodes(work, () => drill(session, work))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  } finally {
    passphrase.fill(0)
  }
}

interface Work {
  readonly file: string
  readonly folder: string
  readonly passphrase: Buffer
  readonly tokens: ReturnType<typeof tokensOf>
  readonly begun: number
}

async function drill(session: Session, { file, folder, passphrase, tokens, begun }: Work): Promise<ExitStatus> {
  const content = join(folder, 'c')
  await mkdir(content, { mode: 0o700 })
  const unpacked = await unpackBackup(session, { file, folder: content, passphrase, tokens })
  const { manifest, state, inTokens, times, unlockKey } = unpacked
  const starting = performance.now()
  const running = await startRestored({ folder, content, unlockKey, logOrigin: state.log.origin }, session)
  const started = performance.now()
  const rehearsal = await rehearse(running, session.terminal.now()).finally(() => running.close())
  const stopped = performance.now()
  await rm(folder, { recursive: true })
  const destroyed = performance.now()
  const steps = [
    ['read and decrypt the backup', times.unpack],
    ['check the databases', times.databases],
    [`prove ${state.keys} keys`, state.times.keys],
    [`write and verify the audit log, ${state.log.size} records`, state.times.log],
    ['start a key holder', started - starting],
    ['sign in a repository made for it', rehearsal.times.sign],
    ['verify as a client does', rehearsal.times.verify],
    ['destroy the copy', destroyed - stopped],
    ['all of it', destroyed - begun],
  ] as const
  const milliseconds = steps.map(([step, ms]) => ({ step, milliseconds: Math.round(ms) }))
  session.output.document({
    file,
    ...manifest,
    proven: { keys: state.keys, inTokens, repositories: state.repositories },
    steps: milliseconds,
  })
  const isProven = unproven(inTokens) === 0
  session.output.line(
    isProven
      ? 'The drill has succeeded: every key in the backup has signed, and nothing is left of the copy.'
      : 'Not every key is proven: those in the backup have signed, others are in tokens and have not. Nothing is left of the copy.',
    isProven ? 'green' : 'yellow',
  )
  describeBackup(session, manifest)
  session.output.line()
  session.output.table(
    ['STEP', 'SECONDS'],
    steps.map(([step, ms]) => [step, (ms / 1000).toFixed(2)]),
  )
  return describeTokenKeys(session, inTokens)
}

interface Restored {
  readonly folder: string
  readonly content: string
  readonly unlockKey: Buffer
  readonly logOrigin: string
}

/** In this process, with sockets in the folder that is destroyed, and the unlock key in memory alone: a drill may be killed. */
async function startRestored({ folder, content, unlockKey, logOrigin }: Restored, { terminal }: Session) {
  const { startKeyHolder } = await import('../../key-holder/main.ts')
  const { silentLog } = await import('../../key-holder/holder-log.ts')
  const limitsFile = join(folder, 'limits.yaml')
  await writeFile(limitsFile, REHEARSAL_LIMITS, { mode: 0o600 })
  const config = {
    folder: join(content, LAYOUT.keyHolder),
    serviceSocket: join(folder, 's'),
    operatorSocket: join(folder, 'o'),
    trustServerSocket: join(folder, 't'),
    socketMode: 0o600,
    unlock: { kind: 'key-file', path: join(content, LAYOUT.unlockKey) },
    limitsFile,
    logOrigin,
    logLevel: 'error',
  } as const
  return startKeyHolder(config, { log: silentLog, now: terminal.now, unlockKey }).finally(() => {
    unlockKey.fill(0)
  })
}
