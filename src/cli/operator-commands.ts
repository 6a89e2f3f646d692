// `repo adopt`, `freeze` and `unfreeze`: what an operator does on the key holder's host, through its operator socket.
// What may reach that socket is decided by its file permissions, not here.
import { InvalidArgumentError, Option, type Command } from 'commander'
import { TufError, type Gun, type PublicKey, type TrustedRepository, type TufKeyId } from '@countersign/tuf'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'
import { adoptedKey, inWords, requireProof, waitForListing } from './adoption-wait.ts'
import { durationOption } from './duration.ts'
import { ApiProblem, CliError, EXIT, type ExitStatus } from './errors.ts'
import { addSeen, decisionOf, versionsInWords, type ForeignOptions } from './foreign-versions.ts'
import { repositoryArgument } from './image-list/list.ts'
import { keepPublicKey, ownerCommand } from './public-key-file.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from './operator-socket.ts'
import { dockerMetadataFolder, fromFolder, verifyPublished } from './published-metadata.ts'
import { addPin } from './pin-option.ts'
import { addText } from './text-option.ts'
import { repositoryReportSchema, type RepositoryReportResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

interface AdoptOptions extends SocketOptions {
  readonly pin: readonly TufKeyId[]
  readonly metadata?: string
  readonly trustServer?: string
  readonly realm?: readonly string[]
  readonly signer: string
  readonly keyType: 'ecdsa' | 'ed25519' | 'rsa'
  readonly keyOut?: string
  readonly importedKeys?: boolean
  /** Milliseconds. */
  readonly wait?: number
}

interface FreezeOptions extends SocketOptions, ForeignOptions {
  readonly reason: string
}

export function addOperatorCommands(group: Command, perform: Perform): void {
  group
    .command('adopt')
    .description(
      'Takes over a repository that others made: as a signer whose key its owner adds, or with keys that were imported.',
    )
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .requiredOption('--pin <keyid>', 'key ID of a root certificate, 64 hex digits; may be repeated', addPin)
    .option('--trust-server <url>', 'read the published metadata from this Notary server')
    .option('--realm <url>', 'with --trust-server: a token server that may see credentials; may be repeated', addText)
    .option('--metadata <folder>', 'read it from this folder; without it from the copy of `docker trust inspect`')
    .option('--signer <name>', 'sign in the delegation targets/NAME', signerOption, 'countersign')
    .addOption(new Option('--key-type <type>', 'type of the delegation key').choices(['ecdsa', 'rsa']).default('ecdsa'))
    .option('--key-out <file>', 'where the public key is written; NAME.pem without it')
    .addOption(
      new Option('--imported-keys', 'make no key: sign with those that `key import` has taken').conflicts([
        'signer',
        'keyOut',
        'wait',
      ]),
    )
    .addOption(
      new Option(
        '--wait <duration>',
        'wait until the owner has added the key, such as 30m or 7d, and have it proven',
      ).argParser(durationOption),
    )
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
With --imported-keys targets and delegations may have expired: repair them afterwards with countersign repo repair.

Examples:
  $ countersign repo adopt registry.example.com/team/app --pin 6ea804ec...
  $ countersign repo adopt registry.example.com/team/app --pin 6ea804ec... --imported-keys --trust-server https://notary.example.com
  $ countersign repo adopt registry.example.com/team/app --pin 6ea804ec... --trust-server https://notary.example.com --wait 1h

Exit status: 0 done, with --wait: listed and proven; 1 failed; 2 usage; 3 without the grant; 4 the owner has not added the key yet.`,
    )
    .action((gun: string, options: AdoptOptions, command: Command) =>
      perform(command, (session) => adopt(session, repositoryArgument(gun), options)),
    )
  addPermission(group, perform)
  addFreezing(group, perform, 'freeze', 'Stops all signing for a repository.', 'unknown version 12 of targets/releases')
  addFreezing(
    group,
    perform,
    'unfreeze',
    'Lets signing go on, and takes what is published now for the truth, unless it was or is dropped.',
    'version 12 was the restored backup',
  )
}

interface PermitOptions extends FreezeOptions {
  readonly startAgain?: boolean
  readonly pin?: readonly TufKeyId[]
}

function addPermission(group: Command, perform: Perform): void {
  group
    .command('permit-recreation')
    .description('Lets a repository that was deleted on the embedded trust server begin again with another root, once.')
    .argument('<gun>', 'repository')
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
    .option(
      '--pin <keyid>',
      'key ID of a certificate of the new root, the only ones that it may list; may be repeated; without it any root is taken',
      addPin,
    )
    .option(
      '--start-again',
      'versions may begin with 1, as those of stock clients do; without it they go on above the old ones',
    )
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Examples:
  $ countersign repo permit-recreation registry.example.com/team/app --pin 6ea804ec... --reason "root key lost"
  $ countersign repo permit-recreation registry.example.com/team/app --start-again --reason "a new owner, with notary init"`,
    )
    .action((text: string, options: PermitOptions, command: Command) =>
      perform(command, async (session) => {
        const gun = repositoryArgument(text)
        const versions = options.startAgain === true ? 'start-again' : 'go-on'
        const pins = options.pin ?? []
        await withOperator(session, options, (operator) =>
          operator.call('permit-recreation', {
            gun,
            versions,
            ...(pins.length > 0 && { certificateKeyIds: [...pins] }),
            reason: options.reason,
            evidence: evidenceOf('permit-recreation'),
          }),
        )
        if (pins.length === 0)
          session.output.warn(`Whoever publishes a root of ${gun} first has it. Name its certificate: --pin KEYID`)
        session.output.document({ gun, versions, certificateKeyIds: pins })
        session.output.line(`${gun} may begin again, once.`)
        return EXIT.done
      }),
    )
}

