// The key holder behind the ServerSigner port: its `trust-server` socket, in the words of the protocol. Decides nothing.
import { CodedError, parseJson, parsePublicKey, parseRoleName, sha256Hex, type Gun } from '@countersign/tuf'
import { connectKeyHolder, type KeyHolderConnection } from '../holder/connection.ts'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Attachments, OperationResponse } from '../key-holder-protocol/operations.ts'
import type { KnownRepository, ServerRole, ServerSigner, SignedFile, SignedPair } from './signer.ts'

type WirePair = Pick<OperationResponse<'serve-refresh'>, 'snapshot' | 'snapshotHeldBy' | 'timestamp'>

const KEY_LIMITS = { maxBytes: 256 * 1024, maxDepth: 4 }

export class HolderSigner implements ServerSigner {
  readonly #connection: KeyHolderConnection

  constructor(socketPath: string, timeoutMs: number) {
    this.#connection = connectKeyHolder(socketPath, { timeoutMs })
  }

  close(): void {
    this.#connection.close()
  }

  async serverKey(o: Parameters<ServerSigner['serverKey']>[0]): ReturnType<ServerSigner['serverKey']> {
    const { response } = await this.#connection.call('server-key', { ...o, evidence: { ...o.evidence } })
    return parsePublicKey(parseJson(Buffer.from(JSON.stringify(response.key)), KEY_LIMITS))
  }

  async serveUpdate({ gun, files, evidence }: Parameters<ServerSigner['serveUpdate']>[0]): Promise<SignedPair> {
    const request = { gun, files: [...files.keys()], evidence: { ...evidence } }
    const { response, attachments } = await this.#connection.call('serve-update', request, files)
    return toPair(response, attachments)
  }

  async serveRefresh(gun: Gun, role: ServerRole): Promise<SignedPair> {
    const { response, attachments } = await this.#connection.call('serve-refresh', { gun, role })
    return toPair(response, attachments)
  }

  async serveState(gun: Gun): Promise<KnownRepository> {
    const { response, attachments } = await this.#connection.call('serve-state', { gun })
    return {
      state: response.state,
      roles: response.roles.map(({ role, version, sha256, listed }) => ({
        role: parseRoleName(role),
        version,
        sha256,
        isListed: listed,
      })),
      ...(response.current !== undefined && { current: toPair(response.current, attachments) }),
    }
  }

  async serveDelete(gun: Gun, evidence: Parameters<ServerSigner['serveDelete']>[1]): Promise<void> {
    await this.#connection.call('serve-delete', { gun, evidence: { ...evidence } })
  }

  async fault(): Promise<string | undefined> {
    try {
      const { response } = await this.#connection.call('status', {})
      return response.sealed ? 'KEY_HOLDER_SEALED' : undefined
    } catch (error) {
      if (error instanceof CodedError) return String(error.code)
      throw error
    }
  }
}

function toPair({ snapshot, snapshotHeldBy, timestamp }: WirePair, attachments: Attachments): SignedPair {
  const { version, sha256, expiresAt } = snapshot
  return {
    snapshot:
      snapshotHeldBy === 'server'
        ? toFile(snapshot, attachments.get('snapshot'))
        : { version, sha256, expiresAt: new Date(expiresAt) },
    timestamp: toFile(timestamp, attachments.get('timestamp')),
  }
}

function toFile({ version, sha256, expiresAt }: WirePair['timestamp'], bytes: Uint8Array | undefined): SignedFile {
  if (bytes === undefined || sha256Hex(bytes) !== sha256) {
    throw new KeyHolderError(
      'FRAME_MALFORMED',
      'The key holder’s answer is malformed: a signed file is not the one announced.',
    )
  }
  return { version, sha256, expiresAt: new Date(expiresAt), bytes }
}
