// Records of the audit log as people look for them. Pure. What the key holder writes stands in docs/key-holder.md; a record that is of
// no known kind is shown all the same.

/** One JSON object, as it was logged. */
export type LogRecord = Readonly<Record<string, unknown>>

export interface ReadRecord {
  readonly record: LogRecord
  readonly at: string | undefined
}

/** One thing that a record speaks of: a change of a tag, or the record as a whole. */
export interface Act {
  readonly kind: string | undefined
  readonly tag: string | undefined
  readonly identity: string | undefined
  readonly sha256: string | undefined
  /** What it was read from: the change, or the record itself. */
  readonly source: LogRecord
}

export interface RecordFilter {
  readonly repository?: string
  readonly tag?: string
  /** 64 hex digits. */
  readonly digest?: string
  readonly identity?: string
  readonly operation?: string
  readonly since?: Date
  /** Records of this moment and later ones are left out. */
  readonly until?: Date
}

/** An entry that is no JSON object (none of ours) becomes a record with its text. */
export function readRecord(entry: Buffer): ReadRecord {
  const text = entry.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const record: LogRecord = isObject(value) ? value : { text }
  return { record, at: textOf(record, 'at') }
}

/** What happened: the kind of the record, or of the daemon's record in it; of a refusal also the operation. */
export function eventOf(record: LogRecord): string {
  const kind = textOf(record, 'kind') ?? '-'
  return kind === 'daemon-record' ? (textOf(record, 'record') ?? kind) : kind
}

export function repositoryOf(record: LogRecord): string | undefined {
  return textOf(record, 'gun') ?? textOf(factsOf(record), 'gun')
}

/** The acts of a record that a filter asks for; none where the record does not fit. */
export function matchingActs(record: LogRecord, filter: RecordFilter): readonly Act[] {
  const { repository, operation } = filter
  if (repository !== undefined && repositoryOf(record) !== repository) return []
  if (operation !== undefined && !operationsOf(record).includes(operation)) return []
  if (!isWithin(textOf(record, 'at'), filter)) return []
  return actsOf(record).filter((act) => isAskedFor(act, record, filter))
}

function isAskedFor(act: Act, record: LogRecord, { tag, digest, identity }: RecordFilter): boolean {
  if (tag !== undefined && act.tag !== tag) return false
  if (identity !== undefined && act.identity !== identity) return false
  if (digest === undefined) return true
  // Digests of roles and of the base stand beside the changes.
  const { changes, ...rest } = record
  return holds(act.source, digest) || (Array.isArray(changes) && holds(rest, digest))
}

function operationsOf(record: LogRecord): (string | undefined)[] {
  return [textOf(record, 'kind'), eventOf(record), textOf(record, 'operation')]
}

function isWithin(at: string | undefined, { since, until }: RecordFilter): boolean {
  if (since === undefined && until === undefined) return true
  const time = at === undefined ? Number.NaN : Date.parse(at)
  return !Number.isNaN(time) && time >= (since?.getTime() ?? -Infinity) && time < (until?.getTime() ?? Infinity)
}

/** Every change of a tag is an act of its own: others may have asked for the others. */
export function actsOf(record: LogRecord): readonly Act[] {
  const { changes } = record
  const sources = Array.isArray(changes) && changes.length > 0 ? changes.filter(isObject) : [record]
  return sources.map((source) => {
    const facts = factsOf(record)
    return {
      source,
      kind: source === record ? undefined : textOf(source, 'kind'),
      tag: textOf(source, 'tag') ?? textOf(facts, 'tag'),
      identity: principalOf(source) ?? principalOf(record) ?? textOf(facts, 'principal') ?? textOf(facts, 'by'),
      sha256: textOf(source, 'sha256') ?? textOf(facts, 'sha256'),
    }
  })
}

function principalOf(source: LogRecord): string | undefined {
  const { evidence } = source
  return isObject(evidence) ? textOf(evidence, 'principal') : undefined
}

function factsOf({ facts }: LogRecord): LogRecord {
  return isObject(facts) ? facts : {}
}

/** Whether this text stands anywhere in it, as a whole value, with or without the name of the hash. */
function holds(value: unknown, digest: string): boolean {
  if (typeof value === 'string') return value === digest || value === `sha256:${digest}`
  if (Array.isArray(value)) return value.some((one) => holds(one, digest))
  return isObject(value) && Object.values(value).some((one) => holds(one, digest))
}

function textOf(source: LogRecord, name: string): string | undefined {
  const value = source[name]
  return typeof value === 'string' ? value : undefined
}

function isObject(value: unknown): value is LogRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