function addFreezing(
  group: Command,
  perform: Perform,
  operation: 'freeze' | 'unfreeze',
  description: string,
  example: string,
): void {
  const command = group
    .command(operation)
    .description(description)
    .argument('<gun>', 'repository')
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
  if (operation === 'unfreeze') {
    command
      .option(
        '--drop-foreign',
        'versions that were not signed here are a theft: the next rotation or renewal goes back to what was signed here last',
      )
      .addOption(
        new Option(
          '--accept-foreign',
          'they are the truth, also those that were dropped and that nothing has followed yet',
        ).conflicts('dropForeign'),
      )
      .option(
        '--seen <role@version>',
        'a version that the decision is about; may be repeated; with it, refused where others wait',
        addSeen,
      )
  }
  command
    .addOption(socketOption())
    .addHelpText(
      'after',
      `\nExamples:\n  $ countersign repo ${operation} registry.example.com/team/app --reason "${example}"`,
    )
    .action((text: string, options: FreezeOptions, command: Command) =>
      perform(command, async (session) => {
        const gun = repositoryArgument(text)
        const request = { gun, reason: options.reason, evidence: evidenceOf('operator') }
        const response = await withOperator(session, options, async (operator) =>
          operation === 'freeze'
            ? (await operator.call(operation, request)).response
            : (await operator.call(operation, { ...request, ...decisionOf(options) })).response,
        )
        session.output.document(response)
        session.output.line(`${gun}: ${response.state}`)
        for (const line of versionsInWords(response)) session.output.line(line)
        const disowned = response.disowned ?? []
        if (disowned.length > 0) {
          session.output.line(`Rotate the key now: what is published in ${disowned.join(', ')} goes with it.`)
        }
        return EXIT.done
      }),
    )
}

async function adopt(session: Session, gun: Gun, options: AdoptOptions): Promise<ExitStatus> {
  const { output } = session
  const published = await readPublished(session, gun, options)
  const pinned = await pin(session, gun, options, published)
  const { pem } = pinned
  const key = adoptedKey(pinned)
  if (pem === undefined || key === undefined) return adoptWithImportedKeys(session, gun)
  const file = options.keyOut ?? `${options.signer}.pem`
  await keepPublicKey(file, pem)
  const repository = await register(session, gun)
  const command = ownerCommand(file, options.signer, gun)
  const facts = {
    gun,
    signer: options.signer,
    publicKeyPem: pem,
    publicKeyFile: file,
    ownerCommand: command,
    repository,
  }
  output.block(pem)
  output.line(`The public key is in ${file}. Ask the owner of the repository to run:`)
  output.line(`  ${command}`)
  if (options.wait !== undefined) return waitForOwner(session, key, facts, options, options.wait)
  output.document(facts)
  return EXIT.done
}

