// `audit list`: records that somebody looks for, newest first. Each is vouched for by the checkpoint before it is shown; nothing else of
// the log is read, and nothing is kept but the rows of one screen.
import { isDamage } from '../key-holder/audit-faults.ts'
import { VerifiedRecords } from '../key-holder/verified-records.ts'
import { breathe, readVerifierKey, requireFolder, withProgress } from './audit-options.ts'
import {
  eventOf,
  matchingActs,
  readRecord,
  repositoryOf,
  type Act,
  type LogRecord,
  type RecordFilter,
} from './audit-record.ts'
import { verifyFolder } from './audit-verify.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import type { ProgressLine } from './progress-line.ts'
import type { Session } from './session.ts'
import { Columns } from './table.ts'
import { printable } from './terminal.ts'

export interface ListOptions {
  readonly key: string
  readonly filter: RecordFilter
  /** Rows at most; all without it. */
  readonly limit?: number
}

/** Rows that are laid out together. */
const PAGE_ROWS = 200
/** Changes of one record that its row names. */
const ACTS_SHOWN = 3
const DIGITS_SHOWN = 12
const HEADER = ['RECORD', 'TIME', 'EVENT', 'THROUGH', 'REPOSITORY', 'IDENTITY', 'WHAT'] as const

/** @throws CliError AUDIT_KEY_UNUSABLE, FILE_UNREADABLE, INTERRUPTED; KeyHolderError AUDIT_LOG_* */
export async function listLog(session: Session, folder: string, options: ListOptions): Promise<ExitStatus> {
  session.output.documentsByLine()
  requireFolder(folder)
  const verifierKey = await readVerifierKey(folder, options.key)
  await withProgress(session, async (line) => {
    const rows = new RowPrinter(session, line)
    try {
      await listRecords(session, line, new VerifiedRecords(folder, verifierKey), options, rows)
      rows.end()
    } catch (error) {
      rows.flush()
      if (!isDamage(error)) throw error
      // Only the whole verification knows which record it is.
      await verifyFolder(session, line, folder, verifierKey, [])
      throw error
    }
  })
  return EXIT.done
}

async function listRecords(
  session: Session,
  line: ProgressLine,
  records: VerifiedRecords,
  { filter, limit = Infinity }: ListOptions,
  rows: RowPrinter,
): Promise<void> {
  let left = limit
  for (let bundle = records.bundles - 1; bundle >= 0 && left > 0; bundle--) {
    await breathe(session)
    const { first, entries } = records.bundle(bundle)
    for (let at = entries.length - 1; at >= 0 && left > 0; at--) {
      const { record } = readRecord(entries[at] ?? Buffer.alloc(0))
      const acts = matchingActs(record, filter)
      if (acts.length === 0) continue
      left--
      rows.print(first + at, record, acts)
    }
    line.show('read', records.size - first, records.size)
  }
}

/** Prints rows as they come, a page at a time. */
class RowPrinter {
  readonly #session: Session
  readonly #line: ProgressLine
  readonly #columns = new Columns(HEADER.length)
  #page: string[][] = []
  #hasHeader = false

  constructor(session: Session, line: ProgressLine) {
    this.#session = session
    this.#line = line
  }

  print(index: number, record: LogRecord, acts: readonly Act[]): void {
    const { output } = this.#session
    if (output.json) {
      output.documentLine({ index, record })
      return
    }
    this.#page.push([
      String(index),
      typeof record['at'] === 'string' ? record['at'] : '-',
      eventOf(record),
      typeof record['by'] === 'string' ? record['by'] : '-',
      repositoryOf(record) ?? '-',
      [...new Set(acts.map(({ identity }) => identity ?? '-'))].join(', '),
      describe(record, acts),
    ])
    if (this.#page.length === PAGE_ROWS) this.flush()
  }

  /** Prints what there is until now. */
  flush(): void {
    const page = this.#page
    this.#page = []
    if (page.length > 0) this.#write(page)
  }

  /** Prints the rest, and the header where there was nothing under it. */
  end(): void {
    this.flush()
    if (!this.#hasHeader && !this.#session.output.json) this.#write([])
  }

  #write(page: readonly (readonly string[])[]): void {
    const { output } = this.#session
    const rows = page.map((row) => row.map(printable))
    const lines = this.#columns.layOut(this.#hasHeader ? rows : [HEADER, ...rows])
    this.#line.clear()
    lines.forEach((text, at) => {
      output.line(text, !this.#hasHeader && at === 0 ? 'bold' : undefined)
    })
    this.#hasHeader = true
  }
}

/** The rest of a row: what changed, or what a reader would ask for first. */
function describe(record: LogRecord, acts: readonly Act[]): string {
  const changes = acts.filter(({ source }) => source !== record)
  if (changes.length > 0) {
    const named = changes.slice(0, ACTS_SHOWN).map(describeAct)
    return changes.length > ACTS_SHOWN
      ? `${named.join(', ')} and ${changes.length - ACTS_SHOWN} more`
      : named.join(', ')
  }
  const parts = [
    ...['code', 'operation', 'role', 'reason', 'version', 'count'].flatMap((name) => {
      const value = record[name]
      return typeof value === 'string' || typeof value === 'number'
        ? [`${name === 'version' ? 'version ' : ''}${value}`]
        : []
    }),
    ...acts.filter(({ tag }) => tag !== undefined).map(describeAct),
    ...rolesOf(record),
  ]
  return parts.join(', ') || '-'
}

function describeAct({ kind, tag, sha256 }: Act): string {
  const digest = sha256 === undefined ? undefined : `sha256:${sha256.slice(0, DIGITS_SHOWN)}`
  return [kind, tag, digest].filter((part) => part !== undefined).join(' ')
}

function rolesOf({ roles }: LogRecord): string[] {
  if (!Array.isArray(roles)) return []
  return roles.flatMap((role: unknown) => {
    if (typeof role !== 'object' || role === null || !('role' in role)) return []
    return [`${String(role.role)}${'version' in role ? ` v${String(role.version)}` : ''}`]
  })
}
