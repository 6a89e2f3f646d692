// The change feeds. notary v0.7.0 server/handlers/changefeed.go, server/storage/sqldb.go GetChanges.
import type { Gun } from '@countersign/tuf'
import { ProtocolError } from './answers.ts'
import type { MetadataStore } from './metadata-store.ts'

const DEFAULT_RECORDS = 100
/** Stricter than the original, which has no limit. */
const MAX_RECORDS = 1000

/** @throws ProtocolError INVALID_PARAMETERS */
export function readChanges(store: MetadataStore, query: URLSearchParams, gun?: Gun): object {
  const asked = readRecords(query.get('records') ?? '')
  const from = readId(query.get('change_id') ?? '')
  const limit = Math.min(Math.abs(asked) || DEFAULT_RECORDS, MAX_RECORDS)
  // A negative number of records stands before the ID; -1 as the ID stands for the end.
  const backwards = asked < 0 || from === -1
  const changes = store.changes({
    limit,
    backwards,
    ...(gun !== undefined && { gun }),
    ...(from > 0 && { from }),
  })
  const records = changes.map(({ id, createdAt, gun: name, version, sha256, category }) => ({
    ID: String(id),
    CreatedAt: createdAt,
    GUN: name,
    Version: version,
    SHA256: sha256,
    Category: category,
  }))
  return { count: records.length, records }
}

function readRecords(text: string): number {
  if (/^[+-]?[0-9]{1,10}$/.test(text)) return Number(text)
  const quoted = JSON.stringify(text.slice(0, 64))
  throw invalid(`invalid records parameter: strconv.ParseInt: parsing ${quoted}: invalid syntax`)
}

function readId(text: string): number {
  if (text === '') return 0
  if (/^(-1|[0-9]{1,15})$/.test(text)) return Number(text)
  throw invalid({})
}

function invalid(detail: unknown): ProtocolError {
  return new ProtocolError('INVALID_PARAMETERS', { detail })
}
