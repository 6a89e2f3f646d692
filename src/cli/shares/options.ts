// `--shares K/N` where shares are made, `--share FILE` where they are put together, beside `--passphrase-file`.
import { InvalidArgumentError, Option } from 'commander'
import { CliError } from '../errors.ts'
import { addText } from '../text-option.ts'
import { passphraseOfShares, type Quota } from './share-set.ts'

/** Of shares in a set: more people do not keep a secret. */
const MAX_SHARES = 32

export function sharesOption(): Option {
  return new Option('--shares <k/n>', 'instead: n files, of which any k open it, such as 2/3').argParser(parseQuota)
}

export function shareOption(): Option {
  return new Option('--share <file>', 'instead: one of the shares that open it; repeated')
    .argParser(addText)
    .default([])
}

export interface OpeningOptions {
  readonly passphraseFile?: string
  readonly share: readonly string[]
}

/**
 * The passphrase out of shares, or of what `fromFile` makes of the file; undefined where neither is given.
 * @throws CliError USAGE_INVALID where both are, SHARE*
 */
export async function givenPassphrase(
  { passphraseFile, share }: OpeningOptions,
  opens: string,
  fromFile: (file: string) => Uint8Array,
): Promise<Uint8Array | undefined> {
  if (share.length === 0) return passphraseFile === undefined ? undefined : fromFile(passphraseFile)
  if (passphraseFile === undefined) return passphraseOfShares(share, opens)
  throw new CliError('USAGE_INVALID', 'Either --share or --passphrase-file, not both.')
}

function parseQuota(text: string): Quota {
  const [, threshold, count] = /^([0-9]{1,2})\/([0-9]{1,2})$/.exec(text) ?? []
  const quota = { threshold: Number(threshold), count: Number(count) }
  if (quota.threshold >= 2 && quota.threshold <= quota.count && quota.count <= MAX_SHARES) return quota
  throw new InvalidArgumentError(`Write it as 2/3: how many open it, at least 2, of how many, at most ${MAX_SHARES}.`)
}
