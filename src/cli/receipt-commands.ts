// `request receipt` and `verify --receipt`: to get what proves a signature, and to check it without anybody's help.
import { parse } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import * as z from 'zod'
import { parseImageReference, requireTag } from '../domain/image-reference.ts'
import { readLogKey } from './audit-options.ts'
import { CliError, EXIT, exitStatusOf, type ExitStatus } from './errors.ts'
import { readPublicFile, refuseExisting, writeNewFile } from './files.ts'
import { showRequest } from './following.ts'
import { MAX_RECEIPT_BYTES, parseReceipt, proveReceipt, requireImage, type ProvenReceipt } from './receipt-proof.ts'
import type { SigningRequestResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

interface ReceiptOptions {
  readonly image?: number
  readonly out?: string
  readonly logKey?: string
}

export function addReceiptCommand(group: Command, perform: Perform): void {
  group
    .command('receipt')
    .description('Gets the receipt of a published image: its record in the audit log, with the proof.')
    .argument('<id>', 'ID of the request')
    .option(
      '--image <number>',
      'which image of the request, counted from 1; needed where there are several',
      numberOption,
    )
    .option('--out <file>', 'write it to a new file instead of standard output')
    .option('--log-key <key>', "the log's public key, or a file that holds it: verify by it at once")
    .addHelpText(
      'after',
      `
Anybody who has the log's public key can check a receipt, with no server: countersign verify --receipt FILE --log-key KEY

Examples:
  $ countersign request receipt req-01j9 --out app-1.4.receipt.json
  $ countersign request receipt req-01j9 --image 2 --log-key audit.key`,
    )
    .action((id: string, options: ReceiptOptions, command: Command) =>
      perform(command, (session) => getReceipt(session, id, options)),
    )
}

async function getReceipt(session: Session, id: string, { image, out, logKey }: ReceiptOptions): Promise<ExitStatus> {
  if (out !== undefined) refuseExisting(out)
  const key = logKey === undefined ? undefined : await readLogKey(logKey)
  const request = await showRequest(session, id)
  const receipt = await fetchReceipt(session, request, positionOf(request, image), key)
  const { output } = session
  if (out !== undefined) await writeNewFile(out, receipt.text, 0o644)
  output.document(receipt.document)
  if (out === undefined) output.block(receipt.text)
  else output.line(`The receipt is in ${out}.`)
  return EXIT.done
}

/** The files of a request's receipts: the one that was named, or one for each image with its number in the name. */
export function receiptFiles(file: string, count: number): readonly string[] {
  if (count === 1) return [file]
  const { ext } = parse(file)
  const stem = file.slice(0, file.length - ext.length)
  return Array.from({ length: count }, (_, at) => `${stem}-${at + 1}${ext}`)
}

/** Writes the receipts of a request whose images are all published. The request is printed already, so what fails is only told. */
export async function writeReceipts(
  session: Session,
  request: SigningRequestResource,
  files: readonly string[],
): Promise<ExitStatus> {
  for (const [position, file] of files.entries()) {
    try {
      await writeNewFile(file, (await fetchReceipt(session, request, position)).text, 0o644)
    } catch (error) {
      session.output.warn(`everything is published, but ${file} was not written.`)
      session.output.fail(error)
      return exitStatusOf(error)
    }
    session.output.progress(`The receipt is in ${file}.`)
  }
  return EXIT.done
}

/**
 * A receipt that is whole, by the key that is given, or else by its own.
 * @throws ApiProblem; CliError RECEIPT_*
 */
async function fetchReceipt(
  session: Session,
  request: SigningRequestResource,
  position: number,
  logKey?: string,
): Promise<{ readonly document: unknown; readonly text: string }> {
  const api = await session.api()
  const document = await api.call({
    method: 'GET',
    path: `v1/signing-requests/${encodeURIComponent(request.id)}/receipts/${position}`,
    answer: z.looseObject({ logKey: z.string() }),
    maxAnswerBytes: MAX_RECEIPT_BYTES,
  })
  const proven = proveReceipt(document, logKey ?? document.logKey)
  requireImage(proven, askedImage(request, position))
  return { document, text: `${JSON.stringify(document, undefined, 2)}\n` }
}

/** What the request is about; that a tag is no longer signed has no digest. */
function askedImage(
  { kind, images }: SigningRequestResource,
  position: number,
): { gun: string; tag: string; digest?: string } {
  const { gun = '', tag = '', digest } = images[position] ?? {}
  const isNamed = kind === 'sign' && typeof digest === 'string'
  return { gun, tag, ...(isNamed && { digest: digest.replace(/^sha256:/, '') }) }
}

function positionOf({ id, images }: SigningRequestResource, number: number | undefined): number {
  if (number !== undefined && number <= images.length) return number - 1
  if (number === undefined && images.length === 1) return 0
  throw new CliError('USAGE_INVALID', `Request ${id} has ${images.length} images: name one with --image.`, {
    next: `Their order is that of: countersign request show ${id}`,
  })
}

export interface VerifyReceiptOptions {
  readonly receipt: string
  readonly logKey?: string | undefined
}

/** @throws CliError USAGE_INVALID, AUDIT_KEY_UNUSABLE, FILE_UNREADABLE, RECEIPT_*; DomainError */
export async function verifyReceipt(
  session: Session,
  images: readonly string[],
  options: VerifyReceiptOptions,
): Promise<ExitStatus> {
  const [image, ...others] = images
  if (others.length > 0) throw new CliError('USAGE_INVALID', 'A receipt is of one image; name no more than that.')
  if (options.logKey === undefined) {
    throw new CliError('USAGE_INVALID', "A receipt is verified by the log's public key: give --log-key.", {
      next: 'Get the key from somebody whom you trust with it: countersign audit public-key prints it.',
    })
  }
  const asked = image === undefined ? undefined : requireTag(parseImageReference(image))
  const logKey = await readLogKey(options.logKey)
  const document = parseReceipt(await readPublicFile(options.receipt, MAX_RECEIPT_BYTES))
  const proven = proveReceipt(document, logKey)
  if (asked !== undefined) requireImage(proven, asked)
  session.output.document({ receipt: options.receipt, ...proven })
  printProven(session, proven)
  return EXIT.done
}

function printProven({ output }: Session, proven: ProvenReceipt): void {
  const { change, sha256, length, roles, log } = proven
  output.line('The receipt is proven.', 'green')
  output.line(`Image:        ${proven.gun}:${proven.tag}`)
  output.line(
    change === 'put' ? `Signed:       sha256:${sha256}, ${length} bytes` : 'Signed:       no longer, by this record',
  )
  output.line(`Recorded:     ${proven.at}`)
  output.line(`For:          ${proven.principal}, request ${proven.request}`)
  output.line(`Decision:     ${proven.decision ?? '-'}`)
  if (proven.origin !== undefined) output.line(`Origin:       ${proven.origin}`)
  output.line(`Published as: ${roles.map(({ role, version }) => `${role} v${version}`).join(', ')}`)
  output.line(`Log:          ${log.origin}, record ${log.index} of ${log.size}`)
}

function numberOption(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A whole number from 1 to 99999.')
}
