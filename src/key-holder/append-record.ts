// Records of the daemon. The key holder vouches for when they came, not for what they say.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Answer, Call, Holder } from './holder.ts'
import type { Rates } from './rates.ts'
import { RecordBatch } from './record-batch.ts'

const RECORDS_SUBJECT = 'records'

export function daemonRecords(rates: Rates, now: () => Date): RecordBatch {
  return new RecordBatch((count) => {
    rates.add(RECORDS_SUBJECT, count, now())
  })
}

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
  return { response: { index: await holder.daemonRecords.add(holder, record) } }
}
