// `root export`, `show`, `sign` and `apply`: a change of root, made online, signed offline, published online. Between them travels one file.
import { InvalidArgumentError, Option, type Command } from 'commander'
import { decodeBase64, encodeBase64, ROOT, TARGETS, type Gun, type PublicKey } from '@countersign/tuf'
import { timeoutOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { readPublicFile, refuseExisting } from './files.ts'
import { repositoryArgument } from './image-list/list.ts'
import { withRootKey } from './root-key/open.ts'
import { addRootOpening, type RootOpening } from './root-key/options.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from './operator-socket.ts'
import { rootPlanSchema, signingRequestSchema } from './resources.ts'
import {
  newRootChange,
  readRootChange,
  withSignature,
  writeRootChange,
  type RootChangeFile,
} from './root-change-file.ts'
import { describeRootChange, quorumsOf, type Quorum } from './root-change-review.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'
import { addText } from './text-option.ts'

const ROTATED = ['targets', 'snapshot', 'timestamp'] as const
const MAX_CERTIFICATE_BYTES = 64 * 1024

interface ExportOptions extends SocketOptions {
  readonly out: string
  readonly rootCertificate: readonly string[]
  readonly rotate: readonly (typeof ROTATED)[number][]
  readonly keyType: 'ecdsa' | 'ed25519' | 'rsa'
  readonly reason?: string
}

interface SignOptions extends RootOpening {
  readonly root: string
  readonly out: string
}

export function addRootChangeCommands(group: Command, perform: Perform): void {
  group
    .command('export')
    .description('Writes the next root of a repository to FILE, for the root key to sign offline. Publishes nothing.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .requiredOption('--out <file>', 'where the change is written')
    .addOption(
      new Option(
        '--root-certificate <file>',
        'a certificate that root is to list from now on, and no other; may be repeated',
      )
        .argParser(addText)
        .default([]),
    )
    .addOption(
      new Option('--rotate <role>', `a role that is to get a new key: ${ROTATED.join(', ')}; may be repeated`)
        .argParser(addRole)
        .default([]),
    )
    .addOption(
      new Option('--key-type <type>', 'with --rotate targets: type of the new key')
        .choices(['ecdsa', 'ed25519', 'rsa'])
        .default('ecdsa'),
    )
    .option('--reason <text>', 'with --rotate targets: why; it is recorded in the audit log')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Without --root-certificate and --rotate the next root is the same with a later expiry. A new key of targets is made in the key holder,
through its operator socket; new keys of snapshot and timestamp are made by the trust server.

Examples:
  $ countersign root export registry.example.com/team/app --root-certificate new-root.key.crt --out change.json
  $ countersign root export registry.example.com/team/app --rotate targets --reason "yearly" --out change.json`,
    )
    .action((gun: string, options: ExportOptions, command: Command) =>
      perform(command, (session) => exportChange(session, repositoryArgument(gun), options)),
    )

  group
    .command('show')
    .description('Says in words what a change of root does, and who has signed it. Works without a server.')
    .argument('<file>', 'a change, as `root export` wrote it')
    .addHelpText('after', '\nExamples:\n  $ countersign root show change.json')
    .action((file: string, _options: object, command: Command) =>
      perform(command, async (session) => report(session, await readRootChange(file, session.terminal.now()), {})),
    )

  const sign = group
    .command('sign')
    .description('Signs a change of root with an offline root key, after showing what it does. Works without a server.')
    .argument('<file>', 'a change, as `root export` or an earlier `root sign` wrote it')
    .requiredOption(
      '--root <file>',
      'root key made by `root create`, or by docker or notary; its certificate is FILE.crt, or stands in the change',
    )
  addRootOpening(sign)
    .requiredOption('--out <file>', 'where the change with the signature is written')
    .addHelpText(
      'after',
      `
Where root gets another key, the old one signs and the new one: one after the other.

Examples:
  $ countersign root sign change.json --root root.key --passphrase-file passphrase --out signed.json
  $ countersign root sign change.json --root root.key --share ann.txt --share bob.txt --out signed.json
  $ countersign root sign change.json --root root.key --module /usr/lib/opensc-pkcs11.so --out signed.json`,
    )
    .action((file: string, options: SignOptions, command: Command) =>
      perform(command, (session) => signChange(session, file, options)),
    )

  group
    .command('apply')
    .description('Publishes a signed change of root, and waits until stock clients see it.')
    .argument('<file>', 'a change with all its signatures')
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
Examples:
  $ countersign root apply signed.json

Exit status: 0 published; 1 failed; 2 usage; 3 without the grant; 4 not finished.`,
    )
    .action((file: string, { timeout }: { timeout: number }, command: Command) =>
      perform(command, (session) => applyChange(session, file, timeout)),
    )
}

async function exportChange(session: Session, gun: Gun, options: ExportOptions): Promise<ExitStatus> {
  refuseExisting(options.out)
  const certificates: string[] = []
  for (const file of options.rootCertificate) {
    certificates.push((await readPublicFile(file, MAX_CERTIFICATE_BYTES)).toString('utf8'))
  }
  if (options.rotate.includes('targets')) await stageTargets(session, gun, options)
  const api = await session.api()
  const plan = await api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/root-plans`,
    body: { rootCertificates: certificates, rotate: options.rotate },
    answer: rootPlanSchema,
  })
  if (plan.gun !== gun) throw new CliError('SERVER_ANSWER_MALFORMED', `The server answered for ${plan.gun}.`)
  const { current, next } = plan
  const change = newRootChange(gun, decodeBase64(current), decodeBase64(next), session.terminal.now())
  await writeRootChange(options.out, change)
  const status = report(session, change, { file: options.out })
  session.output.progress(
    `Next, where the root key is: countersign root sign ${options.out} --root FILE --passphrase-file FILE --out FILE`,
  )
  return status
}

/** Idempotent: a key that waits already is the one. */
async function stageTargets(session: Session, gun: Gun, options: ExportOptions): Promise<void> {
  const { reason, keyType } = options
  if (reason === undefined) throw new CliError('USAGE_INVALID', '--rotate targets needs --reason.')
  const request = { gun, role: TARGETS, keyType, reason, evidence: evidenceOf('rotate') }
  const { response } = await withOperator(session, options, (operator) => operator.call('stage-key', request))
  session.output.progress(`${gun}: ${response.canonicalKeyId} is to replace ${response.replaces} in targets`)
}

async function signChange(session: Session, file: string, options: SignOptions): Promise<ExitStatus> {
  refuseExisting(options.out)
  const now = session.terminal.now()
  const change = await readRootChange(file, now)
  const { gun, current, next } = change
  const listed = [current, next].flatMap(({ metadata: { roles, keys } }) =>
    (roles.get(ROOT)?.keyIds ?? []).flatMap((keyId) => keys.get(keyId) ?? []),
  )
  const named = { file: options.root, opening: options, gun, listed }
  return withRootKey(session.terminal, named, async (root) => {
    requireListed(change, root.key)
    session.output.progress('The root key signs:')
    for (const line of describeRootChange(change)) session.output.progress(`  ${line}`)
    const signed = withSignature(change, { keyId: root.key.tufKeyId, ...(await root.sign(next.message)) })
    await writeRootChange(options.out, signed)
    return report(session, signed, { file: options.out })
  })
}

/** @throws CliError ROOT_NOT_AS_EXPECTED */
function requireListed({ current, next }: RootChangeFile, { tufKeyId }: PublicKey): void {
  if ([current, next].some(({ metadata }) => metadata.roles.get(ROOT)?.keyIds.includes(tufKeyId))) return
  throw new CliError('ROOT_NOT_AS_EXPECTED', `Neither the root that is published nor the next one lists ${tufKeyId}.`, {
    facts: { keyId: tufKeyId },
    next: 'Nothing was signed. Take the root key of this repository.',
  })
}

async function applyChange(session: Session, file: string, timeoutMs: number): Promise<ExitStatus> {
  const change = await readRootChange(file, session.terminal.now())
  const { gun, next, signatures } = change
  requireSignatures(file, change)
  const api = await session.api()
  const request = await api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/root-changes`,
    body: {
      next: encodeBase64(next.message),
      signatures: signatures.map(({ keyId, method, signature }) => ({
        keyId,
        method,
        signature: encodeBase64(signature),
      })),
    },
    answer: signingRequestSchema,
  })
  return reportFollowed(session, request, timeoutMs)
}

