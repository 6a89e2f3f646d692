// `verify`: whether stock clients would find tags signed.
import type { Command } from 'commander'
import type * as z from 'zod'
import { parseImageReference, type ImageReference } from '../domain/image-reference.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { listImages } from './image-list/list.ts'
import { trustOptions, type TrustOptions } from './client-trust/options.ts'
import type { OwnVerdict } from './client-trust/verify-here.ts'
import { verifyReceipt } from './receipt-commands.ts'
import { verificationsSchema } from './resources.ts'
import type { Perform, Session } from './session.ts'

interface VerifyOptions extends TrustOptions {
  readonly from?: string
  readonly receipt?: string
  readonly logKey?: string
}

export function addVerifyCommand(program: Command, perform: Perform): void {
  const command = program
    .command('verify')
    .summary('check that tags are signed')
    .description(
      'Verifies tags from the pinned root down, as a stock client does. A digest, where given, must be the signed one.',
    )
    .argument('[images...]', 'IMAGE[:TAG][@DIGEST] to verify')
    .option('--from <file>', 'read images from a list, one per line; - reads standard input')
    .option('--receipt <file>', 'verify a receipt instead, of this image if one is named; no server is asked')
    .option('--log-key <key>', "with --receipt: the audit log's public key, or a file that holds it")
  trustOptions(command, 'without a Countersign server: ')
    .addHelpText(
      'after',
      `
Where this machine has pins of every repository (countersign pin import), it verifies by itself, remembers what it saw, as pull does, and asks no
Countersign server; likewise with --trust-server, --pin or --tofu. With --server, the option, that one is asked.
A receipt proves that a change of a tag was recorded before it was signed: what, when, for whom, by which decision.

Examples:
  $ countersign verify registry.example.com/team/app:1.4
  $ countersign verify --from images.txt --json
  $ countersign verify registry.example.com/team/app:1.4 --trust-server https://notary.example.com --pin KEYID
  $ countersign verify registry.example.com/team/app:1.4 --receipt app-1.4.receipt.json --log-key audit.key

Exit status: 0 every image is signed, or the receipt is proven; 1 at least one is not, or it could not be found out;
2 usage; 3 not permitted.`,
    )
    .action((images: string[], options: VerifyOptions, command: Command) =>
      perform(command, (session) => {
        const { from, receipt, logKey } = options
        if (receipt === undefined && logKey === undefined) return verify(session, images, options)
        if (receipt === undefined || from !== undefined || isHere(options)) {
          throw new CliError('USAGE_INVALID', '--log-key goes with --receipt, and nothing else does.')
        }
        return verifyReceipt(session, images, { receipt, logKey })
      }),
    )
}

async function verify(session: Session, images: readonly string[], options: VerifyOptions): Promise<ExitStatus> {
  const references = await listImages(session.terminal, images, options.from)
  const unpinned = isHere(options) ? [] : await unpinnedOf(session, references)
  if (isHere(options) || (unpinned.length === 0 && session.options.server === undefined)) {
    const { verifyHere } = await import('./client-trust/verify-here.ts')
    return reportOwn(session, await verifyHere(session, references, options))
  }
  const answer = await askServer(session, references)
  if (unpinned.length > 0) {
    const names = unpinned.length === 1 ? (unpinned[0] ?? '') : `${unpinned.length} of the repositories`
    session.output.progress(
      `No pins of ${names} on this machine: the server verified, from the root that its key holder has pinned.`,
    )
  }
  return report(session, { ...answer, verifiedBy: 'server' })
}

/** The repositories that this machine has no pins of. */
async function unpinnedOf({ terminal }: Session, references: readonly ImageReference[]): Promise<readonly string[]> {
  const { pinsOf, readPinStore } = await import('./pins/store.ts')
  const store = await readPinStore(terminal)
  const guns = new Set(references.map(({ gun }) => gun))
  return [...guns].filter((gun) => pinsOf(store, gun) === undefined)
}

async function reportOwn(session: Session, images: readonly OwnVerdict[]): Promise<ExitStatus> {
  const { unpinnedWords } = await import('./client-trust/signed-tag.ts')
  for (const { reference, pinned, anchor } of images) {
    if (pinned === false && anchor !== undefined) {
      session.output.warn(unpinnedWords(parseImageReference(reference).gun, anchor))
    }
  }
  return report(session, { images: [...images], verifiedBy: 'this-machine' })
}

/** Whether this machine verifies by itself. */
function isHere({ trustServer, pin, tofu, realm }: TrustOptions): boolean {
  return [trustServer, pin, tofu, realm].some((option) => option !== undefined)
}

async function askServer(session: Session, references: readonly ImageReference[]): Promise<Verdicts> {
  const api = await session.api()
  const answer = await api.call({
    method: 'POST',
    path: 'v1/verifications',
    body: { images: references.map(({ text }) => text) },
    answer: verificationsSchema,
  })
  if (answer.images.length === references.length) return answer
  throw new CliError('SERVER_ANSWER_MALFORMED', 'The server did not answer for every image.')
}

type Verdicts = z.infer<typeof verificationsSchema>

function report({ output }: Session, answer: Verdicts): ExitStatus {
  output.document(answer)
  output.table(
    ['VERDICT', 'IMAGE', 'DIGEST', 'SIGNERS'],
    answer.images.map((each) => [
      each.verdict,
      each.reference,
      each.digest ?? '-',
      each.signers === undefined || each.signers.length === 0 ? '-' : each.signers.join(', '),
    ]),
    ([verdict]) => (verdict === 'signed' ? 'green' : 'red'),
  )
  const unsigned = answer.images.filter(({ verdict }) => verdict !== 'signed')
  for (const { reference, verdict, error } of unsigned) {
    // "unknown" is an outage and must not read as "not signed".
    output.complain(
      error?.code ?? 'IMAGE_NOT_SIGNED',
      `${reference}: ${verdict}${error?.detail === undefined ? '' : `: ${error.detail}`}`,
    )
  }
  return unsigned.length === 0 ? EXIT.done : EXIT.failed
}
