// One share as a text that can be printed, and typed in again: what it opens, its place in its set, the bytes in hexadecimal, a checksum.
import { createHash } from 'node:crypto'
import { readSecretBytes } from '../../config/secret-file.ts'
import { CliError } from '../errors.ts'

export interface Share {
  /** What it helps to open, in words: `root key KEYID of GUN`. */
  readonly opens: string
  /** Common to the shares of one set, and to no others; tells nothing. */
  readonly set: string
  /** From 1. */
  readonly index: number
  readonly count: number
  readonly threshold: number
  readonly data: Buffer
}

const FORMAT = 'countersign-share/1'
const GROUP_DIGITS = 4
const GROUPS_IN_A_LINE = 8
/** 64 bits: for slips of the pen. Whoever changes it on purpose is found out when the shares are put together. */
const CHECKSUM_DIGITS = 16

export function encodeShare(share: Share): string {
  const { opens, index, count, threshold, set, data } = share
  return [
    `Share ${index} of ${count}. Any ${threshold} of them open what is named here; fewer tell nothing about it. Keep them apart.`,
    '',
    `format: ${FORMAT}`,
    `opens: ${opens}`,
    `set: ${set}`,
    `share: ${index} of ${count}, ${threshold} needed`,
    'data:',
    ...lines(data.toString('hex')).map((line) => `  ${line}`),
    `check: ${groups(checksumOf(share)).join(' ')}`,
    '',
  ].join('\n')
}

/** @throws CliError SHARE_DAMAGED; ConfigError SECRET_FILE_* */
export function readShare(file: string): Share {
  const text = readSecretBytes(file).toString('utf8')
  const fields = new Map(
    [...text.matchAll(/^[ \t]*([a-z]+):(.*)$/gm)].map(([, name = '', value = '']) => [name, value.trim()]),
  )
  // As it is typed in: indented or not, with line breaks anywhere.
  const [, data = ''] = /^[ \t]*data:(.*?)^[ \t]*check:/ms.exec(text) ?? []
  const of = (name: string): string => fields.get(name) ?? ''
  const [, index, count, threshold] = /^([0-9]{1,3}) of ([0-9]{1,3}), ([0-9]{1,3}) needed$/.exec(of('share')) ?? []
  const hex = data.replace(/\s+/g, '').toLowerCase()
  if (of('format') !== FORMAT || threshold === undefined || !/^(?:[0-9a-f]{2})+$/.test(hex)) {
    throw damaged(file, 'it is no share, or a line of it is missing')
  }
  const share: Share = {
    opens: of('opens'),
    set: of('set').toLowerCase(),
    index: Number(index),
    count: Number(count),
    threshold: Number(threshold),
    data: Buffer.from(hex, 'hex'),
  }
  if (of('check').replace(/\s+/g, '').toLowerCase() !== checksumOf(share)) {
    throw damaged(file, 'its checksum says that something in it differs from what was written')
  }
  return share
}

/** `why` ends the sentence "FILE cannot be used: ...". */
export function damaged(file: string, why: string, cause?: unknown): CliError {
  return new CliError('SHARE_DAMAGED', `${file} cannot be used: ${why}.`, {
    next: 'Compare it with the paper, or take another share.',
    facts: { file, why },
    cause,
  })
}

function checksumOf({ opens, set, index, count, threshold, data }: Share): string {
  const text = [FORMAT, opens, set, index, count, threshold, data.toString('hex')].join('\n')
  return createHash('sha256').update(text).digest('hex').slice(0, CHECKSUM_DIGITS)
}

function groups(hex: string): string[] {
  return hex.match(new RegExp(`.{1,${GROUP_DIGITS}}`, 'g')) ?? []
}

function lines(hex: string): string[] {
  const all = groups(hex)
  return Array.from({ length: Math.ceil(all.length / GROUPS_IN_A_LINE) }, (_, at) =>
    all.slice(at * GROUPS_IN_A_LINE, (at + 1) * GROUPS_IN_A_LINE).join(' '),
  )
}
