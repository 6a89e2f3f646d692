// A record with a long list becomes several, each small enough for one entry of the log. Pure.
import type { AuditRecord } from './holder.ts'

/** Bytes of a list in one record, well below the 65,535 bytes of an entry. */
const MAX_LIST_BYTES = 40_000

/** The record once per part of the list, numbered; once where the list is short. */
export function chunkRecord(record: AuditRecord, listName: string, list: readonly unknown[]): AuditRecord[] {
  const chunks: unknown[][] = [[]]
  let bytes = 0
  for (const item of list) {
    const size = Buffer.byteLength(JSON.stringify(item), 'utf8')
    const last = chunks[chunks.length - 1] ?? []
    if (last.length > 0 && bytes + size > MAX_LIST_BYTES) {
      chunks.push([item])
      bytes = size
    } else {
      last.push(item)
      bytes += size
    }
  }
  return chunks.map((chunk, index) => ({
    ...record,
    ...(chunks.length > 1 && { part: index + 1, parts: chunks.length }),
    [listName]: chunk,
  }))
}
