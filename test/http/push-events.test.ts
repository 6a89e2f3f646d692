// The door for events of registries: who may come in, in which form, and what is answered. What becomes of an event is the services' matter.
import { expect } from 'chai'
import { DomainError } from '../../src/domain/errors.ts'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { PushClaim, PushSource } from '../../src/domain/push-event.ts'
import { type Ask, expectProblem, type Fixture, PUSH_SECRET, startFixture } from './fixture.ts'
import { DISTRIBUTION, DOCKER_HUB } from './push-examples.ts'

const EVENTS = 'application/vnd.docker.distribution.events.v1+json'

function sourceOf(name: string, kind: PushSource['kind']): PushSource {
  const repositories = [{ gun: parsePattern('registry.example.com/*'), tags: ['*'] }]
  return { name, kind, registry: 'registry.example.com', repositories, eventsPerMinute: 60 }
}

describe('POST /v1/events/SOURCE', () => {
  const sources = [sourceOf('main', 'distribution'), sourceOf('hub', 'docker-hub')]
  let fixture: Fixture
  let heard: { readonly claims: readonly PushClaim[]; readonly others: number; readonly malformed: number }[]
  let refusal: DomainError | undefined

  before(async () => {
    fixture = await startFixture({
      config: 'http: { listen: "127.0.0.1:0" }\nlimits: { bodyBytes: 4KiB }',
      services: {
        pushes: {
          identify: (name, secret) => sources.find((one) => one.name === name && secret === PUSH_SECRET),
          accept: (_source, claims, { others, malformed } = { others: 0, malformed: 0 }) => {
            if (refusal !== undefined) throw refusal
            heard.push({ claims, others, malformed })
            return { accepted: claims.length, ignored: others + malformed }
          },
        },
      },
    })
  })
  after(() => fixture.stop())
  beforeEach(() => {
    heard = []
    refusal = undefined
  })

  const post = (o: Partial<Ask> = {}) =>
    fixture.ask({
      method: 'POST',
      path: '/v1/events/main',
      token: PUSH_SECRET,
      headers: { 'content-type': EVENTS },
      body: DISTRIBUTION.push,
      ...o,
    })

  it('takes what a registry sends, as it sends it', async () => {
    for (const type of [
      EVENTS,
      EVENTS.replace('v1', 'v2'),
      'application/json; charset=utf-8',
      'application/cloudevents+json',
    ]) {
      const answer = await post({ headers: { 'content-type': type } })
      expect([answer.status, answer.json], type).to.deep.equal([202, { accepted: 1, ignored: 0 }])
    }
    expect(heard.map(({ claims }) => claims.map(({ tag }) => tag))).to.deep.equal([['1.0'], ['1.0'], ['1.0'], ['1.0']])
    const mixed = { events: [...DISTRIBUTION.deletion.events, 'no event', ...DISTRIBUTION.push.events] }
    expect((await post({ body: mixed })).json).to.deep.equal({ accepted: 1, ignored: 3 })
    expect(heard.at(-1)?.malformed).to.equal(1)
  })

  it('looks at no body before it knows who sends', async () => {
    const body = 'x'.repeat(100_000)
    expectProblem(await post({ token: null, body }), 401, 'TOKEN_MISSING')
    for (const [path, token] of [
      ['/v1/events/main', 'q'.repeat(43)],
      ['/v1/events/nobody', PUSH_SECRET],
    ] as const) {
      expectProblem(await post({ path, token, body }), 401, 'TOKEN_INVALID')
    }
    expectProblem(await post({ path: '/v1/events/M%20', body }), 401, 'TOKEN_INVALID')
    expect(heard).to.deep.equal([])
  })

  it('takes a secret in the address from Docker Hub alone, and shows it to nobody', async () => {
    const path = `/v1/events/hub/${PUSH_SECRET}`
    expect((await post({ path, token: null, body: DOCKER_HUB })).status).to.equal(202)
    expectProblem(await post({ path: `/v1/events/main/${PUSH_SECRET}`, token: null }), 401, 'TOKEN_INVALID')
    expectProblem(await post({ path: `/v1/events/hub/${'q'.repeat(43)}`, token: null }), 401, 'TOKEN_INVALID')
    expect((await fixture.metrics.print()).includes(PUSH_SECRET)).to.equal(false)
  })

  it('refuses what is no delivery, too large, too deep, or of another type', async () => {
    const refusals: readonly (readonly [Partial<Ask>, number, string])[] = [
      [{ body: DOCKER_HUB }, 422, 'BODY_INVALID'],
      [{ body: '"events"' }, 422, 'BODY_INVALID'],
      [{ body: `{"events":[{"action":"push","action":"pull"}]}` }, 400, 'BODY_MALFORMED'],
      [{ body: '['.repeat(40) + ']'.repeat(40) }, 400, 'BODY_MALFORMED'],
      [{ body: { events: ['x'.repeat(5_000)] } }, 413, 'BODY_TOO_LARGE'],
      [{ headers: { 'content-type': 'text/plain' } }, 415, 'CONTENT_TYPE_UNSUPPORTED'],
    ]
    for (const [o, status, code] of refusals) expectProblem(await post(o), status, code)
    expect(heard).to.deep.equal([])
  })

  it('says when it is too much, and when to come again', async () => {
    for (const [code, status] of [
      ['PUSH_RATE_EXCEEDED', 429],
      ['PUSH_QUEUE_FULL', 503],
    ] as const) {
      refusal = new DomainError(code, 'too much')
      const answer = await post()
      expectProblem(answer, status, code)
      expect(answer.headers['retry-after']).to.equal('5')
    }
  })
})
