// Who says in the demo what is signed: a client of the demo's own, which is on every machine, and the stock client that is on the PATH: docker
// where there is one with content trust, else notary. Each gets the trust server's address and certificate authority, and nothing else.
import {
  CodedError,
  findTarget,
  parseGun,
  parseTufKeyId,
  RepositoryVerifier,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { Agent, request } from 'undici'
import { DockerClient } from '../test/support/peers/docker-client.ts'
import type { PushedImage } from '../test/support/peers/images.ts'
import { NotaryClient } from '../test/support/peers/notary-client.ts'
import { programsOnPath, trustingDockerClients } from '../test/support/peers/require-peers.ts'
import type { Scope } from '../test/support/scope.ts'
import type { Service } from './service.ts'

export interface Verdict {
  /** As one would type it, where it can be typed. */
  readonly command?: string
  readonly output: string
  /** 64 hex digits; undefined where no valid signature is found. */
  readonly digest: string | undefined
  /** Of a refusal by our own client. */
  readonly code?: string
}

export interface Judge {
  readonly name: string
  digestOf(image: PushedImage): Promise<Verdict>
}

/**
 * Verifies as every client of Docker Content Trust does, with the TUF library alone: from a pinned root, over HTTPS, and remembering the
 * versions that it saw. It shares no process, file or memory with the service.
 */
export class OwnClient implements Judge {
  readonly name = 'A client with a pinned root'
  readonly #service: Service
  #seen: ReadonlyMap<RoleName, { readonly version: number; readonly sha256: string }> = new Map()
  #pin: string | undefined

  constructor(service: Service) {
    this.#service = service
  }

  /** @param keyId key ID of the root certificate, as `repo init` prints it */
  pin(keyId: string): void {
    this.#pin = keyId
  }

  async digestOf({ gun, tag }: PushedImage): Promise<Verdict> {
    if (this.#pin === undefined) return { output: 'there is no root to pin yet', digest: undefined }
    try {
      const repository = await this.#read(gun, this.#pin)
      const hash = findTarget(repository, tag)?.meta.hashes.get('sha256')
      const digest = hash === undefined ? undefined : Buffer.from(hash, 'base64').toString('hex')
      const found = digest === undefined ? 'no such tag' : `sha256:${digest}`
      const { root, timestamp } = repository
      const versions = `root v${root.metadata.version}, timestamp v${timestamp.metadata.version}`
      return { output: `${gun}:${tag}: ${found} (${versions})`, digest }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      const code = String(error.code)
      return { output: `${gun}:${tag}: refused, ${code}`, digest: undefined, code }
    }
  }

  async #read(gun: string, keyId: string): Promise<TrustedRepository> {
    const verifier = new RepositoryVerifier({
      gun: parseGun(gun),
      pin: { kind: 'certificates', tufKeyIds: [parseTufKeyId(keyId)] },
      now: new Date(),
      highest: this.#seen,
    })
    const agent = new Agent({ connect: { ca: this.#service.caPem } })
    try {
      for (let file = verifier.next(); file !== undefined; file = verifier.next()) {
        const url = `${this.#service.trustServerUrl}/v2/${gun}/_trust/tuf/${file.fileName}`
        const { statusCode, body } = await request(url, { dispatcher: agent })
        const bytes = new Uint8Array(await body.arrayBuffer())
        verifier.accept(statusCode === 200 ? bytes : undefined)
      }
    } finally {
      await agent.close()
    }
    const repository = verifier.result()
    const { root, timestamp, snapshot, targets, delegations } = repository
    const files = [
      ['root', root],
      ['timestamp', timestamp],
      ['snapshot', snapshot],
      ['targets', targets],
    ] as const
    this.#seen = new Map(
      [...files, ...delegations].map(([role, { metadata, sha256 }]) => [
        role as RoleName,
        { version: metadata.version, sha256 },
      ]),
    )
    return repository
  }
}

/** Undefined where there is none on the PATH. Each question is asked by a client without a cache, as a newcomer would. */
export function stockJudge(scope: Scope, service: Service): Judge | undefined {
  const server = {
    url: service.trustServerUrl,
    host: new URL(service.trustServerUrl).host,
    caFile: service.caFile,
    ca: {
      certificatePem: service.caPem,
      issue: () => {
        throw new Error('This authority is the service’s own.')
      },
    },
  }
  const [docker] = trustingDockerClients()
  if (docker !== undefined) {
    return {
      name: `docker ${docker.version}`,
      digestOf: async ({ reference, tag }) => {
        const args = ['trust', 'inspect', '--pretty', reference]
        const { stdout, text } = await new DockerClient(scope, { notary: server }).run(args)
        const row = stdout.split('\n').find((line) => line.startsWith(`${tag} `))
        return {
          command: `docker ${args.join(' ')}`,
          // The signers and administrative keys are the same each time.
          output: text.replace(/^List of signers[\s\S]*/m, '').trim(),
          digest: /[0-9a-f]{64}/.exec(row ?? '')?.[0],
        }
      },
    }
  }
  if (programsOnPath('notary').length === 0) return undefined
  return {
    name: 'notary',
    digestOf: async ({ gun, tag }) => {
      const args = ['lookup', gun, tag]
      const { status, stdout, text } = await new NotaryClient(scope, { notary: server }).run(args)
      const digest = status === 0 ? /sha256:([0-9a-f]{64})/.exec(stdout)?.[1] : undefined
      return { command: `notary ${args.join(' ')}`, output: text, digest }
    },
  }
}
