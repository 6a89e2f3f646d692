import type { LookupAddress } from 'node:dns'
import { createServer } from 'node:net'
import { expect } from 'chai'
import { addressGuard, guardedLookup, type Resolver } from '../../src/net/address-guard.ts'
import { HttpClient } from '../../src/net/http-client.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'

const PUBLIC = ['8.8.8.8', '192.0.1.1', '172.32.0.1', '172.15.255.255', '100.128.0.1', '2606:4700::1111']
const PUBLIC_EMBEDDED = ['::ffff:8.8.8.8', '64:ff9b::808:808', '2002:808:808::1']
const PRIVATE = [
  '127.0.0.1',
  '127.255.255.254',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '::1',
  '0:0:0:0:0:0:0:1',
  'fc00::1',
  'fdff::1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '::ffff:7f00:1',
  '64:ff9b::7f00:1',
  '64:ff9b::10.0.0.1',
  '2002:7f00:1::',
  '2002:c0a8:101::1',
]
const NEVER = [
  '0.0.0.0',
  '0.1.2.3',
  '169.254.169.254',
  '169.254.0.1',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.7',
  '203.0.113.7',
  '224.0.0.1',
  '255.255.255.255',
  '100.100.100.200',
  '168.63.129.16',
  '::',
  '::127.0.0.1',
  '::ffff:0:127.0.0.1',
  '::ffff:169.254.169.254',
  '::ffff:0.0.0.0',
  '64:ff9b::169.254.169.254',
  '64:ff9b:1::7f00:1',
  '2002:a9fe:a9fe::',
  'fe80::1',
  'fe80::1%lo',
  'febf::1',
  'fec0::1',
  'ff02::1',
  'fd00:ec2::254',
  'fd20:ce::254',
  '2001::1',
  '2001:db8::1',
  '100::1',
  '4000::1',
  'localhost',
  '127.1',
  '2130706433',
  '',
]

describe('the guard over addresses', () => {
  const strict = addressGuard({ allowPrivate: false })
  const lenient = addressGuard({ allowPrivate: true })

  for (const [kind, addresses, byDefault, whenAllowed] of [
    ['public', PUBLIC, true, true],
    ['public, inside IPv6', PUBLIC_EMBEDDED, true, true],
    ['private', PRIVATE, false, true],
    ['never', NEVER, false, false],
  ] as const) {
    for (const address of addresses) {
      it(`${kind}: ${address === '' ? '(empty)' : address}`, () => {
        expect([strict(address), lenient(address)]).to.deep.equal([byDefault, whenAllowed])
      })
    }
  }
})

describe('a guarded lookup', () => {
  it('asks once however many wait, and asks again afterwards', () => {
    const asked: Parameters<Resolver>[1][] = []
    const lookup = guardedLookup(addressGuard({ allowPrivate: false }), (_, done) => asked.push(done))
    const heard: unknown[] = []
    for (let i = 0; i < 5; i++) lookup('a.example', { all: true }, (error, found) => heard.push(error ?? found))
    expect(asked).to.have.length(1)
    asked[0]?.(null, [{ address: '8.8.8.8', family: 4 }])
    expect(heard).to.deep.equal(Array.from({ length: 5 }, () => [{ address: '8.8.8.8', family: 4 }]))
    lookup('a.example', { all: true }, () => undefined)
    expect(asked).to.have.length(2)
  })

  it('hands out nothing where one address of several is forbidden', () => {
    const mixed: LookupAddress[] = [
      { address: '8.8.8.8', family: 4 },
      { address: 'fe80::1', family: 6 },
    ]
    for (const options of [{ all: true }, { family: 4 }, {}]) {
      guardedLookup(addressGuard({ allowPrivate: true }), (_, done) => {
        done(null, mixed)
      })('a.example', options, (error) => {
        expect(error).to.have.property('code', 'NET_ADDRESS_FORBIDDEN')
      })
    }
  })
})

describe('HttpClient with a guard', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  async function ask(origin: string, resolve?: Resolver, isAllowed = addressGuard({ allowPrivate: false })) {
    const timeouts = { connectMs: 1000, headersMs: 300, totalMs: 1000 }
    const client = new HttpClient(origin, {}, timeouts, { isAllowed, ...(resolve !== undefined && { resolve }) })
    scope.add(() => client.close())
    return client.request({ method: 'GET', path: '/', maxBytes: 10 })
  }

  /** Counts connections at a port of every loopback address. */
  async function door(host: string): Promise<{ readonly port: number; readonly count: () => number }> {
    let connections = 0
    const server = createServer((socket) => {
      connections++
      socket.on('error', () => undefined).end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
    await new Promise<void>((done) => server.listen(0, host, done))
    scope.add(() => void server.close())
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return { port: address.port, count: () => connections }
  }

  for (const literal of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', '0177.0.0.1', '0']) {
    it(`makes no connection to the address ${literal}`, async () => {
      const { port, count } = await door('::')
      for (const scheme of ['http', 'https']) {
        await expectCodeAsync('NET_ADDRESS_FORBIDDEN', () => ask(`${scheme}://${literal}:${port}`))
      }
      expect(count()).to.equal(0)
    })
  }

  for (const address of ['127.0.0.1', '169.254.169.254', '::1', '::ffff:10.0.0.1', '::ffff:127.0.0.1', 'fe80::1']) {
    it(`makes no connection where a name leads to ${address}`, async () => {
      const { port, count } = await door('::')
      const resolve: Resolver = (_, done) => {
        done(null, [{ address, family: address.includes(':') ? 6 : 4 }])
      }
      await expectCodeAsync('NET_ADDRESS_FORBIDDEN', () => ask(`http://hooks.example.com:${port}`, resolve))
      expect(count()).to.equal(0)
    })
  }

  it('makes no connection to localhost, as the system resolves it', async () => {
    const { port, count } = await door('::')
    await expectCodeAsync('NET_ADDRESS_FORBIDDEN', () => ask(`http://localhost:${port}`))
    expect(count()).to.equal(0)
  })

  it('looks again at every connection: a name that is bound anew leads nowhere', async () => {
    const inside = await door('127.0.0.2')
    const outside = await door('127.0.0.1')
    const answers = ['127.0.0.1', '127.0.0.2']
    const resolve: Resolver = (_, done) => {
      done(null, [{ address: answers.shift() ?? '127.0.0.2', family: 4 }])
    }
    const isAllowed = (address: string) => address === '127.0.0.1'
    const client = new HttpClient(
      `http://hooks.example.com:${outside.port}`,
      {},
      { connectMs: 1000, headersMs: 300, totalMs: 1000 },
      { isAllowed, resolve },
    )
    scope.add(() => client.close())
    const request = () => client.request({ method: 'GET', path: '/', maxBytes: 10 })
    expect((await request()).status).to.equal(200)
    await expectCodeAsync('NET_ADDRESS_FORBIDDEN', request)
    expect([outside.count(), inside.count()]).to.deep.equal([1, 0])
  })

  it('names a name that cannot be resolved as without one', () =>
    expectCodeAsync('NET_DNS', () => ask('http://no-such-host.invalid')))
})
