// The generated authority and server certificate: what OpenSSL makes of them, and when they are made again.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect } from 'chai'
import { createAuthority, issueServerCertificate } from '../../src/supervisor/certificates.ts'
import { prepareTlsFiles, type TlsFiles } from '../../src/supervisor/tls-files.ts'

const DAY_MS = 86_400_000
const NAMES = ['localhost', '127.0.0.1', '::1']

describe('the generated TLS files', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cs-tls-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  function prepare(o: { names?: string[]; inDays?: number; keepsAuthority?: boolean } = {}): TlsFiles {
    return prepareTlsFiles({
      authorityFolder: join(folder, 'authority'),
      serverFolder: join(folder, 'server'),
      owner: undefined,
      names: o.names ?? NAMES,
      now: new Date(Date.now() + (o.inDays ?? 0) * DAY_MS),
      keepsAuthority: o.keepsAuthority ?? false,
    })
  }

  /** OpenSSL's word for why a client that trusts the authority refuses that server (Node has no code for it); undefined: it does not. */
  async function refusal(ca: string, cert: string, key: string, servername: string): Promise<string | undefined> {
    const server = createServer({ cert, key })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    try {
      return await new Promise((done) => {
        const { port } = server.address() as AddressInfo
        const socket = connect({ host: '127.0.0.1', port, ca, servername })
        socket.on('error', (error: Error) => {
          done(error.message)
        })
        socket.on('secureConnect', () => {
          socket.destroy()
          done(undefined)
        })
      })
    } finally {
      server.close()
    }
  }

  it('are private where they must be, and a client takes the server by each of its names', async () => {
    const { caFile, certFile, keyFile, made } = prepare()
    expect(made).to.deep.equal({ authority: true, server: true })
    const modes = [join(folder, 'authority/ca.key'), keyFile].map((file) => statSync(file).mode & 0o777)
    expect(modes).to.deep.equal([0o600, 0o600])
    const [ca, cert, key] = [caFile, certFile, keyFile].map((file) => readFileSync(file, 'utf8'))
    expect(await refusal(ca ?? '', cert ?? '', key ?? '', 'localhost')).to.equal(undefined)
    const certificate = new X509Certificate(cert ?? '')
    expect([certificate.checkIP('127.0.0.1'), certificate.checkIP('::1')]).to.deep.equal(['127.0.0.1', '::1'])
    expect(certificate.ca).to.equal(false)
    expect(certificate.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1'])
  })

  it('give a thief of the authority’s key no other name', async () => {
    const { caFile } = prepare()
    const ca = readFileSync(caFile, 'utf8')
    const stolen = createPrivateKey(readFileSync(join(folder, 'authority/ca.key')))
    const validity = { from: new Date(Date.now() - DAY_MS), to: new Date(Date.now() + DAY_MS) }
    const authority = { certificate: new X509Certificate(ca), privateKey: stolen }
    const forged = issueServerCertificate(authority, 'forged', ['registry.example.com'], validity)
    const refused = await refusal(ca, forged.certificatePem, forged.privateKeyPem, 'registry.example.com')
    expect(refused).to.equal('permitted subtree violation')
    // The same without the limit would pass: it is the limit that refuses.
    const wide = createAuthority('wide', ['registry.example.com'], validity)
    const other = {
      certificate: new X509Certificate(wide.certificatePem),
      privateKey: createPrivateKey(wide.privateKeyPem),
    }
    const good = issueServerCertificate(other, 'good', ['registry.example.com'], validity)
    expect(
      await refusal(wide.certificatePem, good.certificatePem, good.privateKeyPem, 'registry.example.com'),
    ).to.equal(undefined)
  })

  it('stay as they are until the server’s certificate has sixty days left, which keeps the authority', () => {
    const first = prepare()
    const ca = readFileSync(first.caFile, 'utf8')
    expect(prepare({ inDays: 336 }).made).to.deep.equal({ authority: false, server: false })
    const renewed = prepare({ inDays: 338 })
    expect(renewed.made).to.deep.equal({ authority: false, server: true })
    expect(readFileSync(first.caFile, 'utf8')).to.equal(ca)
    expect(renewed.expiresAt.getTime()).to.be.greaterThan(first.expiresAt.getTime() + 330 * DAY_MS)
  })

  it('get a new authority before no certificate of a full life fits into the old one, but not under a running daemon', () => {
    prepare()
    const inDays = 3_650 - 397
    expect(prepare({ inDays, keepsAuthority: true }).made).to.deep.equal({ authority: false, server: true })
    expect(prepare({ inDays }).made).to.deep.equal({ authority: true, server: true })
  })

  it('are made again for other names', () => {
    prepare()
    expect(prepare({ names: [...NAMES, 'trust.example.com'] }).made).to.deep.equal({ authority: true, server: true })
    expect(prepare({ names: [...NAMES, 'trust.example.com'] }).made).to.deep.equal({ authority: false, server: false })
  })

  it('are made again after a crash between key and certificate', () => {
    const { keyFile, caFile } = prepare()
    const other = createAuthority('other', NAMES, { from: new Date(), to: new Date(Date.now() + DAY_MS) })
    writeFileSync(keyFile, other.privateKeyPem)
    expect(prepare().made).to.deep.equal({ authority: false, server: true })
    writeFileSync(join(folder, 'authority/ca.key'), other.privateKeyPem)
    expect(prepare().made).to.deep.equal({ authority: true, server: true })
    expect(new X509Certificate(readFileSync(caFile)).ca).to.equal(true)
  })
})
