// The way to trust server, registry and token realm, and the far ends of it: bodies without end, lost answers, redirects, lies about
// what was stored. Real clients over sockets; the services and the key holder behind them.
import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import { imageOf, requestStatus } from '../../src/domain/signing-request.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { NETWORK_FAULTS, startFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import { app, everybody } from '../support/fakes/world.ts'
import { HostileWorld, MAX_MANIFEST_BYTES, outcomeOf } from '../support/hostile-world.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Heard } from '../support/scripted-server.ts'

const CHUNK = Buffer.alloc(64 * 1024, 0x20)
/** What may lie in sockets and buffers beyond the limit. */
const SLACK_BYTES = 16 * 1024 * 1024

/** Sends until the other side has had enough; counts what it took. */
function sendForEver(response: ServerResponse, counter: { bytes: number }): void {
  const more = (): void => {
    while (!response.destroyed) {
      counter.bytes += CHUNK.byteLength
      if (!response.write(CHUNK)) break
    }
  }
  response.on('drain', more)
  more()
}

const isTimestamp = ({ url }: Heard): boolean => url.endsWith('/timestamp.json')
const isUpload = (method: string): boolean => method === 'POST'

describe('servers that do not keep to the protocol', () => {
  let hostile: HostileWorld
  let count = 0
  before(async () => {
    hostile = await HostileWorld.start({ timeouts: { headersMs: 300, totalMs: 600 } })
  })
  after(() => hostile.close())
  afterEach(async () => {
    hostile.notary.interfere = undefined
    hostile.registry.interfere = undefined
    await hostile.world.settled()
    expect(await hostile.sign(`after-${++count}`), 'afterwards').to.equal('published')
  })

  async function refused(code: string): Promise<void> {
    const seen = [hostile.uploads(), hostile.signatures()]
    expect(await hostile.sign(`tag-${++count}`)).to.equal(`failed ${code}`)
    expect([hostile.uploads(), hostile.signatures()]).to.deep.equal(seen)
  }

  /** The request itself is refused: nothing is stored. */
  async function notTaken(code: string): Promise<void> {
    hostile.world.registry.pushManifest(app, 'refused', `content ${++count}`)
    const images = [`${app}:refused`]
    await expectCodeAsync(code, () => hostile.world.services.requests.submit(everybody, { kind: 'sign', images }))
  }

  describe('attack: Endless data', () => {
    it('a timestamp that never ends', async () => {
      const counter = { bytes: 0 }
      hostile.notary.interfere = (heard, response) => {
        if (isTimestamp(heard)) sendForEver(response, counter)
        return isTimestamp(heard)
      }
      await refused('NOTARY_RESPONSE_TOO_LARGE')
      expect(counter.bytes).to.be.lessThan(1024 * 1024 + SLACK_BYTES)
    })

    it('a delegation that never ends', async () => {
      await hostile.forgetFiles()
      const counter = { bytes: 0 }
      hostile.notary.interfere = ({ url }, response) => {
        const isDelegation = /targets\/releases\.[0-9a-f]{64}\.json$/.test(url)
        if (isDelegation) sendForEver(response, counter)
        return isDelegation
      }
      await refused('NOTARY_RESPONSE_TOO_LARGE')
      expect(counter.bytes).to.be.lessThan(SLACK_BYTES)
    })

    it('an error that never ends is an outage, and the request waits', async () => {
      const counter = { bytes: 0 }
      hostile.notary.interfere = (heard, response) => {
        if (isTimestamp(heard)) sendForEver(response.writeHead(503), counter)
        return isTimestamp(heard)
      }
      expect(await hostile.sign('waits')).to.equal('approved')
      expect(counter.bytes).to.be.lessThan(4 * SLACK_BYTES)
    })

    it('an answer that trickles is an outage, and the request waits', async () => {
      const timers: NodeJS.Timeout[] = []
      hostile.notary.interfere = (heard, response) => {
        if (!isTimestamp(heard)) return false
        timers.push(setInterval(() => response.write(' '), 20))
        return true
      }
      expect(await hostile.sign('trickles')).to.equal('approved')
      for (const timer of timers) clearInterval(timer)
    })

    it('a manifest that never ends', async () => {
      const counter = { bytes: 0 }
      hostile.registry.interfere = (_, response) => {
        sendForEver(response, counter)
        return true
      }
      await notTaken('MANIFEST_TOO_LARGE')
      expect(counter.bytes).to.be.lessThan(MAX_MANIFEST_BYTES + SLACK_BYTES)
    })

    it('a manifest announced with 10 GB', async () => {
      hostile.registry.interfere = (_, response) => {
        response.writeHead(200, { 'content-length': String(10 * 1024 ** 3) }).write(CHUNK)
        return true
      }
      await notTaken('MANIFEST_TOO_LARGE')
    })

    it('a token that never ends', async () => {
      const counter = { bytes: 0 }
      hostile.registry.interfere = ({ url }, response) => {
        if (url.startsWith('/token')) sendForEver(response, counter)
        else {
          const realm = `${hostile.registry.url}/token`
          response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end()
        }
        return true
      }
      await notTaken('TOKEN_MALFORMED')
      expect(counter.bytes).to.be.lessThan(SLACK_BYTES)
    })

    it('a manifest that nests without end', async () => {
      hostile.registry.interfere = (_, response) => {
        const type = 'application/vnd.oci.image.manifest.v1+json'
        response.writeHead(200, { 'content-type': type }).end('['.repeat(1024 * 1024))
        return true
      }
      await notTaken('MANIFEST_MALFORMED')
    })
  })

  describe('attack: Arbitrary installation', () => {
    it('a digest that the registry does not serve under the tag', async () => {
      hostile.world.registry.pushManifest(app, 'mine', 'content')
      const images = [`${app}:mine@sha256:${'a'.repeat(64)}`]
      await expectCodeAsync('DIGEST_MISMATCH', () =>
        hostile.world.services.requests.submit(everybody, { kind: 'sign', images }),
      )
    })

    it('a digest that the bytes do not have', async () => {
      hostile.registry.interfere = (_, response) => {
        const headers = {
          'content-type': 'application/vnd.oci.image.manifest.v1+json',
          'docker-content-digest': `sha256:${'a'.repeat(64)}`,
        }
        response.writeHead(200, headers).end('{"schemaVersion":2}')
        return true
      }
      await notTaken('REGISTRY_DIGEST_MISMATCH')
    })
  })

  describe('attack: Wrong software (tag hijack, TOCTOU)', () => {
    it('a tag that is pushed again after the request was taken', async () => {
      const { world } = hostile
      world.registry.pushManifest(app, 'moving', 'before')
      const { request } = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:moving`] })
      world.registry.pushManifest(app, 'moving', 'after')
      const signatures = hostile.signatures()
      await world.settled()
      expect(outcomeOf(world.services.requests.find(everybody, request.id))).to.match(
        /^(failed DIGEST_MISMATCH|published)$/,
      )
      const found = await world.found('moving')
      const [image] = request.images
      const subject = image && imageOf(image.record)
      // Taken up before the push: the digest of the request. After it: nothing.
      expect([undefined, subject?.sha256]).to.include(found?.sha256)
      expect(hostile.signatures() - signatures).to.equal(found === undefined ? 0 : 1)
    })

    it('a tag that is pushed again before each answer', async () => {
      let pushes = 0
      hostile.registry.interfere = () => {
        hostile.world.registry.pushManifest(app, 'spinning', `content ${++pushes}`)
        return false
      }
      expect(await hostile.sign('spinning')).to.equal('failed DIGEST_MISMATCH')
      expect(await hostile.world.found('spinning')).to.equal(undefined)
    })
  })

  describe('attack: Confused deputy through webhook', () => {
    for (const realm of [
      'http://169.254.169.254/latest/meta-data',
      'http://[::1]:1/token',
      'http://127.0.0.1:9/token',
    ]) {
      it(`a token realm at ${realm} is not asked`, async () => {
        hostile.notary.interfere = (_, response) => {
          response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end()
          return true
        }
        await refused('TOKEN_REALM_NOT_ALLOWED')
      })
    }

    it('a redirect is not followed, by neither client', async () => {
      const elsewhere = await startScriptedServer(hostile.scope, (_, response) => response.end('{}'))
      const redirect = (_: Heard, response: ServerResponse): boolean => {
        response.writeHead(302, { location: `${elsewhere.url}/latest/meta-data` }).end()
        return true
      }
      hostile.notary.interfere = redirect
      await refused('NOTARY_REDIRECTED')
      hostile.registry.interfere = redirect
      await notTaken('REGISTRY_REDIRECTED')
      expect(elsewhere.heard).to.deep.equal([])
    })
  })

  describe('a trust server that lies about an update', () => {
    for (const status of [200, 201, 202, 204]) {
      it(`says ${status} and stores nothing: never told as published`, async () => {
        hostile.notary.interfere = ({ method }, response) => {
          if (method === 'POST') response.writeHead(status).end()
          return method === 'POST'
        }
        const tag = `nothing-${status}`
        expect(await hostile.sign(tag)).to.not.equal('published')
        expect(await hostile.world.found(tag)).to.equal(undefined)
      })
    }

    it('stores, and says VERSION: its own echo is recognised', async () => {
      let isStored = false
      hostile.notary.interfere = ({ method }, response) => {
        if (method !== 'POST' || isStored) return false
        isStored = true
        const url = hostile.notary.heard.at(-1)!
        const headers = { 'content-type': url.headers['content-type'] ?? '' }
        hostile.notary.interfere = undefined
        void fetch(hostile.notary.url + url.url, { method: 'POST', headers, body: new Uint8Array(url.body) }).then(
          () => {
            response.writeHead(400, { 'content-type': 'application/json' }).end('{"errors":[{"code":"VERSION"}]}')
          },
        )
        return true
      }
      const signatures = hostile.signatures()
      expect(await hostile.sign('echo')).to.equal('published')
      expect(hostile.signatures() - signatures, 'signed once').to.equal(1)
    })
  })
})

describe('a network that loses, cuts and repeats', () => {
  let hostile: HostileWorld
  let scope: Scope
  let notary: FaultProxy
  let registry: FaultProxy
  beforeEach(async () => {
    scope = new Scope()
    hostile = await HostileWorld.start({
      notaryUrl: async (target) => (notary = await startFaultProxy(scope, { target, rate: 0, delayMs: 5 })).url,
      registryUrl: async (target) => (registry = await startFaultProxy(scope, { target, rate: 0, delayMs: 5 })).url,
    })
  })
  afterEach(async () => {
    await hostile.close()
    await scope.close()
  })

  for (const fault of NETWORK_FAULTS) {
    it(`attack: Lost reply (published, answer lost): ${fault} on the upload: published once`, async () => {
      notary.plan(fault, isUpload)
      const signatures = hostile.signatures()
      expect(await hostile.sign('once')).to.equal('published')
      expect(notary.struck).to.have.length(1)
      expect(hostile.signatures() - signatures, 'signed once').to.equal(1)
    })
  }

  it('attack: Lost reply (published, answer lost): 20 % of the answers to uploads', async () => {
    for (let index = 0; index < 20; index++) {
      if (index % 5 === 0) notary.plan('lose', isUpload)
      expect(await hostile.sign(`lossy-${index}`)).to.equal('published')
    }
    expect(notary.struck.map(({ fault }) => fault)).to.deep.equal(['lose', 'lose', 'lose', 'lose'])
  })

  it('any fault on any request, at random: every request ends published once, or failed and not published', async () => {
    const { world } = hostile
    notary.setRate(0.08)
    registry.setRate(0.08)
    const ids: string[] = []
    for (let index = 0; index < 25; index++) {
      world.registry.pushManifest(app, `storm-${index}`, `content ${index}`)
      const images = [`${app}:storm-${index}`]
      const submitted = await world.services.requests.submit(everybody, { kind: 'sign', images }).catch(() => undefined)
      if (submitted !== undefined) ids.push(submitted.request.id)
      if (index % 3 === 0) await world.settled()
    }
    notary.setRate(0)
    registry.setRate(0)
    for (let round = 0; round < 4; round++) await world.settled()
    expect(notary.struck.length + registry.struck.length).to.be.greaterThan(5)
    expect(ids.length).to.be.greaterThan(10)
    for (const id of ids) {
      const { images } = world.services.requests.find(everybody, id)
      const [record] = images.map((image) => image.record)
      const found = await world.found(imageOf(record!)!.tag)
      expect(['published', 'failed']).to.include(requestStatus(images))
      expect(found?.sha256).to.equal(record?.status === 'published' ? imageOf(record)?.sha256 : undefined)
    }
    expect(world.observer.troubles).to.deep.equal([])
  })
})
