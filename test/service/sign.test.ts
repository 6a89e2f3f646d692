import { RELEASES, parseRoleName, parseTargets, TARGETS, hexOfBase64Digest } from '@countersign/tuf'
import { expect } from 'chai'
import { requestStatus, type SigningRequest } from '../../src/domain/signing-request.ts'
import { app, everybody, World } from '../support/fakes/world.ts'

const SIGNER = parseRoleName('targets/countersign')

export async function ended(world: World, request: SigningRequest): Promise<SigningRequest> {
  return world.services.requests.waitFor(everybody, request.id, 3_600_000)
}

describe('signing', () => {
  let world: World
  afterEach(() => {
    world.close()
  })

  const entries = (role: typeof RELEASES): Record<string, string> => {
    const bytes = world.server.currentFile(app, role)
    if (bytes === undefined) return {}
    const { targets } = parseTargets(bytes, role).metadata
    return Object.fromEntries([...targets].map(([name, meta]) => [name, hexOfBase64Digest(meta.hashes.get('sha256') ?? '')]))
  }

  it('publishes the digest in releases and in the signer role', async () => {
    world = await World.withRepository()
    const sha256 = world.registry.push(app, '1.0', 'a')
    const { request } = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0@sha256:${sha256}`] })
    const done = await ended(world, request)
    expect(world.observer.troubles).to.deep.equal([])
    expect(done.images[0]?.record).to.deep.include({ status: 'published', unchanged: false })
    expect(entries(RELEASES)).to.deep.equal({ '1.0': sha256 })
    expect(entries(SIGNER)).to.deep.equal({ '1.0': sha256 })
    expect(entries(TARGETS)).to.deep.equal({})
    expect(requestStatus(done.images)).to.equal('published')
  })
})
