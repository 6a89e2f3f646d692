import { expect } from 'chai'
import { parseConfig } from '../../src/config/parse.ts'
import { printConfig } from '../../src/config/print.ts'
import type { Environment } from '../../src/config/environment.ts'

function accept(text: string, env: Environment = {}) {
  const parsed = parseConfig(text, env)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed
}

function pathsOf(text: string, env: Environment = {}): string[] {
  const parsed = parseConfig(text, env)
  return parsed.ok ? [] : parsed.faults.map(({ path }) => path)
}

const HOOK = 'name: chat, secretFile: /x'
const PUSHES =
  'name: main, kind: harbor, registry: a.example, secretFile: /x, repositories: [{ gun: "a.example/*", tags: ["v*"] }]'
const TRUST = 'url: https://notary.example.com, guns: ["a.example/*"]'

describe('parseConfig', () => {
  it('needs nothing: loopback, a data folder here, a supervised key holder in it', () => {
    const { config } = accept('')
    expect(config.http.listen).to.equal('127.0.0.1:8750')
    expect(config.dataFolder).to.equal('./countersign-data')
    expect(config.keyHolder.serviceSocket).to.equal('./countersign-data/key-holder/run/service.sock')
    expect(config.keyHolder.supervise).to.deep.equal({})
    expect(config.trustServers).to.deep.equal([])
  })

  it('supervises no key holder where only its socket is named', () => {
    expect(accept('keyHolder: { serviceSocket: /run/a.sock }').config.keyHolder).not.to.have.property('supervise')
    expect(accept('keyHolder: { serviceSocket: /run/a.sock, supervise: {} }').config.keyHolder.supervise).to.deep.equal(
      {},
    )
  })

  it('gives durations in milliseconds and sizes in bytes', () => {
    const { config } = accept(
      `{ requests: { wait: 2m }, limits: { bodyBytes: 4MiB }, trustServers: [{ ${TRUST}, timeouts: { total: 90s } }] }`,
    )
    expect(config.requests.wait).to.equal(120_000)
    expect(config.limits.bodyBytes).to.equal(4 * 1024 * 1024)
    expect(config.trustServers[0]?.timeouts).to.deep.equal({ connect: 5_000, headers: 10_000, total: 90_000 })
  })

  const faulty: readonly (readonly [name: string, text: string, path: string])[] = [
    ['an unknown name at the top', 'datafolder: /x', 'datafolder'],
    ['an unknown name below', 'http: { port: 1 }', 'http.port'],
    ['a name twice', `trustServers: [{ name: a, ${TRUST} }, { name: a, ${TRUST} }]`, 'trustServers[1].name'],
    ['the name of the embedded one', `trustServers: [{ name: embedded, ${TRUST} }]`, 'trustServers[0].name'],
    ['an unknown name in a list', `trustServers: [{ ${TRUST}, token: x }]`, 'trustServers[0].token'],
    ['a name __proto__', '__proto__: { dataFolder: /x }', '__proto__'],
    [
      'a source of events twice',
      `signOnPush: { sources: [{ ${PUSHES} }, { ${PUSHES} }] }`,
      'signOnPush.sources[1].name',
    ],
    ['a queue in which a delivery has no room', 'signOnPush: { queue: 999 }', 'signOnPush.queue'],
    [
      'an unknown kind of events',
      `signOnPush: { sources: [{ ${PUSHES.replace('harbor', 'quay')} }] }`,
      'signOnPush.sources[0].kind',
    ],
    [
      'a source for no tags',
      `signOnPush: { sources: [{ ${PUSHES.replace('"v*"', '')} }] }`,
      'signOnPush.sources[0].repositories[0].tags',
    ],
    ['a duration without a unit', 'requests: { wait: 30 }', 'requests.wait'],
    ['a duration as text without a unit', 'requests: { wait: "30" }', 'requests.wait'],
    ['a duration with two units', 'requests: { wait: 1m30s }', 'requests.wait'],
    ['a duration too long', 'requests: { wait: 1h }', 'requests.wait'],
    ['a size with a decimal unit', 'limits: { bodyBytes: 1MB }', 'limits.bodyBytes'],
    ['a size too small', 'limits: { bodyBytes: 1B }', 'limits.bodyBytes'],
    ['a number as text', 'limits: { imagesPerRequest: "7" }', 'limits.imagesPerRequest'],
    ['a boolean as text', 'metrics: { open: "yes" }', 'metrics.open'],
    [
      'a webhook without a secret',
      'webhooks: { endpoints: [{ name: a, url: "https://a" }] }',
      'webhooks.endpoints[0].secretFile',
    ],
    [
      'a webhook over plain HTTP',
      `webhooks: { endpoints: [{ ${HOOK}, url: "http://a.example" }] }`,
      'webhooks.endpoints[0].url',
    ],
    [
      'a webhook to this machine unasked',
      `webhooks: { endpoints: [{ ${HOOK}, url: "http://127.0.0.1" }] }`,
      'webhooks.endpoints[0].url',
    ],
    [
      'a webhook with a password',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a:b@a.example" }] }`,
      'webhooks.endpoints[0].url',
    ],
    [
      'a webhook with a query',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a.example/?k=v" }] }`,
      'webhooks.endpoints[0].url',
    ],
    [
      'a webhook for an unknown event',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a", events: [ping] }] }`,
      'webhooks.endpoints[0].events[0]',
    ],
    [
      'a webhook for no event',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a", events: [] }] }`,
      'webhooks.endpoints[0].events',
    ],
    [
      'a webhook that takes its time',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a", timeout: 31s }] }`,
      'webhooks.endpoints[0].timeout',
    ],
    [
      'a webhook with a secret in place of a file',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a", secret: whsec_x }] }`,
      'webhooks.endpoints[0].secret',
    ],
    [
      'two webhooks of one name',
      `webhooks: { endpoints: [{ ${HOOK}, url: "https://a" }, { ${HOOK}, url: "https://b" }] }`,
      'webhooks.endpoints[1].name',
    ],
    ['checkpoints without pause', 'webhooks: { checkpointEvery: 1m }', 'webhooks.checkpointEvery'],
    ['all addresses without TLS', 'http: { listen: "0.0.0.0:8750" }', 'http.listen'],
    ['a name without TLS', 'http: { listen: "sign.example.com:8750" }', 'http.listen'],
    ['a port too high', 'http: { listen: "127.0.0.1:65536" }', 'http.listen'],
    ['no port', 'http: { listen: "127.0.0.1" }', 'http.listen'],
    ['headers that may take longer than the request', 'http: { headersTimeout: 40s }', 'http.headersTimeout'],
    [
      'a trust server over plain HTTP',
      'trustServers: [{ url: "http://notary.example.com", guns: ["*"] }]',
      'trustServers[0].url',
    ],
    [
      'a name that only begins with localhost',
      'trustServers: [{ url: "http://localhost.example.com", guns: ["*"] }]',
      'trustServers[0].url',
    ],
    [
      'a URL with a password',
      'trustServers: [{ url: "https://me:hunter2@notary.example.com", guns: ["*"] }]',
      'trustServers[0].url',
    ],
    [
      'a URL with a query',
      'trustServers: [{ url: "https://notary.example.com/?a", guns: ["*"] }]',
      'trustServers[0].url',
    ],
    [
      'a token realm over plain HTTP',
      `trustServers: [{ ${TRUST}, tokenRealms: ["http://auth.example.com"] }]`,
      'trustServers[0].tokenRealms[0]',
    ],
    [
      'a trust server for nothing',
      'trustServers: [{ url: "https://notary.example.com", guns: [] }]',
      'trustServers[0].guns',
    ],
    [
      'unknown credentials',
      `trustServers: [{ ${TRUST}, credentials: { kind: vault } }]`,
      'trustServers[0].credentials.kind',
    ],
    [
      'a password in the configuration',
      `trustServers: [{ ${TRUST}, credentials: { kind: file, username: a, password: hunter2, passwordFile: /p } }]`,
      'trustServers[0].credentials.password',
    ],
    [
      'a user name twice',
      `trustServers: [{ ${TRUST}, credentials: { kind: file, username: a, usernameFile: /u, passwordFile: /p } }]`,
      'trustServers[0].credentials',
    ],
    ['half a client certificate', `trustServers: [{ ${TRUST}, clientCertFile: /c }]`, 'trustServers[0]'],
    ['a registry twice', 'registries: [{ host: a.example }, { host: A.example }]', 'registries[1].host'],
    ['a registry that is a URL', 'registries: [{ host: "https://a.example" }]', 'registries[0].host'],
    ['a signer name in upper case', 'signerName: Release', 'signerName'],
    ['a user id without a group', 'keyHolder: { supervise: { uid: 7 } }', 'keyHolder.supervise'],
    ['root as the user of the key holder', 'keyHolder: { supervise: { uid: 0, gid: 0 } }', 'keyHolder.supervise.uid'],
    ['a socket path too long', `keyHolder: { serviceSocket: /${'a'.repeat(103)} }`, 'keyHolder.serviceSocket'],
    ['a data folder too long for its socket', `dataFolder: /${'a'.repeat(100)}`, 'dataFolder'],
    ['a name twice', 'dataFolder: /a\ndataFolder: /b', 'line 2'],
    ['broken YAML', 'http: { listen: ', 'line 1'],
    ['a tag of YAML', 'dataFolder: !!js/function "x"', 'line 1'],
    ['a list in place of settings', '[]', ''],
    ['text in place of settings', 'hello', ''],
  ]
  for (const [name, text, path] of faulty) {
    it(`refuses ${name}`, () => {
      expect(pathsOf(text)).to.include(path)
    })
  }

  it('reports all faults at once', () => {
    expect(
      pathsOf('{ a: 1, http: { listen: x, b: 2 }, log: { level: loud } }', { COUNTERSIGN_NOPE: '1' }),
    ).to.have.members(['a', 'http.listen', 'http.b', 'log.level', 'environment COUNTERSIGN_NOPE'])
  })

  it('never repeats a value: it may be a secret in the wrong place', () => {
    const parsed = parseConfig(
      `{ http: { listen: hunter2 }, log: { level: hunter2 }, trustServers: [{ ${TRUST}, credentials: { kind: hunter2, password: hunter2 } }] }`,
      { COUNTERSIGN_LIMITS__IMAGES_PER_REQUEST: 'hunter2', COUNTERSIGN_SIGNER_NAME: 'HUNTER2' },
    )
    expect(parsed.ok).to.equal(false)
    expect(JSON.stringify(parsed)).not.to.match(/hunter2/i)
  })

  it('bounds what aliases blow up', () => {
    const bomb = [
      'a: &a [1,1,1,1,1,1,1,1,1,1]',
      ...'bcdefgh'.split('').map((name, i) => `${name}: &${name} [${`*${'abcdefg'[i] ?? ''},`.repeat(10)}]`),
    ]
    expect(pathsOf(bomb.join('\n'))).to.deep.equal([''])
  })

  describe('the environment', () => {
    it('wins over the text, at any depth', () => {
      const { config } = accept('{ http: { listen: "127.0.0.1:1" }, registries: [{ host: a.example }] }', {
        COUNTERSIGN_HTTP__LISTEN: '127.0.0.1:2',
        COUNTERSIGN_DATA_FOLDER: '/data',
        COUNTERSIGN_LIMITS__IMAGES_PER_REQUEST: '7',
        COUNTERSIGN_METRICS__OPEN: 'true',
        COUNTERSIGN_TRUST_SERVERS__0__URL: 'https://notary.example.com',
        COUNTERSIGN_TRUST_SERVERS__0__GUNS: '["a.example/*", "b.example/*"]',
        COUNTERSIGN_TRUST_SERVERS__0__CREDENTIALS__KIND: 'file',
        COUNTERSIGN_TRUST_SERVERS__0__CREDENTIALS__USERNAME: '007',
        COUNTERSIGN_TRUST_SERVERS__0__CREDENTIALS__PASSWORD_FILE: '/p',
        COUNTERSIGN_REGISTRIES__0__LIMITS__MANIFEST: '1MiB',
        COUNTERSIGN_REGISTRIES__1__HOST: 'b.example',
        COUNTERSIGN_KEY_HOLDER__SUPERVISE: '{}',
      })
      expect(config.http.listen).to.equal('127.0.0.1:2')
      expect(config.dataFolder).to.equal('/data')
      expect(config.limits.imagesPerRequest).to.equal(7)
      expect(config.metrics.open).to.equal(true)
      expect(config.trustServers[0]).to.deep.include({ guns: ['a.example/*', 'b.example/*'] })
      expect(config.trustServers[0]?.credentials).to.deep.equal({ kind: 'file', username: '007', passwordFile: '/p' })
      expect(config.registries.map(({ host, limits }) => [host, limits.manifest])).to.deep.equal([
        ['a.example', 1024 * 1024],
        ['b.example', 4 * 1024 * 1024],
      ])
      expect(config.keyHolder.supervise).to.deep.equal({})
    })

    for (const [name, value] of [
      ['COUNTERSIGN_HTTP__PORT', '1'],
      ['COUNTERSIGN_HTTP_LISTEN', '127.0.0.1:1'],
      ['COUNTERSIGN_REGISTRIES__X__HOST', 'a'],
      ['COUNTERSIGN_', 'a'],
      ['COUNTERSIGN_LIMITS__IMAGES_PER_REQUEST', '1.5'],
      ['COUNTERSIGN_METRICS__OPEN', 'yes'],
      ['COUNTERSIGN_TRUST_SERVERS', '[&a {}, *a'],
    ] as const) {
      it(`refuses ${name}=${value}`, () => {
        expect(pathsOf('', { [name]: value })).to.deep.equal([`environment ${name}`])
      })
    }

    it('refuses a list with a gap', () => {
      expect(pathsOf('', { COUNTERSIGN_REGISTRIES__1__HOST: 'a.example' })).to.include('registries[0]')
    })

    it("leaves the client's variables and those of Kubernetes alone", () => {
      accept('', {
        COUNTERSIGN_SERVER: 'https://x',
        COUNTERSIGN_TOKEN_FILE: '/t',
        COUNTERSIGN_CA_FILE: '/c',
        COUNTERSIGN_CLIENT_CONFIG: '/c',
        COUNTERSIGN_OPERATOR_SOCKET: '/s',
        COUNTERSIGN_SERVICE_HOST: '10.0.0.1',
        COUNTERSIGN_PORT_8750_TCP_ADDR: '10.0.0.1',
        COUNTERSIGN_PORT: 'tcp://10.0.0.1:8750',
        PATH: '/bin',
      })
    })
  })

  describe('the digest', () => {
    it('is the same for the same settings, however they are written', () => {
      const one = accept('{ signerName: release, requests: { wait: 120s } }').digest
      expect(accept('requests:\n  wait: 2m\nsignerName: "release"').digest).to.equal(one)
      expect(accept('requests: { wait: 2m }', { COUNTERSIGN_SIGNER_NAME: 'release' }).digest).to.equal(one)
      expect(one).to.match(/^[0-9a-f]{64}$/)
    })

    it('changes with a setting', () => {
      expect(accept('signerName: a').digest).not.to.equal(accept('signerName: b').digest)
    })
  })

  it('prints what it would read back to the same settings', () => {
    const text = `{ requests: { wait: 90s }, limits: { bodyBytes: 64KiB }, trustServers: [{ ${TRUST}, credentials: { kind: file, username: a, passwordFile: /p } }], registries: [{ host: a.example }] }`
    const { config, digest } = accept(text)
    const printed = printConfig(config)
    expect(printed).to.include('wait: 90s').and.to.include('bodyBytes: 64KiB')
    expect(accept(printed).digest).to.equal(digest)
  })
})
