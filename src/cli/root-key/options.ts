// How a root key is opened: an encrypted file with its passphrase or with shares, or a PKCS#11 token with its PIN.
import { Option, type Command } from 'commander'
import { shareOption, type OpeningOptions } from '../shares/options.ts'

/** A module, and the PIN of the token behind it. */
export interface TokenOpening {
  /** A shared library that speaks PKCS#11. */
  readonly module?: string
  /** Without it a person is asked. */
  readonly pinFile?: string
}

export interface RootOpening extends OpeningOptions, TokenOpening {}

/** `--passphrase-file`, `--share`, `--module`, `--pin-file`. */
export function addRootOpening(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'file with the passphrase of the root key, mode 0600')
    .addOption(shareOption())
    .addOption(moduleOption())
    .addOption(pinFileOption())
}

export function moduleOption(): Option {
  return new Option('--module <file>', 'PKCS#11 module (a shared library) of the token that has the root key')
}

export function pinFileOption(): Option {
  return new Option('--pin-file <file>', "file with the token's PIN, mode 0600; without it you are asked")
}

/** Whether any of them is there. */
export function opensSomething({ passphraseFile, share, module, pinFile }: RootOpening): boolean {
  return share.length > 0 || [passphraseFile, module, pinFile].some((option) => option !== undefined)
}
