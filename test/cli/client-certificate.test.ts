// A machine with a certificate and no token, against the API over TLS.
import { expect } from 'chai'
import { parsePattern } from '../../src/domain/pattern.ts'
import { type Fixture, startFixture } from '../http/fixture.ts'
import { createTestCa } from '../support/tls.ts'
import { Workplace } from './support/run-cli.ts'

const ca = createTestCa()
const grants = [{ grant: 'read' as const, repositories: [parsePattern('*')] }]

describe('cli with a client certificate', () => {
  let fixture: Fixture
  let place: Workplace
  let files: { readonly ca: string; readonly cert: string; readonly key: string }
  const list = (options: readonly string[], env: Record<string, string> = {}) =>
    place.run(['request', 'list', '--server', fixture.url, '--ca-file', files.ca, ...options], { env })

  beforeEach(async () => {
    const server = ca.issue(['127.0.0.1'])
    fixture = await startFixture({
      certificates: [{ san: 'dns:builder.example.com', grants }],
      tls: {
        cert: Buffer.from(server.certificatePem),
        key: Buffer.from(server.privateKeyPem),
        clientCa: Buffer.from(ca.certificatePem),
      },
    })
    place = new Workplace()
    const { certificatePem, privateKeyPem } = ca.issue(['builder.example.com'])
    files = {
      ca: place.file('ca.crt', ca.certificatePem),
      cert: place.file('builder.crt', certificatePem),
      key: place.file('builder.key', privateKeyPem),
    }
  })
  afterEach(async () => {
    place.remove()
    await fixture.stop()
  })

  it('needs no token, by option and by environment', async () => {
    const byOption = await list(['--client-cert-file', files.cert, '--client-key-file', files.key])
    expect(byOption.exit, byOption.stderr).to.equal(0)
    const env = { COUNTERSIGN_CLIENT_CERT_FILE: files.cert, COUNTERSIGN_CLIENT_KEY_FILE: files.key }
    // What the environment keeps is not sent beside it: it would be what counts.
    expect((await list([], { ...env, COUNTERSIGN_TOKEN: `cs_${'x'.repeat(43)}` })).exit).to.equal(0)
  })

  it('sends a token that an option names, which is then what counts', async () => {
    const token = place.file('token', `cs_${'x'.repeat(43)}`)
    const ran = await list(['--client-cert-file', files.cert, '--client-key-file', files.key, '--token-file', token])
    expect(ran.codes()).to.deep.equal(['TOKEN_INVALID'])
  })

  it('refuses one file without the other, and a key that others can read', async () => {
    for (const half of [
      ['--client-cert-file', files.cert],
      ['--client-key-file', files.key],
    ]) {
      expect((await list(half)).exit).to.equal(2)
    }
    const exposed = place.file('exposed.key', 'KEY', 0o644)
    const ran = await list(['--client-cert-file', files.cert, '--client-key-file', exposed])
    expect(ran.codes()).to.deep.equal(['SECRET_FILE_EXPOSED'])
    expect(fixture.calls).to.deep.equal([])
  })
})
