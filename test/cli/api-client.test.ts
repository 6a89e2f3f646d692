// What the command line makes of servers that are away, misbehave, or are not Countersign at all.
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'
import { freePort } from '../support/free-port.ts'
import { createTestCa } from '../support/tls.ts'

describe('cli api client', () => {
  const places: Workplace[] = []
  afterEach(() => {
    for (const place of places.splice(0)) place.remove()
  })

  function listTokens(server: string, argv: readonly string[] = []): Promise<Ran> {
    const place = new Workplace(server)
    places.push(place)
    return place.run(['token', 'list', ...argv])
  }

  async function answered(script: Script, argv: readonly string[] = []): Promise<Ran> {
    const api = await new FakeApi(script).start()
    try {
      return await listTokens(api.url, argv)
    } finally {
      await api.stop()
    }
  }

  const malformed: Readonly<Record<string, Script>> = {
    'HTML with 200': () => ({ body: '<html>welcome</html>' }),
    'JSON of another shape': () => ({ body: { tokens: 'none' } }),
    'JSON that is cut off': () => ({ body: '{"tokens": [' }),
    'no body': () => ({ status: 200 }),
    'HTML with 502': () => ({ status: 502, body: '<html>bad gateway</html>' }),
    'a problem without a code': () => ({ status: 404, body: { title: 'Not Found' } }),
    'a problem whose code is no code': () => problem(404, '\u001b[31mred'),
    'an informal status': () => ({ status: 299, body: 'ok' }),
  }
  for (const [name, script] of Object.entries(malformed)) {
    it(`1 SERVER_ANSWER_MALFORMED: ${name}`, async () => {
      const ran = await answered(script)
      expect(ran.codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
      expect(ran.exit).to.equal(1)
    })
  }

  it('does not follow redirects', async () => {
    const other = await new FakeApi(() => ({ body: { tokens: [] } })).start()
    const ran = await answered(() => ({ status: 307, headers: { location: `${other.url}/v1/tokens` } }))
    expect(ran.codes()).to.deep.equal(['SERVER_REDIRECTED'])
    expect(other.requests).to.deep.equal([])
    await other.stop()
  })

  it('says that a connection was refused, or cut', async () => {
    expect((await listTokens(`http://127.0.0.1:${await freePort()}`)).codes()).to.deep.equal(['SERVER_UNREACHABLE'])
    expect((await answered(() => ({ cut: true }))).codes()).to.deep.equal(['SERVER_UNREACHABLE'])
  })

  it('says that a name is not known', async () => {
    // A label of 64 characters: refused by the resolver of this machine, without asking anybody.
    const ran = await listTokens(`https://${'a'.repeat(64)}.invalid`)
    expect(ran.codes()).to.deep.equal(['SERVER_NAME_UNKNOWN'])
    expect(ran.exit).to.equal(1)
  })

  it('trusts the system, or the authorities of --ca-file and nobody else', async () => {
    const ca = createTestCa()
    const { certificatePem, privateKeyPem } = ca.issue(['127.0.0.1'])
    const server = createTlsServer({ cert: certificatePem, key: privateKeyPem }, (_request, response) => {
      response.end('{"tokens":[]}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const place = new Workplace(url)
    places.push(place)
    const untrusted = await place.run(['token', 'list'])
    const trusted = await place.run(['token', 'list', '--ca-file', place.file('ca.pem', ca.certificatePem)])
    const stranger = place.file('stranger.pem', createTestCa().certificatePem)
    const other = await place.run(['token', 'list'], { env: { COUNTERSIGN_CA_FILE: stranger } })
    server.closeAllConnections()
    server.close()
    expect(untrusted.codes()).to.deep.equal(['SERVER_TLS_FAILED'])
    expect(trusted.exit).to.equal(0)
    expect(other.codes()).to.deep.equal(['SERVER_TLS_FAILED'])
  })

  it('ends at once on Ctrl-C', async () => {
    const keyboard = new AbortController()
    const api = await new FakeApi(() => ({
      before: () => {
        keyboard.abort()
        return new Promise(() => undefined)
      },
    })).start()
    const place = new Workplace(api.url)
    places.push(place)
    const ran = await place.run(['token', 'list'], { interrupted: keyboard.signal })
    await api.stop()
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['INTERRUPTED']])
  })

  it('shows code, sentence, faults and next step of a problem', async () => {
    const errors = [{ path: 'grants[0]', message: 'must be a grant' }]
    const ran = await answered(() => problem(422, 'BODY_INVALID', { errors }), ['--json'])
    expect(ran.exit).to.equal(1)
    expect(ran.stderr.split('\n')).to.deep.equal([
      'countersign: BODY_INVALID: A detail of the server.',
      '  grants[0]: must be a grant',
      '  Do this next.',
      '',
    ])
    expect(ran.json()).to.deep.equal({
      type: 'urn:countersign:problem:BODY_INVALID',
      title: 'A title',
      code: 'BODY_INVALID',
      detail: 'A detail of the server.',
      status: 422,
      next: 'Do this next.',
      errors,
      facts: { requestId: 'req-0001', status: 422 },
    })
  })

  it('lets no control character of a server through to the terminal', async () => {
    const ran = await answered(() => problem(409, 'DIGEST_MISMATCH', { detail: 'a\u001b[2Jb\u202ec\nd' }))
    expect(ran.stderr).to.include('a\\u{1b}[2Jb\\u{202e}c\\u{a}d')
  })

  it('never says the token, whatever happens', async () => {
    for (const script of Object.values(malformed)) {
      const ran = await answered(script, ['--json'])
      expect(ran.stdout + ran.stderr).not.to.include(TOKEN)
    }
  })
})
