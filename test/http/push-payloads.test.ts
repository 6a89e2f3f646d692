// What registries send is read as each of them documents it, and what is no push of a tag is no claim.
import { expect } from 'chai'
import fc from 'fast-check'
import { PUSH_SOURCE_KINDS } from '../../src/domain/push-event.ts'
import { HttpError } from '../../src/http/errors.ts'
import { MAX_EVENTS, readPushes } from '../../src/http/push-payloads.ts'
import { expectCode } from '../support/expect-code.ts'
import { AZURE, DISTRIBUTION, DOCKER_HUB, HARBOR } from './push-examples.ts'

const hex = (text: string) => text.slice('sha256:'.length)
const claim = (repository: string, tag: string, digest?: string) => ({
  repository,
  tag,
  ...(digest !== undefined && { sha256: hex(digest) }),
})
const nothing = { claims: [], others: 1, malformed: 0 }
const one = (...of: Parameters<typeof claim>) => ({ claims: [claim(...of)], others: 0, malformed: 0 })

describe('the events of registries', () => {
  it('of distribution', () => {
    const [event] = DISTRIBUTION.push.events
    expect(readPushes('distribution', DISTRIBUTION.push)).to.deep.equal(one('team/app', '1.0', event?.target.digest))
    for (const other of [DISTRIBUTION.blob, DISTRIBUTION.pull, DISTRIBUTION.mount]) {
      expect(readPushes('distribution', other)).to.deep.equal(nothing)
    }
    expect(readPushes('distribution', DISTRIBUTION.deletion)).to.deep.equal({ ...nothing, others: 2 })
  })

  it('of distribution, several in one envelope: one that cannot be read takes none of the others with it', () => {
    const events = [
      ...DISTRIBUTION.push.events,
      { action: 'push' },
      'no event',
      { action: 'push', target: { repository: 'team/app', tag: '1.1', digest: 'md5:1' } },
      { action: 'push', target: { repository: 'team/app', tag: ['1.1'] } },
      ...DISTRIBUTION.blob.events,
    ]
    const read = readPushes('distribution', { events })
    expect([read.claims.length, read.others, read.malformed]).to.deep.equal([1, 1, 4])
  })

  it('of Harbor, in both of its forms', () => {
    const [resource] = HARBOR.tagged.event_data.resources
    for (const body of [HARBOR.tagged, HARBOR.cloudEvent]) {
      expect(readPushes('harbor', body)).to.deep.equal(one('harbor/alpine', 'v1.0', resource?.digest))
    }
    for (const body of [HARBOR.untagged, HARBOR.deletion, { type: 'SCANNING_COMPLETED' }]) {
      expect(readPushes('harbor', body)).to.deep.equal(nothing)
    }
  })

  it('of Azure, from the registry itself and by way of Event Grid', () => {
    const pushed = claim('aci-helloworld', 'v1', AZURE.push.target.digest)
    expect(readPushes('azure', AZURE.push)).to.deep.equal({ claims: [pushed], others: 0, malformed: 0 })
    expect(readPushes('azure', AZURE.deletion)).to.deep.equal(nothing)
    expect(readPushes('azure', AZURE.eventGrid)).to.deep.equal({ claims: [pushed, pushed], others: 1, malformed: 0 })
  })

  it('of Docker Hub, which names no digest', () => {
    expect(readPushes('docker-hub', DOCKER_HUB)).to.deep.equal(one('svendowideit/testhook', 'latest'))
  })

  it('refuse what is no delivery of this kind', () => {
    const others = {
      distribution: [HARBOR.tagged, DOCKER_HUB, [], { events: {} }, { events: Array.from({ length: MAX_EVENTS + 1 }) }],
      harbor: [
        DISTRIBUTION.push,
        DOCKER_HUB,
        [],
        { type: 'PUSH_ARTIFACT' },
        { type: 'harbor.artifact.pushed', data: 1 },
      ],
      azure: [DISTRIBUTION.push, DOCKER_HUB, {}, Array.from({ length: MAX_EVENTS + 1 })],
      'docker-hub': [DISTRIBUTION.push, HARBOR.tagged, [], { push_data: {}, repository: {} }],
    }
    for (const kind of PUSH_SOURCE_KINDS) {
      for (const body of others[kind]) expectCode('BODY_INVALID', () => readPushes(kind, body))
    }
  })

  it('end in claims or a refusal, whatever is sent', () => {
    const names = [
      'events',
      'action',
      'push',
      'target',
      'repository',
      'tag',
      'type',
      'data',
      'resources',
      'push_data',
      '__proto__',
    ]
    const word = fc.oneof(fc.constantFrom(...names, 'PUSH_ARTIFACT', 'repo_full_name'), fc.string({ maxLength: 8 }))
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 4 }, word, fc.integer(), fc.constant(null), tie('list'), tie('object')),
      list: fc.array(tie('value'), { maxLength: 4 }),
      object: fc.dictionary(word, tie('value'), { maxKeys: 5 }),
    }))
    fc.assert(
      fc.property(fc.constantFrom(...PUSH_SOURCE_KINDS), value, (kind, body) => {
        try {
          for (const { repository, tag, sha256 } of readPushes(kind, body).claims) {
            expect([typeof repository, typeof tag]).to.deep.equal(['string', 'string'])
            if (sha256 !== undefined) expect(sha256).to.match(/^[0-9a-f]{64}$/)
          }
        } catch (error) {
          if (!(error instanceof HttpError)) throw error
        }
      }),
      { numRuns: 300 },
    )
  })
})
