// `pin`: root certificates of repositories, from the key holder that has them to the machines that verify.
import { X509Certificate } from 'node:crypto'
import { Option, type Command } from 'commander'
import { RELEASES } from '@countersign/tuf'
import type { KeyHolderConnection } from '../../holder/client.ts'
import type { OperationResponse } from '../../key-holder-protocol/operations.ts'
import { keyFingerprint, readBundle, type PinBundle, type SignedBundle } from '../../key-holder/pin-bundle.ts'
import { isVerifierKey, readVerifierKey } from '../../key-holder/signed-note.ts'
import { durationOption } from '../duration.ts'
import { CliError, EXIT, type ExitStatus } from '../errors.ts'
import { readPublicFile, reserveNewFile } from '../files.ts'
import { repositoryArgument } from '../image-list/list.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from '../operator-socket.ts'
import { parseTrustServer } from '../published-metadata.ts'
import type { Perform, Session } from '../session.ts'
import type { SignerKey } from './formats.ts'
import { pinsOf, pinStorePath, readPinStore, updatePinStore, withBundle, type StoredPins } from './store.ts'

const MAX_BUNDLE_BYTES = 64 * 1024 * 1024
const MAX_KEY_BYTES = 4096
const DAY_MS = 86_400_000

const FORMATS = ['bundle', 'notary', 'connaisseur', 'portieris'] as const

interface ExportOptions extends SocketOptions {
  readonly format: (typeof FORMATS)[number]
  readonly trustServer?: string
  readonly expires?: number
  readonly reason: string
}

interface ImportOptions {
  readonly key?: string
  readonly replace?: true
}

export function addPinCommands(program: Command, perform: Perform): void {
  const group = program
    .command('pin')
    .summary('root certificates that machines are to believe')
    .description(
      'Pins in place of trust on first use: the root certificates of repositories, as the key holder has them.',
    )
  group
    .command('export')
    .description(
      "Writes a bundle of the pinned roots, signed with the key holder's key for bundles, or a form for others.",
    )
    .usage('[options] [GUN...] FILE')
    .argument('<names...>', 'repositories, all of them by default; and at the end the new file')
    .addOption(
      new Option('--format <form>', 'bundle; or what the notary client, Connaisseur or Portieris read, unsigned')
        .choices(FORMATS)
        .default('bundle'),
    )
    .option('--trust-server <url>', 'for connaisseur and portieris: the Notary server that they are to ask')
    .option(
      '--expires <duration>',
      'in whole days, such as 90d: later than that the bundle is not imported',
      durationOption,
    )
    .option('--reason <text>', 'why; it is recorded in the audit log', 'pin export')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
The first export makes the key of bundles; its fingerprint is printed each time. Give it to people by another way than the bundle.

Examples:
  $ countersign pin export team.pins
  $ countersign pin export registry.example.com/team/app app.pins --expires 90d
  $ countersign pin export --format notary notary-pins.json
  $ countersign pin export --format connaisseur --trust-server https://notary.example.com values.yaml`,
    )
    .action((names: string[], options: ExportOptions, command: Command) =>
      perform(command, (session) => exportPins(session, names, options)),
    )
  group
    .command('import')
    .description(
      'Verifies a bundle and keeps its pins on this machine, where pull and verify use them. Asks no server.',
    )
    .argument('<file>', 'the bundle')
    .option('--key <key>', "fingerprint of the bundle's key, the key itself, or a file with it; needed the first time")
    .option('--replace', 'with --key: let it take over pins that have come with another key')
    .addHelpText(
      'after',
      `
A bundle that is older than what is here is refused. What it does not name stays as it is.

Examples:
  $ countersign pin import team.pins --key 6ea804ec05093b81ccc56ecdcd6ccb9e57cb2a4e35d7262a2636de361fc35ec7
  $ countersign pin import newer.pins
  $ countersign pin import other.pins --key 1f0c4bb2f2a8d9f7a3b1c5d4e6f7089a1b2c3d4e5f60718293a4b5c6d7e8f901 --replace`,
    )
    .action((file: string, options: ImportOptions, command: Command) =>
      perform(command, (session) => importPins(session, file, options)),
    )
  group
    .command('list')
    .description('Lists the pins of this machine.')
    .addHelpText('after', '\nExamples:\n  $ countersign pin list\n  $ countersign pin list --json')
    .action((_options: object, command: Command) => perform(command, listPins))
  group
    .command('show')
    .description('Shows the pins of a repository on this machine.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .addHelpText('after', '\nExamples:\n  $ countersign pin show registry.example.com/team/app')
    .action((gun: string, _options: object, command: Command) => perform(command, (session) => showPins(session, gun)))
}

