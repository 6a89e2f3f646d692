// `root take-offline`: a root key that was made in the key holder leaves it. Runs on the key holder's host, through its operator socket.
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { encodeBase64, type Gun } from '@countersign/tuf'
import { rootKeyRemovalMessage } from '../key-holder-protocol/root-key-proof.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import { reserveNewFile } from './files.ts'
import { repositoryArgument } from './image-list/list.ts'
import { certificateFileOf } from './root-key/certificate.ts'
import { openOfflineRoot, readPassphrase, signWithRoot, type OfflineRoot } from './root-key/key-file.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from './operator-socket.ts'
import type { Perform, Session } from './session.ts'

interface TakeOptions extends SocketOptions {
  readonly out: string
  readonly passphraseFile: string
  readonly reason: string
}

export function addTakeOfflineCommand(group: Command, perform: Perform): void {
  group
    .command('take-offline')
    .description('Moves the root key of a repository out of the key holder, into FILE (encrypted) and FILE.crt.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .requiredOption('--out <file>', 'where the encrypted key is written; the certificate goes to FILE.crt')
    .requiredOption('--passphrase-file <file>', 'file with the passphrase, mode 0600')
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
The key holder lets go of the key when the file was written, read again, opened, and has proved to hold it. After an interruption the same
command goes on with the file that is there.

Examples:
  $ countersign root take-offline registry.example.com/team/app --out root.key --passphrase-file passphrase --reason "go live"`,
    )
    .action((gun: string, options: TakeOptions, command: Command) =>
      perform(command, (session) => takeOffline(session, repositoryArgument(gun), options)),
    )
}

async function takeOffline(session: Session, gun: Gun, options: TakeOptions): Promise<ExitStatus> {
  const { out, passphraseFile, reason } = options
  // A crash before the file is whole leaves one that does not open, and the key where it was.
  if (!existsSync(out)) await writeExport(session, gun, options)
  // From the disk, as the next ceremony will read it.
  const root = await openOfflineRoot(out, { passphraseFile, share: [] }, gun, session.terminal.now())
  const { canonicalKeyId, tufKeyId } = root.key
  await withOperator(session, options, (operator) =>
    operator.call('remove-root-key', {
      gun,
      canonicalKeyId,
      proof: proofOf(root, gun),
      reason,
      evidence: evidenceOf('take-offline'),
    }),
  )
  session.output.document({ gun, keyFile: out, certificateFile: certificateFileOf(out), tufKeyId, canonicalKeyId })
  session.output.line(`${gun}: the root key is in ${out}, and no longer in the key holder.`, 'green')
  session.output.line(`  certificate: ${certificateFileOf(out)}`)
  session.output.progress(
    'It was online until now. To be sure of it, give root another key: countersign root create, then root export --root-certificate FILE.crt.',
  )
  return EXIT.done
}

async function writeExport(session: Session, gun: Gun, options: TakeOptions): Promise<void> {
  const { out, passphraseFile, reason } = options
  const passphrase = Buffer.from(readPassphrase(passphraseFile)).toString('utf8')
  const certificateFile = await reserveNewFile(certificateFileOf(out), 0o644)
  try {
    const keyFile = await reserveNewFile(out, 0o600)
    try {
      const { response, attachments } = await withOperator(session, options, (operator) =>
        operator.call('export-root-key', { gun, passphrase, reason, evidence: evidenceOf('take-offline') }),
      )
      // The certificate first: beside a key that is whole it is whole, too.
      await certificateFile.write(response.certificatePem)
      await keyFile.write(attachments.get('root.key') ?? new Uint8Array())
    } catch (error) {
      await keyFile.discard()
      throw error
    }
  } catch (error) {
    await certificateFile.discard()
    throw error
  }
}

function proofOf(root: OfflineRoot, gun: Gun): { method: string; signature: string } {
  const { method, signature } = signWithRoot(root, rootKeyRemovalMessage(gun, root.key.canonicalKeyId))
  return { method, signature: encodeBase64(signature) }
}
