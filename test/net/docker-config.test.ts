import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { defaultDockerConfigFile, dockerConfigSource } from '../../src/net/docker-config.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'

const HUB_KEY = 'https://index.docker.io/v1/'
const base64 = (text: string): string => Buffer.from(text).toString('base64')

describe('dockerConfigSource', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  function fileWith(text: string): string {
    const file = join(scope.folder('docker'), 'config.json')
    writeFileSync(file, text, { mode: 0o600 })
    return file
  }

  function ask(config: unknown, host: string) {
    return dockerConfigSource(fileWith(JSON.stringify(config))).credentialsFor(host)
  }

  const CAROL = { kind: 'password', username: 'carol', password: 'a:b' }

  it('reads user and password, the password with its colons', async () => {
    const auths = { 'registry.test:5000': { auth: base64('carol:a:b') } }
    expect(await ask({ auths }, 'registry.test:5000')).to.deep.equal(CAROL)
  })

  it('gives no credentials of one host to another', async () => {
    const auths = { 'registry.test': { auth: base64('carol:a:b') } }
    for (const host of ['registry.test:5000', 'evil-registry.test', 'registry.test.evil', 'test', 'docker.io']) {
      expect(await ask({ auths }, host), host).to.equal(undefined)
    }
  })

  it('finds Docker Hub under its old index address', async () => {
    const auths = { [HUB_KEY]: { auth: base64('carol:a:b') } }
    expect(await ask({ auths }, 'docker.io')).to.deep.equal(CAROL)
  })

  it('reads what old versions of Docker wrote', async () => {
    const auths = { 'https://registry.test/v1/': { auth: base64('carol:a:b') } }
    expect(await ask({ auths }, 'registry.test')).to.deep.equal(CAROL)
  })

  it('takes an identity token before the password beside it', async () => {
    const token = { kind: 'identity-token', token: 'REFRESH' }
    const entry = { auth: base64('carol:a:b'), identitytoken: 'REFRESH' }
    expect(await ask({ auths: { 'registry.test': entry } }, 'registry.test')).to.deep.equal(token)
    const named = { auth: base64('<token>:REFRESH') }
    expect(await ask({ auths: { 'registry.test': named } }, 'registry.test')).to.deep.equal(token)
  })

  it('takes names that objects inherit for ordinary hosts', async () => {
    for (const host of ['__proto__', 'constructor', 'toString']) {
      expect(await ask({ auths: {}, credHelpers: {} }, host), host).to.equal(undefined)
    }
  })

  it('is anonymous where there is no file', async () => {
    const missing = join(scope.folder('docker'), 'config.json')
    expect(await dockerConfigSource(missing).credentialsFor('registry.test')).to.equal(undefined)
  })

  it('reads the file anew, so that a login counts at once', async () => {
    const file = fileWith('{}')
    const source = dockerConfigSource(file)
    expect(await source.credentialsFor('registry.test')).to.equal(undefined)
    writeFileSync(file, JSON.stringify({ auths: { 'registry.test': { auth: base64('carol:a:b') } } }))
    expect(await source.credentialsFor('registry.test')).to.deep.equal(CAROL)
  })

  const damaged: readonly (readonly [string, string])[] = [
    ['text that is no JSON', '{"auths": {"registry.test": {"auth": "c2VjcmV0"'],
    ['an entry that is no object', JSON.stringify({ auths: { 'registry.test': 'c2VjcmV0' } })],
    ['an auth without a colon', JSON.stringify({ auths: { 'registry.test': { auth: base64('secret') } } })],
    ['more than a configuration can be', ' '.repeat(1024 * 1024 + 1)],
  ]
  for (const [name, text] of damaged) {
    it(`refuses ${name}, and repeats nothing of it`, async () => {
      const source = dockerConfigSource(fileWith(text))
      const error = await expectCodeAsync('CREDENTIALS_UNREADABLE', () => source.credentialsFor('registry.test'))
      const told = `${error.message} ${JSON.stringify(error.facts)} ${String(error.cause)}`
      expect(told).not.to.match(/secret|c2VjcmV0/)
    })
  }

  for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602]) {
    it(`refuses a file that others can read or write (mode ${mode.toString(8)})`, async function () {
      const file = fileWith('{}')
      chmodSync(file, mode)
      // Root's files may be readable by our group alone: so secrets are mounted.
      const isMountedSecret = process.getuid?.() === 0 && mode === 0o640
      const source = dockerConfigSource(file)
      if (isMountedSecret) expect(await source.credentialsFor('registry.test')).to.equal(undefined)
      else await expectCodeAsync('CREDENTIALS_UNREADABLE', () => source.credentialsFor('registry.test'))
    })
  }

  it('stands where Docker looks for it', () => {
    expect(defaultDockerConfigFile({ DOCKER_CONFIG: '/etc/docker-login' })).to.equal('/etc/docker-login/config.json')
    for (const environment of [{}, { DOCKER_CONFIG: '' }]) {
      expect(defaultDockerConfigFile(environment)).to.match(/^\/.*\/\.docker\/config\.json$/)
    }
  })
})