/** @throws CliError USAGE_INVALID, FILE_EXISTS, FILE_UNWRITABLE; KeyHolderError */
async function exportPins(session: Session, names: readonly string[], options: ExportOptions): Promise<ExitStatus> {
  const guns = names.slice(0, -1).map((name) => repositoryArgument(name))
  const file = names.at(-1) ?? ''
  const { format } = options
  const lifetimeDays = wholeDays(options)
  const trustServer = trustServerFor(options)
  const reserved = await reserveNewFile(file, 0o644)
  const { made, text } = await bundleFrom(session, options, { guns, lifetimeDays, trustServer }).catch(
    async (error: unknown) => {
      await reserved.discard()
      throw error
    },
  )
  await reserved.write(text)
  const { serial, madeAt, expiresAt, publicKey, fingerprint, repositories } = made
  session.output.document({ file, format, serial, madeAt, expiresAt, publicKey, fingerprint, repositories })
  session.output.line(
    `The pins of ${made.repositories === 1 ? 'one repository' : `${made.repositories} repositories`} are in ${file}.`,
  )
  if (format !== 'bundle') {
    session.output.line('This form is not signed: whoever can change the file on its way changes what is believed.')
    return EXIT.done
  }
  session.output.line(`Number:      ${made.serial}`)
  session.output.line(`Expires:     ${made.expiresAt ?? 'never'}`)
  session.output.line(`Key:         ${made.publicKey}`)
  session.output.line(`Fingerprint: ${made.fingerprint}`)
  session.output.progress(`Next, where images are verified: countersign pin import ${file} --key ${made.fingerprint}`)
  return EXIT.done
}

/** What the key holder made, and the text of the file. */
async function bundleFrom(
  session: Session,
  options: ExportOptions,
  {
    guns,
    lifetimeDays,
    trustServer,
  }: { guns: readonly string[]; lifetimeDays: number | undefined; trustServer: URL | undefined },
): Promise<{ readonly made: OperationResponse<'export-pins'>; readonly text: string }> {
  return withOperator(session, options, async (operator) => {
    const { response, attachments } = await operator.call('export-pins', {
      ...(guns.length > 0 && { guns: [...guns] }),
      ...(lifetimeDays !== undefined && { lifetimeDays }),
      reason: options.reason,
      evidence: evidenceOf('pin-export'),
    })
    const bundle = Buffer.from(attachments.get('bundle') ?? []).toString('utf8')
    const read = requireBundle(readBundle(bundle, (key) => key === response.publicKey))
    return { made: response, text: await inForm(operator, options.format, bundle, read, trustServer) }
  })
}

function wholeDays({ expires, format }: ExportOptions): number | undefined {
  if (expires === undefined) return undefined
  const days = expires / DAY_MS
  if (format === 'bundle' && Number.isInteger(days) && days <= 3650) return days
  throw new CliError('USAGE_INVALID', '--expires takes whole days, up to 3650d, and goes with bundles only.')
}

/** @throws CliError USAGE_INVALID, SERVER_ADDRESS_INVALID */
function trustServerFor({ format, trustServer }: ExportOptions): URL | undefined {
  const isAsked = format === 'connaisseur' || format === 'portieris'
  if (trustServer !== undefined && isAsked) return parseTrustServer(trustServer)
  if (trustServer === undefined && !isAsked) return undefined
  throw new CliError('USAGE_INVALID', '--trust-server goes with --format connaisseur and portieris, which need it.')
}

async function inForm(
  operator: KeyHolderConnection,
  format: ExportOptions['format'],
  text: string,
  { repositories }: PinBundle,
  trustServer: URL | undefined,
): Promise<string> {
  if (format === 'bundle') return text
  const forms = await import('./formats.ts')
  if (format === 'notary') return forms.notaryConfig(repositories)
  if (format === 'connaisseur') return forms.connaisseurValues(repositories, trustServer?.host ?? '')
  const signers = (await Promise.all(repositories.map(({ gun }) => signersOf(operator, gun)))).flat()
  return forms.portierisObjects(repositories, signers, trustServer?.href.replace(/\/$/, '') ?? '')
}

