// `inspect` prints what `docker trust inspect` prints, byte for byte, over states that Countersign would not make itself: several signers,
// delegations below delegations, paths, tags that differ by case. Where docker's own order is that of a Go map, the rows are compared as a set.
import { verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import { prettyInspection } from '../../src/cli/pretty-inspection.ts'
import { inspection } from '../../src/service/inspect.ts'
import { DockerClient, type TrustInspection } from '../support/peers/docker-client.ts'
import { startMetadataServer, type MetadataServer } from '../support/peers/metadata-server.ts'
import { requirePeers, trustingDockerClients } from '../support/peers/require-peers.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'

const DAY_MS = 86_400_000
const TAGS = ['1.10', '1.9', '1.09', 'a', 'B', 'b', '_', 'v1', 'v-1', '01', '1', 'a-name-that-is-longer-than-others']

interface State {
  readonly make: (gun: string) => RepositoryBuilder
  readonly tag?: string
  /** Whether docker takes the rows from a Go map with nothing to order them by. */
  readonly isUnordered?: boolean
}

const severalSigners = (gun: string): RepositoryBuilder => {
  const builder = new RepositoryBuilder(gun).delegate('targets/releases')
  for (const name of ['zoe', 'alice', 'bob10', 'bob9']) builder.delegate(`targets/${name}`)
  builder.role('targets/zoe').keys.push(testKey('zoe second'))
  builder.delegate('targets/zoe/below')
  for (const tag of TAGS) builder.put('targets/releases', tag, 'image')
  for (const tag of ['1.9', 'a', 'B']) builder.put('targets/zoe', tag, 'image').put('targets/alice', tag, 'image')
  builder.put('targets/bob9', 'a', 'another image').put('targets/bob10', 'a', 'image')
  return builder.put('targets/zoe/below', 'a', 'image').put('targets/bob9', 'unreleased', 'image')
}

const STATES: Readonly<Record<string, State>> = {
  'several signers': { make: severalSigners },
  'several signers, one tag': { make: severalSigners, tag: 'a' },
  'several signers, a tag that is not released': { make: severalSigners, tag: 'unreleased' },
  'no signer': { make: (gun) => new RepositoryBuilder(gun).put('targets', '1.0', 'image') },
  'nothing signed': { make: (gun) => new RepositoryBuilder(gun) },
  'one tag in two roles, with two digests': {
    make: (gun) =>
      RepositoryBuilder.withSigner('countersign', gun)
        .put('targets', '1.0', 'older image')
        .put('targets/releases', '1.0', 'image')
        .put('targets/countersign', '1.0', 'image'),
    isUnordered: true,
  },
}

describe('inspect beside docker trust inspect', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let server: MetadataServer

  before(async function () {
    requirePeers(this, 'docker')
    server = await startMetadataServer(scope, createTestCa())
  })
  after(() => scope.close())

  for (const [index, [name, { make, tag, isUnordered = false }]] of Object.entries(STATES).entries()) {
    it(name, async () => {
      const gun = `registry.example.com/team/inspected-${index}`
      const builder = make(gun)
      for (const [role, source] of builder.roles) {
        source.expiresAt = new Date(Date.now() + (role === 'timestamp' ? 10 : 900) * DAY_MS)
      }
      const files = builder.files()
      server.repositories.set(gun, files)
      const image = tag === undefined ? gun : `${gun}:${tag}`
      const trusted = verifyFiles(files, { gun: builder.gun, pin: { kind: 'tofu' }, now: new Date() })
      const ours = inspection(trusted, image, tag)
      // Clients differ in nothing here: all of them see one state, the newest sees every one.
      for (const { path, version } of trustingDockerClients().slice(0, index === 0 ? undefined : 1)) {
        const docker = new DockerClient(scope, { notary: server, program: path })
        const json = (await docker.must(['trust', 'inspect', image])).stdout
        const words = (await docker.must(['trust', 'inspect', '--pretty', image])).stdout
        if (isUnordered) {
          const [theirs] = JSON.parse(json) as TrustInspection[]
          expect(theirs?.SignedTags, version).to.have.deep.members([...ours.SignedTags])
          expect({ ...theirs, SignedTags: [] }, version).to.deep.equal({ ...ours, SignedTags: [] })
          expect(linesOf(words), version).to.have.members(linesOf(prettyInspection(copyOf(ours))))
        } else {
          expect(json, version).to.equal(`${JSON.stringify([ours], undefined, 4)}\n`)
          expect(words, version).to.equal(prettyInspection(copyOf(ours)))
        }
      }
    })
  }
})

function linesOf(text: string): readonly string[] {
  return text.split('\n')
}

/** As it comes through the API. */
function copyOf(one: ReturnType<typeof inspection>): Parameters<typeof prettyInspection>[0] {
  return structuredClone(one) as Parameters<typeof prettyInspection>[0]
}
