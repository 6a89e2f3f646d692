import { expect } from 'chai'
import { silentLog, type Log } from '../../src/log.ts'
import { StoreError } from '../../src/store/errors.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { createLog } from '../../src/log.ts'
import { expectProblem, type Fixture, type FixtureOptions, signingRequest, startFixture, TOKEN } from './fixture.ts'

const fixtures: Fixture[] = []
async function start(o?: FixtureOptions): Promise<Fixture> {
  const fixture = await startFixture(o)
  fixtures.push(fixture)
  return fixture
}
const submit = { method: 'POST', path: '/v1/signing-requests', body: { images: ['a.example/b:1'] } }

describe('the HTTP server', () => {
  afterEach(async () => {
    await Promise.all(fixtures.splice(0).map((fixture) => fixture.stop()))
  })

  describe('waiting for the end of a request', () => {
    for (const [query, maxWait, expected] of [
      ['', '60s', undefined],
      ['?wait=0s', '60s', undefined],
      ['?wait=1500ms', '60s', 1500],
      ['?wait=30s', '60s', 30_000],
      ['?wait=30s', '10s', 10_000],
      ['?wait=999999m', '60s', 60_000],
    ] as const) {
      it(`${query === '' ? 'no wait' : query} with at most ${maxWait}: ${expected ?? 'at once'}`, async () => {
        const waits: (number | undefined)[] = []
        const { ask } = await start({
          config: `{ http: { listen: "127.0.0.1:0" }, requests: { wait: ${maxWait} } }`,
          services: {
            requests: {
              waitFor: (_principal, _id, waitMs) => {
                waits.push(waitMs)
                return Promise.resolve(signingRequest)
              },
            },
          },
        })
        expect((await ask({ path: `/v1/signing-requests/req-1${query}` })).status).to.equal(200)
        expect((await ask({ ...submit, path: submit.path + query })).status).to.equal(201)
        expect(waits).to.deep.equal(expected === undefined ? [] : [expected, expected])
      })
    }

    it('ends when the server stops, with the request as it is', async () => {
      let began = (): void => undefined
      const waiting = new Promise<void>((resolve) => {
        began = resolve
      })
      const { ask, server } = await start({
        services: {
          requests: {
            waitFor: (_principal, _id, _waitMs, signal) =>
              new Promise((resolve) => {
                signal?.addEventListener('abort', () => {
                  resolve(signingRequest)
                })
                began()
              }),
          },
        },
      })
      const held = ask({ path: '/v1/signing-requests/req-1?wait=60s' })
      await waiting
      await server.stop()
      const answer = await held
      expect(answer.status).to.equal(200)
      expect(answer.headers['connection']).to.equal('close')
    })

    it('ends when the client goes', async () => {
      let began = (): void => undefined
      let ended = (): void => undefined
      const waiting = new Promise<void>((resolve) => {
        began = resolve
      })
      const aborted = new Promise<void>((resolve) => {
        ended = resolve
      })
      const { url } = await start({
        services: {
          requests: {
            waitFor: (_principal, _id, _waitMs, signal) =>
              new Promise((resolve) => {
                signal?.addEventListener('abort', () => {
                  ended()
                  resolve(signingRequest)
                })
                began()
              }),
          },
        },
      })
      const client = new AbortController()
      const held = fetch(`${url}/v1/signing-requests/req-1?wait=60s`, {
        headers: { authorization: `Bearer ${TOKEN}` },
        signal: client.signal,
      }).catch(() => 'gone')
      await waiting
      client.abort()
      await aborted
      expect(await held).to.equal('gone')
    })
  })

  describe('idempotency keys', () => {
    for (const [header, expected] of [
      ['abc-1', 'abc-1'],
      ['"abc-1"', 'abc-1'],
      [undefined, undefined],
    ] as const) {
      it(`passes ${header ?? 'no key'} on as ${expected ?? 'none'}`, async () => {
        const keys: (string | undefined)[] = []
        const { ask } = await start({
          services: {
            requests: {
              submit: (_principal, { idempotencyKey }) => {
                keys.push(idempotencyKey)
                return Promise.resolve({ request: signingRequest, isRepeated: keys.length > 1 })
              },
            },
          },
        })
        const headers = header === undefined ? {} : { 'idempotency-key': header }
        expect((await ask({ ...submit, headers })).status).to.equal(201)
        expect((await ask({ ...submit, headers })).status).to.equal(200)
        expect(keys).to.deep.equal([expected, expected])
      })
    }
  })

  describe('errors from inside', () => {
    it('shows nothing of an unknown error, and logs it', async () => {
      const lines: string[] = []
      const log = createLog('info', { write: (line) => lines.push(line) })
      const { ask } = await start({
        log,
        services: {
          requests: {
            find: () => {
              throw new Error('the password is hunter2', { cause: new Error('deep') })
            },
          },
        },
      })
      const answer = await ask({ path: '/v1/signing-requests/req-1' })
      const problem = expectProblem(answer, 500, 'INTERNAL')
      expect(answer.text).not.to.match(/hunter2|deep|stack|\.ts/)
      const logged = lines.find((line) => line.includes(problem.requestId) && line.includes('hunter2'))
      expect(logged).to.include('"message":"deep"')
    })

    it('notes the trace of a caller in the line of the request, where it is one', async () => {
      const lines: string[] = []
      const log = createLog('info', { write: (line) => lines.push(line) })
      const { ask } = await start({ log })
      const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
      await ask({ path: '/v1/tokens', headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` } })
      for (const bad of ['x', `01-${trace}-00f067aa0ba902b7-01`, `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`]) {
        await ask({ path: '/v1/tokens', headers: { traceparent: bad } })
      }
      const traces = lines.map((line) => (JSON.parse(line) as { traceId?: string }).traceId)
      expect(traces.filter((each) => each !== undefined)).to.deep.equal([trace])
    })

    it('shows neither message nor facts of a code with status 500', async () => {
      const { ask } = await start({
        services: {
          requests: {
            list: () => {
              throw new StoreError('STORE_DAMAGED', 'In /var/lib.', { path: '/var/lib/x' })
            },
          },
        },
      })
      const answer = await ask({ path: '/v1/signing-requests' })
      const problem = expectProblem(answer, 500, 'STORE_DAMAGED')
      expect(problem).not.to.have.property('facts')
      expect(answer.text).not.to.include('/var/lib')
    })

    it('says when a retry helps', async () => {
      const { ask } = await start({
        services: { requests: { submit: () => Promise.reject(new KeyHolderError('KEY_HOLDER_SEALED', 'Sealed.')) } },
      })
      const answer = await ask(submit)
      expect(expectProblem(answer, 503, 'KEY_HOLDER_SEALED').retry).to.equal(true)
      expect(answer.headers['retry-after']).to.match(/^[0-9]+$/)
    })
  })

  describe('health', () => {
    it('is alive even where it is not ready', async () => {
      const { ask } = await start({ probes: { keyHolder: () => Promise.resolve('sealed') } })
      expect((await ask({ path: '/livez', token: null })).status).to.equal(200)
      const problem = expectProblem(await ask({ path: '/readyz', token: null }), 503, 'NOT_READY')
      expect(problem.facts).to.deep.equal({ keyHolder: 'sealed', database: 'ok', start: 'ok' })
    })

    it('does not fill the log with failures while it is not ready', async () => {
      const failures: unknown[] = []
      const log: Log = { ...silentLog, error: (facts: unknown) => failures.push(facts) }
      const { ask } = await start({ probes: { keyHolder: () => Promise.resolve('sealed') }, log })
      expectProblem(await ask({ path: '/readyz', token: null }), 503, 'NOT_READY')
      expect(failures).to.deep.equal([])
    })

    it('is not ready without a writable database', async () => {
      const { ask } = await start({ probes: { database: () => 'unwritable' } })
      expectProblem(await ask({ path: '/readyz', token: null }), 503, 'NOT_READY')
    })
  })

  describe('metrics', () => {
    it('are for this machine', async () => {
      const { ask, metrics } = await start()
      metrics.imageEnded('sign', 'published')
      metrics.publicationEnded('published', 1.5)
      metrics.publicationConflicted()
      const { text } = await ask({ path: '/metrics', token: null })
      expect(text).to.include('countersign_signing_request_images_total{kind="sign",result="published"} 1')
      expect(text).to.include('countersign_publication_duration_seconds_sum{result="published"} 1.5')
      expect(text).to.include('countersign_publication_conflicts_total 1')
      expect(text).to.include('countersign_unfinished_images{status="approved"} 2')
      expect(text).to.include('countersign_key_holder_up 1')
      expect(text).to.include('countersign_next_expiry_days 30')
      expect(text).to.include('countersign_role_next_expiry_days{role="root"} 3000')
    })

    it('are not for those behind a proxy without a token', async () => {
      const { ask } = await start()
      const headers = { 'x-forwarded-for': '198.51.100.7' }
      expectProblem(await ask({ path: '/metrics', token: null, headers }), 401, 'TOKEN_MISSING')
      expect((await ask({ path: '/metrics', headers })).status).to.equal(200)
    })

    it('are for everybody where the configuration says so', async () => {
      const { ask } = await start({ config: '{ http: { listen: "127.0.0.1:0" }, metrics: { open: true } }' })
      expect(
        (await ask({ path: '/metrics', token: null, headers: { forwarded: 'for=198.51.100.7' } })).status,
      ).to.equal(200)
    })

    it('count requests by route, never by path', async () => {
      const { ask } = await start()
      await ask({ path: '/v1/signing-requests/req-1' })
      await ask({ path: '/v1/secret-name', method: 'BREW' }).catch(() => undefined)
      await ask({ path: '/v1/secret-name' })
      const { text } = await ask({ path: '/metrics' })
      expect(text).to.include('{method="GET",route="/v1/signing-requests/:id",status="200"}')
      expect(text).to.include('route="unknown"')
      expect(text).not.to.match(/secret-name|req-1/)
    })
  })

  describe('the log', () => {
    it('has one line per request, without token, query and body', async () => {
      const lines: string[] = []
      const { ask } = await start({ log: createLog('info', { write: (line) => lines.push(line) }) })
      await ask({ ...submit, path: '/v1/signing-requests?wait=1ms' })
      expect(lines).to.have.length(1)
      expect(JSON.parse(lines[0]!)).to.include({
        level: 'info',
        method: 'POST',
        route: '/v1/signing-requests',
        status: 201,
        principal: 'tok_1',
      })
      expect(lines[0]).not.to.match(/cs_a|wait=|a\.example/)
    })
  })

  it('refuses new requests while it stops', async () => {
    let release = (): void => undefined
    let began = (): void => undefined
    const waiting = new Promise<void>((resolve) => {
      began = resolve
    })
    const { ask, server } = await start({
      services: {
        requests: {
          submit: () =>
            new Promise((resolve) => {
              release = () => {
                resolve({ request: signingRequest, isRepeated: false })
              }
              began()
            }),
        },
      },
    })
    const held = ask(submit)
    await waiting
    const stopped = server.stop()
    const late = await ask({ path: '/livez' }).then(
      () => 'answered',
      () => 'refused',
    )
    release()
    expect(late).to.equal('refused')
    expect((await held).status).to.equal(201)
    await stopped
  })

  it('closes what is left when the time for stopping is over', async () => {
    let began = (): void => undefined
    const waiting = new Promise<void>((resolve) => {
      began = resolve
    })
    const { ask, server } = await start({
      config: 'http: { listen: "127.0.0.1:0", shutdownTimeout: 1s }',
      services: {
        requests: {
          submit: () =>
            new Promise(() => {
              began()
            }),
        },
      },
    })
    const held = ask(submit).then(
      () => 'answered',
      () => 'cut',
    )
    await waiting
    await server.stop()
    expect(await held).to.equal('cut')
  })
})
