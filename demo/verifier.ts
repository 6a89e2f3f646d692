// The stock client that judges the demo: docker where there is one with content trust, else notary.
import { DockerClient } from '../test/support/peers/docker-client.ts'
import type { PushedImage } from '../test/support/peers/images.ts'
import { NotaryClient } from '../test/support/peers/notary-client.ts'
import type { NotaryServer } from '../test/support/peers/notary-server.ts'
import { trustingDockerClients } from '../test/support/peers/require-peers.ts'
import type { Scope } from '../test/support/scope.ts'

export interface Verdict {
  readonly command: string
  readonly output: string
  /** 64 hex digits; undefined where the client finds no valid signature. */
  readonly digest: string | undefined
}

export interface Verifier {
  readonly name: string
  digestOf(image: PushedImage): Promise<Verdict>
}

/** Each question is asked by a client without a cache, as a newcomer would. */
export function chooseVerifier(scope: Scope, notary: NotaryServer): Verifier {
  const [docker] = trustingDockerClients()
  return docker === undefined ? byNotary(scope, notary) : byDocker(scope, notary, docker.version)
}

function byDocker(scope: Scope, notary: NotaryServer, version: string): Verifier {
  return {
    name: `docker ${version}`,
    digestOf: async ({ reference, tag }) => {
      const args = ['trust', 'inspect', '--pretty', reference]
      const { stdout, text } = await new DockerClient(scope, { notary }).run(args)
      const row = stdout.split('\n').find((line) => line.startsWith(`${tag} `))
      return { command: `docker ${args.join(' ')}`, output: text, digest: /[0-9a-f]{64}/.exec(row ?? '')?.[0] }
    },
  }
}

function byNotary(scope: Scope, notary: NotaryServer): Verifier {
  return {
    name: 'notary',
    digestOf: async ({ gun, tag }) => {
      const args = ['lookup', gun, tag]
      const { status, stdout, text } = await new NotaryClient(scope, { notary }).run(args)
      const digest = status === 0 ? /sha256:([0-9a-f]{64})/.exec(stdout)?.[1] : undefined
      return { command: `notary ${args.join(' ')}`, output: text, digest }
    },
  }
}
