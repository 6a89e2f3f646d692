import { expect } from 'chai'
import { parseImageReference } from '../../src/domain/image-reference.ts'
import type { ResolvedImage } from '../../src/domain/ports.ts'
import { Registries, wellKnownRegistry } from '../../src/registry/registries.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const RESOLVED: ResolvedImage = { sha256: '0'.repeat(64), length: 1, mediaType: 'x', platforms: [] }

describe('Registries', () => {
  let heard: string[]
  let registries: Registries
  beforeEach(() => {
    heard = []
    registries = new Registries(
      ['docker.io', 'registry.test', 'registry.test:5000'].map((host) => ({
        host,
        client: {
          probe: () => Promise.resolve(undefined),
          resolve: ({ text }) => {
            heard.push(`${host} ${text}`)
            return Promise.resolve(RESOLVED)
          },
          close: () => {
            heard.push(`${host} close`)
            return Promise.resolve()
          },
        },
      })),
    )
  })

  for (const [text, host, normalised] of [
    ['registry.test/app:1', 'registry.test', 'registry.test/app:1'],
    ['registry.test:5000/app:1', 'registry.test:5000', 'registry.test:5000/app:1'],
    ['alpine:3.20', 'docker.io', 'docker.io/library/alpine:3.20'],
    ['index.docker.io/team/app:1', 'docker.io', 'docker.io/team/app:1'],
  ] as const) {
    it(`asks ${host} for ${text}`, async () => {
      expect(await registries.resolve(parseImageReference(text))).to.equal(RESOLVED)
      expect(heard).to.deep.equal([`${host} ${normalised}`])
    })
  }

  for (const text of [
    'other.test/app:1',
    'registry.test:5001/app:1',
    'registry.test.evil.test/app:1',
    'localhost/app:1',
  ]) {
    it(`asks nobody for ${text}`, async () => {
      const { facts } = await expectCodeAsync('REGISTRY_NOT_CONFIGURED', () =>
        registries.resolve(parseImageReference(text)),
      )
      expect(facts).to.deep.equal({ registry: text.split('/')[0] })
      expect(heard).to.deep.equal([])
    })
  }

  it('closes every client', async () => {
    await registries.close()
    expect(heard).to.have.members(['docker.io close', 'registry.test close', 'registry.test:5000 close'])
  })
})

describe('wellKnownRegistry', () => {
  it('knows where Docker Hub is, and takes every other host at its word', () => {
    expect(wellKnownRegistry('docker.io')).to.deep.equal({
      url: 'https://registry-1.docker.io',
      tokenRealms: ['https://auth.docker.io/token'],
    })
    expect(wellKnownRegistry('registry.test:5000')).to.deep.equal({
      url: 'https://registry.test:5000',
      tokenRealms: [],
    })
  })
})
