// The option `--pin KEYID`: a root certificate that is trusted because somebody said so outside of the metadata.
import { InvalidArgumentError } from 'commander'
import { parseTufKeyId, type TufKeyId } from '@countersign/tuf'

/** Collects the key IDs of a repeated option. @throws InvalidArgumentError */
export function addPin(text: string, previous: readonly TufKeyId[] = []): readonly TufKeyId[] {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new InvalidArgumentError('A key ID is 64 hex digits in lower case.')
  return [...previous, parseTufKeyId(text)]
}