/** Until the owner has run the command; then the key holder signs a challenge with the key that is listed now. */
async function waitForOwner(
  session: Session,
  key: PublicKey,
  facts: { readonly gun: Gun; readonly signer: string; readonly ownerCommand: string },
  options: AdoptOptions,
  timeoutMs: number,
): Promise<ExitStatus> {
  const { output } = session
  const { gun, signer, ownerCommand: command } = facts
  const { canonicalKeyId } = key
  if (output.json) output.progress(`Ask the owner of the repository to run: ${command}`)
  const listing = await waitForListing(session, { gun, signer, canonicalKeyId }, timeoutMs)
  if (listing.missing.length > 0) {
    output.document({ ...facts, canonicalKeyId, listedIn: listing.roles, proven: false })
    output.complain(
      'OWNER_MUST_ADD_KEY',
      `${gun}: ${inWords(listing)}`,
      'The same command goes on waiting, with the same key.',
    )
    return EXIT.unfinished
  }
  requireProof(gun, key, await pin(session, gun, options, await readPublished(session, gun, options)))
  output.document({ ...facts, canonicalKeyId, listedIn: listing.roles, proven: true })
  output.line(`${listing.roles.join(' and ')} list ${canonicalKeyId}, and the key holder has signed with it.`, 'green')
  return EXIT.done
}

async function adoptWithImportedKeys(session: Session, gun: Gun): Promise<ExitStatus> {
  const { output } = session
  const repository = await register(session, gun)
  const { signer, trouble } = repository
  output.document({ gun, signer, repository })
  output.line(`${gun} is managed with the keys that were imported.`, 'green')
  const where = signer === null || signer === undefined ? 'targets' : `targets/releases and targets/${signer}`
  if (trouble === undefined) output.line(`Tags are signed in ${where}. See: countersign repo status ${gun}`)
  else output.warn(`${trouble.code}: ${trouble.detail ?? ''} Repair it: countersign repo repair ${gun}`)
  return EXIT.done
}

/** Verified here already, so that a stale copy or a wrong pin is told before anything is changed. */
async function readPublished(session: Session, gun: Gun, options: AdoptOptions): Promise<TrustedRepository> {
  const { trustServer, metadata, realm = [], importedKeys = false } = options
  if (trustServer !== undefined && metadata !== undefined) {
    throw new CliError('USAGE_INVALID', '--trust-server and --metadata exclude each other.')
  }
  const folder = metadata ?? dockerMetadataFolder(session.terminal, gun)
  const source =
    trustServer === undefined
      ? undefined
      : await (await import('./notary-source.ts')).openNotary(session, gun, trustServer, realm)
  try {
    const certificates = { kind: 'certificates', tufKeyIds: options.pin } as const
    const read = source?.read ?? fromFolder(folder)
    const verifying = { gun, pin: certificates, now: session.terminal.now(), acceptsExpired: importedKeys }
    return await verifyPublished(verifying, read)
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const { code } = cause
    throw new CliError('METADATA_NOT_VERIFIED', `The metadata of ${gun} does not verify from this pin: ${code}.`, {
      facts: { ...cause.facts, reason: code, source: source?.address ?? folder },
      next:
        source === undefined
          ? `Refresh Docker's copy with: docker trust inspect ${gun}  (or give --trust-server), and compare the pin with the owner.`
          : 'Compare the pin with the owner of the repository.',
      cause,
    })
  } finally {
    await source?.close()
  }
}

async function pin(
  session: Session,
  gun: Gun,
  options: AdoptOptions,
  published: TrustedRepository,
): Promise<OperationResponse<'pin-repository'>> {
  const { files } = published
  const request = {
    gun,
    certificateKeyIds: [...options.pin],
    ...(options.importedKeys !== true && { signer: options.signer }),
    keyType: options.keyType,
    files: [...files.keys()],
    evidence: evidenceOf('adopt'),
  }
  const { response } = await withOperator(session, options, (operator) =>
    operator.call('pin-repository', request, files),
  )
  return response
}

/** A repetition finds the repository registered, which is what was wanted. */
async function register(session: Session, gun: Gun): Promise<RepositoryReportResource> {
  const api = await session.api()
  const path = `v1/repositories/${encodeURIComponent(gun)}`
  try {
    return await api.call({ method: 'POST', path: `${path}/adoption`, body: {}, answer: repositoryReportSchema })
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.code !== 'REPOSITORY_ALREADY_REGISTERED') throw error
    return api.call({ method: 'GET', path, answer: repositoryReportSchema })
  }
}

/** As `docker trust signer add` takes names (docker/cli v28.2.2 cli/command/trust/signer_add.go); releases is Docker's own. */
function signerOption(text: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(text) && text !== 'releases') return text
  throw new InvalidArgumentError('A signer has lower-case letters, digits, _ and -, and is not "releases".')
}
