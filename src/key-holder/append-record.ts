// Records of the daemon. The key holder vouches for when they came, not for what they say.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { commitForLater, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'

const RECORDS_SUBJECT = 'records'

/** See the operation's description in the protocol. @throws KeyHolderError LIMIT_RECORDS, OPERATION_MALFORMED */
export async function appendRecord(
  holder: Holder,
  { request, socket }: Call<'append-record'>,
): Promise<Answer<'append-record'>> {
  const { recordsPerHour } = holder.limits
  if (holder.rates.used(RECORDS_SUBJECT, holder.now()) + holder.daemonRecords.size >= recordsPerHour) {
    throw new KeyHolderError('LIMIT_RECORDS', 'More records within an hour than the limits file allows.', {
      recordsPerHour,
    })
  }
  const record = {
    kind: 'daemon-record',
    by: socket,
    saidBy: 'daemon',
    record: request.kind,
    facts: request.facts,
  } as const
  const index = await holder.daemonRecords.add(record, (records) => commitRecords(holder, records))
  return { response: { index } }
}

function commitRecords(holder: Holder, records: readonly AuditRecord[]): number {
  // Nothing else is appended between: all of this is synchronous.
  const first = holder.log.tree.size
  commitForLater(holder, records, () => {
    holder.rates.add(RECORDS_SUBJECT, records.length, holder.now())
  })
  return first
}
