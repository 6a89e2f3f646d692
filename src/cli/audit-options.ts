// What the commands over the audit log share: the log's key and earlier checkpoints, which never come from the log's own folder, and the
// exit status that tells a damaged log from one that nobody could look at.
import { realpathSync, statSync } from 'node:fs'
import { dirname, sep } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Option } from 'commander'
import { isDamage } from '../key-holder/audit-faults.ts'
import { verifyCheckpoint } from '../key-holder/checkpoint.ts'
import { isVerifierKey } from '../key-holder/signed-note.ts'
import { CliError, EXIT, exitStatusOf, type ExitStatus } from './errors.ts'
import { readPublicFile } from './files.ts'
import { ProgressLine } from './progress-line.ts'
import type { Session } from './session.ts'
import { addText } from './text-option.ts'

/** A key or a checkpoint, in bytes. */
const MAX_BYTES = 16 * 1024

export function keyOption(): Option {
  return new Option(
    '--key <key>',
    "the log's public key, or a file that holds it; never the one beside the log",
  ).makeOptionMandatory()
}

export function checkpointOption(): Option {
  return new Option(
    '--since <checkpoint>',
    'file with an earlier checkpoint, which the log must go on from; may be repeated',
  ).argParser(addText)
}

/**
 * The key as verifiers take it. A file in the log's folder is refused: whoever changes the log changes it, too.
 * @throws CliError AUDIT_KEY_UNUSABLE, FILE_UNREADABLE
 */
export async function readVerifierKey(folder: string, keyOrFile: string): Promise<string> {
  const key = await readLogKey(keyOrFile)
  if (key !== keyOrFile && isBelow(folder, keyOrFile)) {
    throw unusableKey(`${keyOrFile} lies in the log's own folder, where whoever changes the log can change it, too.`)
  }
  return key
}

/** The same wherever it lies. @throws CliError AUDIT_KEY_UNUSABLE, FILE_UNREADABLE */
export async function readLogKey(keyOrFile: string): Promise<string> {
  if (isVerifierKey(keyOrFile)) return keyOrFile
  const text = (await readPublicFile(keyOrFile, MAX_BYTES)).toString('utf8').trim()
  if (!isVerifierKey(text)) throw unusableKey(`${keyOrFile} does not hold the public key of an audit log.`)
  return text
}

/** An earlier checkpoint, and where it came from. */
export interface KeptCheckpoint {
  readonly file: string
  readonly note: string
  readonly size: number
}

/** @throws CliError AUDIT_CHECKPOINT_UNUSABLE where one is not of this log's key, FILE_UNREADABLE */
export async function readCheckpoints(files: readonly string[], verifierKey: string): Promise<KeptCheckpoint[]> {
  const kept: KeptCheckpoint[] = []
  for (const file of files) {
    const note = (await readPublicFile(file, MAX_BYTES)).toString('utf8')
    try {
      kept.push({ file, note, size: verifyCheckpoint(note, verifierKey).size })
    } catch (cause) {
      if (!isDamage(cause)) throw cause
      throw new CliError('AUDIT_CHECKPOINT_UNUSABLE', `${file} is no checkpoint that this key signed.`, {
        facts: { file, reason: String(cause.facts['fault']) },
        next: 'Nothing was looked at. A checkpoint is the file "checkpoint" of the log as it was, copied whole.',
        cause,
      })
    }
  }
  return kept
}

/** @throws CliError FILE_UNREADABLE where there is no such folder */
export function requireFolder(folder: string): void {
  try {
    if (statSync(folder).isDirectory()) return
  } catch (cause) {
    throw noFolder(folder, cause)
  }
  throw noFolder(folder)
}

/**
 * Ends in 1 where the log is damaged, and only there; in 2 where the command line cannot be understood; in 4 where nothing was found
 * out about the log, or nothing was written, for any other reason.
 */
export async function audited(session: Session, work: () => Promise<ExitStatus>): Promise<ExitStatus> {
  try {
    return await work()
  } catch (error) {
    session.output.fail(error)
    if (isDamage(error)) return EXIT.failed
    return exitStatusOf(error) === EXIT.usage ? EXIT.usage : EXIT.unfinished
  }
}

/** Gives way to Ctrl-C between two pieces of long work. @throws CliError INTERRUPTED */
export async function breathe(session: Session): Promise<void> {
  await nextTurn()
  if (session.isInterrupted()) {
    throw new CliError('INTERRUPTED', 'Interrupted before the end: nothing is known about the rest of the log.')
  }
}

/** Long work with a line that shows how far it is, which is gone before anything else is said. */
export async function withProgress<T>(session: Session, work: (line: ProgressLine) => Promise<T>): Promise<T> {
  const line = new ProgressLine(session.terminal)
  try {
    return await work(line)
  } finally {
    line.clear()
  }
}

function unusableKey(sentence: string): CliError {
  return new CliError('AUDIT_KEY_UNUSABLE', sentence, {
    next: 'Keep a copy of log/verifier-key elsewhere from the first day on, and name that.',
  })
}

function noFolder(folder: string, cause?: unknown): CliError {
  return new CliError('FILE_UNREADABLE', `${folder} is no folder that can be read.`, {
    facts: { file: folder },
    next: "Name the folder log in the key holder's folder, or a copy of it.",
    cause,
  })
}

function isBelow(folder: string, file: string): boolean {
  try {
    const top = realpathSync(folder)
    const place = dirname(realpathSync(file))
    return place === top || place.startsWith(top + sep)
  } catch {
    // One of them is not there, which is said where it is read.
    return false
  }
}
