// `backup create`, `restore` and `drill`.
import type { Command } from 'commander'
import { socketOption } from '../operator-socket.ts'
import type { Perform } from '../session.ts'
import { shareOption, sharesOption } from '../shares/options.ts'
import type { CreateOptions } from './create.ts'
import type { DrillOptions } from './drill.ts'
import type { RestoreCommandOptions } from './restore.ts'
import type { ShareOptions } from './share.ts'

export function addBackupCommands(program: Command, perform: Perform): void {
  const group = program
    .command('backup')
    .summary('back up and restore')
    .description('Backups of keys, audit log and databases, in one encrypted file.')
  group
    .command('create')
    .description('Writes a backup, while everything goes on. Runs on the host of the key holder.')
    .argument('<file>', 'where the backup is written; must not exist')
    .option('--daemon-folder <folder>', "the daemon's data folder, with the trust server in it where `serve` runs one")
    .option('--trust-server-folder <folder>', 'the data folder of a trust server that runs by itself')
    .option(
      '--passphrase-file <file>',
      "file with the passphrase; without it the one that the key holder's configuration names",
    )
    .option('--reason <text>', 'why; it is recorded in the audit log', 'backup')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
The key holder's configuration names the passphrase (backup.passphraseFile): whoever has its operator socket alone gets nothing that opens.
Run it as a user who can read the folders that are named: root, where they belong to different users.

Examples:
  $ countersign backup create /backup/countersign-2026-12-01.age
  $ countersign backup create /backup/countersign-2026-12-01.age --daemon-folder /var/lib/countersign \\
      --trust-server-folder /var/lib/countersign-trust-server

Exit status: 0 the backup is written; 1 failed; 2 usage.`,
    )
    .action((file: string, options: CreateOptions, command: Command) =>
      perform(command, async (session) => (await import('./create.ts')).createBackup(session, file, options)),
    )
  group
    .command('share')
    .description('Splits the passphrase of backups among people: any K of N shares open every backup under it.')
    .requiredOption('--passphrase-file <file>', "file with the passphrase that the key holder's configuration names")
    .addOption(sharesOption().makeOptionMandatory())
    .requiredOption('--out <name>', 'the shares are written to NAME.share-1 and so on; none of them may exist')
    .addHelpText(
      'after',
      `
Print the files, give each to another person, and destroy them. Make new shares after every change of the passphrase, and try two of the old ones
with a drill first: shares of an old passphrase open old backups only.

Examples:
  $ countersign backup share --passphrase-file /etc/countersign/backup.passphrase --shares 2/3 --out countersign-backup

Exit status: 0 the shares are written; 1 failed; 2 usage.`,
    )
    .action((options: ShareOptions, command: Command) =>
      perform(command, async (session) => (await import('./share.ts')).shareBackup(session, options)),
    )
  group
    .command('restore')
    .description('Restores a backup into a folder, and verifies all of it. Needs no service.')
    .argument('<file>', 'the backup')
    .argument('<folder>', 'new or empty; has the form of the data folder of `serve`')
    .option('--passphrase-file <file>', 'file with the passphrase, mode 0600; without it you are asked')
    .addOption(shareOption())
    .option('--key-holder-config <file>', 'configuration whose PKCS#11 tokens are asked for the keys that are in them')
    .addHelpText(
      'after',
      `
Every key signs a challenge, but those in PKCS#11 tokens, which no backup holds: name --key-holder-config, and they sign where they are. The audit log is written anew and verified, every database is checked. Without success nothing is left.

Examples:
  $ countersign backup restore countersign-2026-12-01.age /var/lib/countersign
  $ countersign backup restore countersign-2026-12-01.age /var/lib/countersign --share ann.txt --share bob.txt

Exit status: 0 everything is there and proven; 1 failed; 2 usage.`,
    )
    .action((file: string, folder: string, options: RestoreCommandOptions, command: Command) =>
      perform(command, async (session) => (await import('./restore.ts')).restoreBackup(session, file, folder, options)),
    )
  group
    .command('drill')
    .description(
      'Rehearses the loss of the machine with a backup, and says how long it takes. Touches nothing that runs.',
    )
    .argument('<file>', 'the backup')
    .option('--passphrase-file <file>', 'file with the passphrase, mode 0600; without it you are asked')
    .addOption(shareOption())
    .option('--key-holder-config <file>', 'configuration whose PKCS#11 tokens are asked for the keys that are in them')
    .option('--work-folder <folder>', 'where the copy is made and destroyed; without it the folder for temporary files')
    .addHelpText(
      'after',
      `
Restores the backup into a folder of its own, starts a key holder there, has every key sign a challenge, signs in a repository that is
made for it, verifies that as a client does, and destroys everything. Nothing is published.

Examples:
  $ countersign backup drill countersign-2026-12-01.age --passphrase-file passphrase

Exit status: 0 the backup is good; 1 it is not, or the drill failed; 2 usage.`,
    )
    .action((file: string, options: DrillOptions, command: Command) =>
      perform(command, async (session) => (await import('./drill.ts')).drillBackup(session, file, options)),
    )
}
