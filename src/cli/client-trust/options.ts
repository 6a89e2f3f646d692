// What a client needs that verifies by itself, as options: which trust server, and where its trust begins.
import type { Command } from 'commander'
import type { TufKeyId } from '@countersign/tuf'
import type { ImageReference } from '../../domain/image-reference.ts'
import { CliError } from '../errors.ts'
import { addPin } from '../pin-option.ts'
import type { Terminal } from '../terminal.ts'
import { addText } from '../text-option.ts'

/** docker/cli v28.2.2 cli/trust/trust.go NotaryServer. */
const HUB_SERVER = 'https://notary.docker.io'

export interface TrustOptions {
  readonly trustServer?: string
  readonly pin?: readonly TufKeyId[]
  readonly tofu?: boolean
  readonly realm?: readonly string[]
}

/** Adds what `TrustOptions` holds. @param note what comes before each description */
export function trustOptions(command: Command, note = ''): Command {
  return command
    .option('--trust-server <url>', `${note}the Notary server (DOCKER_CONTENT_TRUST_SERVER); default: as docker has it`)
    .option('--pin <keyid>', `${note}key ID of a root certificate, 64 hex digits; may be repeated`, addPin)
    .option('--tofu', `${note}in place of --pin: believe the root that the server has, once, and remember it`)
    .option('--realm <url>', `${note}a token server that may see credentials; may be repeated`, addText)
}

/** @throws CliError USAGE_INVALID */
export function requireOnePin({ pin, tofu }: TrustOptions): void {
  if (pin === undefined || tofu === undefined) return
  throw new CliError('USAGE_INVALID', '--pin and --tofu exclude each other.')
}

/** The server that docker would ask. docker/cli v28.2.2 cli/trust/trust.go Server */
export function trustServerOf({ registry }: ImageReference, { trustServer }: TrustOptions, { env }: Terminal): string {
  const fromEnvironment = env['DOCKER_CONTENT_TRUST_SERVER'] ?? ''
  if (trustServer !== undefined) return trustServer
  if (fromEnvironment !== '') return fromEnvironment
  return registry === 'docker.io' ? HUB_SERVER : `https://${registry}`
}