/** The signers whose keys are here. */
async function signersOf(operator: KeyHolderConnection, gun: string): Promise<SignerKey[]> {
  const { keys } = (await operator.call('repository-status', { gun })).response
  const own = keys.filter(({ role, state }) => state === 'active' && role.startsWith('targets/') && role !== RELEASES)
  const exported = own.map(async ({ role, canonicalKeyId }) => {
    const { pem } = (await operator.call('export-public-key', { gun, role, canonicalKeyId })).response
    return { gun, name: role.replace(/^targets\//, ''), pem }
  })
  return Promise.all(exported)
}

/** @throws CliError PIN_BUNDLE_*, PIN_KEY_MISSING, FILE_UNREADABLE, PINS_DAMAGED, FILE_UNWRITABLE */
async function importPins(session: Session, file: string, { key, replace }: ImportOptions): Promise<ExitStatus> {
  const { terminal, output } = session
  const replaces = replace === true
  if (replaces && key === undefined) throw new CliError('USAGE_INVALID', '--replace goes with --key.')
  const named = key === undefined ? undefined : await readKey(key)
  const text = (await readPublicFile(file, MAX_BUNDLE_BYTES)).toString('utf8')
  const terms = { isNamed: named !== undefined, replaces, now: terminal.now() }
  const { serial, madeAt, expiresAt, fingerprint, repositories } = await updatePinStore(terminal, (store) => {
    if (named === undefined && store.keys.length === 0) throw keyMissing()
    const bundle = requireBundle(
      readBundle(text, (publicKey, print) =>
        named === undefined ? store.keys.includes(publicKey) : named === publicKey || named === print,
      ),
    )
    return { store: withBundle(store, bundle, terms), result: bundle }
  })
  const guns = repositories.map(({ gun }) => gun)
  output.document({ file: pinStorePath(terminal), serial, madeAt, expiresAt, fingerprint, repositories: guns })
  output.line(`Pinned: ${guns.length === 1 ? (guns[0] ?? '') : `${guns.length} repositories`}`, 'green')
  output.line(`Bundle ${serial} of ${madeAt}, key ${fingerprint}`)
  return EXIT.done
}

/** A fingerprint or a key in verifier form. @throws CliError FILE_UNREADABLE, USAGE_INVALID */
async function readKey(text: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(text) || isVerifierKey(text)) return text
  const content = (await readPublicFile(text, MAX_KEY_BYTES)).toString('utf8').trim()
  if (/^[0-9a-f]{64}$/.test(content) || isVerifierKey(content)) return content
  throw new CliError('USAGE_INVALID', `${text} holds neither a fingerprint nor a key of bundles.`, {
    next: 'countersign pin export prints both.',
  })
}

/** @throws CliError PIN_BUNDLE_* */
function requireBundle(read: ReturnType<typeof readBundle>): SignedBundle {
  switch (read) {
    case 'malformed':
      throw new CliError('PIN_BUNDLE_INVALID', 'The file is no bundle of pins.', { facts: { fault: read } })
    case 'signature':
      throw new CliError('PIN_BUNDLE_INVALID', 'The signature of the bundle does not fit: somebody changed it.', {
        facts: { fault: read },
        next: 'Nothing of it was taken. Get it again, and tell the operator.',
      })
    case 'other-key':
      throw new CliError(
        'PIN_BUNDLE_OTHER_KEY',
        'The bundle is signed with another key than the one that is trusted.',
        {
          next: 'Compare the fingerprint with the operator. If the key was replaced, name the new one with --key, and say --replace.',
        },
      )
    default:
      return read
  }
}

function keyMissing(): CliError {
  return new CliError('PIN_KEY_MISSING', 'No key of bundles is known on this machine yet.', {
    next: 'Give --key FINGERPRINT, which you have from the operator by another way than the bundle.',
  })
}

async function listPins(session: Session): Promise<ExitStatus> {
  const { terminal, output } = session
  const { repositories } = await readPinStore(terminal)
  output.document({ file: pinStorePath(terminal), repositories: repositories.map(describe) })
  output.table(
    ['REPOSITORY', 'ROOT', 'CERTIFICATES', 'BUNDLE', 'MADE', 'EXPIRES'],
    repositories.map(({ gun, root, certificates, from }) => [
      gun,
      `v${root.version}`,
      certificates.map(({ keyId }) => keyId.slice(0, 12)).join(' '),
      String(from.serial),
      from.madeAt.slice(0, 10),
      from.expiresAt?.slice(0, 10) ?? '-',
    ]),
  )
  return EXIT.done
}

async function showPins(session: Session, text: string): Promise<ExitStatus> {
  const { terminal, output } = session
  const gun = repositoryArgument(text)
  const pins = pinsOf(await readPinStore(terminal), gun)
  if (pins === undefined) {
    throw new CliError('PIN_UNKNOWN', `This machine has no pins of ${gun}.`, {
      facts: { gun },
      next: 'Import a bundle that names it: countersign pin import FILE --key FINGERPRINT.',
    })
  }
  const described = describe(pins)
  output.document(described)
  output.line(`Repository:  ${gun}`)
  output.line(
    `Root:        v${pins.root.version}, sha256:${pins.root.sha256}, ${pins.root.threshold} of ${pins.certificates.length} keys`,
  )
  for (const { keyId, subject, notAfter } of described.certificates) {
    output.line(`Certificate: ${keyId}`)
    output.line(`             ${subject}, until ${notAfter}`)
  }
  output.line(
    `Bundle:      ${described.bundle.serial} of ${described.bundle.madeAt}, imported ${described.bundle.importedAt}`,
  )
  output.line(`Key:         ${described.bundle.fingerprint ?? '-'}`)
  output.line(`Expires:     ${described.bundle.expiresAt ?? 'never'}`)
  return EXIT.done
}

function describe({ gun, root, certificates, from }: StoredPins) {
  const { publicKey, serial, madeAt, expiresAt, importedAt } = from
  const key = readVerifierKey(publicKey)
  return {
    gun,
    root,
    certificates: certificates.map(({ keyId, pem }) => {
      const { subject, validTo } = new X509Certificate(pem)
      return { keyId, subject, notAfter: new Date(validTo).toISOString() }
    }),
    bundle: {
      serial,
      madeAt,
      expiresAt,
      importedAt,
      publicKey,
      ...(key !== undefined && { fingerprint: keyFingerprint(key.publicKey) }),
    },
  }
}