/** @throws CliError ROOT_SIGNATURES_MISSING */
export function requireSignatures(file: string, change: RootChangeFile): void {
  const open = quorumsOf(change, change.signatures).filter(({ isComplete }) => !isComplete)
  if (open.length === 0) return
  throw new CliError(
    'ROOT_SIGNATURES_MISSING',
    `${file} is not signed by enough root keys: ${open.map(inWords).join('; ')}.`,
    {
      next: 'Sign it with: countersign root sign.',
    },
  )
}

function report({ output }: Session, change: RootChangeFile, { file }: { readonly file?: string }): ExitStatus {
  const { gun, current, next, signatures } = change
  const quorums = quorumsOf(change, signatures)
  output.document({
    gun,
    ...(file !== undefined && { file }),
    currentVersion: current.metadata.version,
    nextVersion: next.metadata.version,
    summary: describeRootChange(change),
    signatures: quorums,
  })
  for (const line of describeRootChange(change)) output.line(line)
  for (const quorum of quorums) output.line(`Signed by ${inWords(quorum)}`, quorum.isComplete ? 'green' : 'yellow')
  if (file !== undefined) output.line(`Written to ${file}`)
  return EXIT.done
}

function inWords({ of, threshold, signed, unsigned, isComplete }: Quorum): string {
  const keys = of === 'current' ? 'keys of the published root' : 'keys of the next root'
  const missing = isComplete ? '' : `; could sign: ${unsigned.join(', ')}`
  return `${signed.length} of the ${keys} (${threshold} needed)${missing}`
}

function addRole(value: string, former?: readonly string[]): readonly string[] {
  if (ROTATED.some((role) => role === value)) return addText(value, former)
  throw new InvalidArgumentError(`Allowed choices are ${ROTATED.join(', ')}.`)
}
