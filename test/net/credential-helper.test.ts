// Helpers here are small shell scripts in a folder of their own, put first in PATH.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { askCredentialHelper } from '../../src/net/credential-helper.ts'
import { dockerConfigSource } from '../../src/net/docker-config.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'

describe('askCredentialHelper', () => {
  let scope: Scope
  let folder: string
  beforeEach(() => {
    scope = new Scope()
    folder = scope.folder('helpers')
    const before = process.env['PATH']
    process.env['PATH'] = `${folder}:${before ?? ''}`
    scope.add(() => {
      process.env['PATH'] = before
    })
  })
  afterEach(() => scope.close())

  function helper(suffix: string, script: string): void {
    writeFileSync(join(folder, `docker-credential-${suffix}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }

  const ANSWER = `echo '{"ServerURL":"x","Username":"carol","Secret":"a:b"}'`

  it('gives the server on standard input and get as the only argument', async () => {
    helper('one', `cat >"${folder}/heard"; echo "$#:$1" >"${folder}/args"; ${ANSWER}`)
    expect(await askCredentialHelper('one', 'registry.test')).to.deep.equal({ username: 'carol', secret: 'a:b' })
    expect(readFileSync(join(folder, 'heard'), 'utf8')).to.equal('registry.test')
    expect(readFileSync(join(folder, 'args'), 'utf8')).to.equal('1:get\n')
  })

  it('has none where the helper says so', async () => {
    helper('none', `echo 'credentials not found in native keychain'; exit 1`)
    expect(await askCredentialHelper('none', 'registry.test')).to.equal(undefined)
  })

  const failing: readonly (readonly [string, string])[] = [
    ['fails', `echo '{"Username":"carol","Secret":"hush"}'; exit 1`],
    ['answers no JSON', 'echo hush'],
    ['answers no secret', `echo '{"Username":"hush"}'`],
    ['answers without end', 'yes hush'],
  ]
  for (const [name, script] of failing) {
    it(`refuses a helper that ${name}, and repeats nothing of it`, async () => {
      helper('bad', script)
      const error = await expectCodeAsync('CREDENTIAL_HELPER_FAILED', () => askCredentialHelper('bad', 'registry.test'))
      expect(`${error.message} ${JSON.stringify(error.facts)} ${String(error.cause)}`).not.to.contain('hush')
    })
  }

  it('does not wait for what a helper leaves behind', async () => {
    helper('forking', `sleep 60 & ${ANSWER}`)
    expect(await askCredentialHelper('forking', 'registry.test')).to.deep.equal({ username: 'carol', secret: 'a:b' })
  })

  it('ends a helper that takes too long, with what it started', async () => {
    helper('slow', `sleep 60 & echo $! >"${folder}/pid"; sleep 60`)
    await expectCodeAsync('CREDENTIAL_HELPER_FAILED', () => askCredentialHelper('slow', 'registry.test', 1_000))
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
    await waitFor('the end of what the helper started', () => (isRunning(pid) ? undefined : true))
  })

  it('names a helper that is not installed', () =>
    expectCodeAsync('CREDENTIAL_HELPER_FAILED', () => askCredentialHelper('not-installed-here', 'registry.test')))

  for (const suffix of ['', '../evil', '/bin/sh', 'a b', 'a;touch x', '-x', 'a\n', 'é', 'x'.repeat(65)]) {
    it(`does not start the suffix ${JSON.stringify(suffix)}`, async () => {
      mkdirSync(join(folder, 'docker-credential-..'), { recursive: true })
      writeFileSync(join(folder, 'evil'), `#!/bin/sh\ntouch "${folder}/ran"\n${ANSWER}\n`, { mode: 0o755 })
      await expectCodeAsync('CREDENTIAL_HELPER_FAILED', () => askCredentialHelper(suffix, 'registry.test'))
      expect(existsSync(join(folder, 'ran'))).to.equal(false)
    })
  }

  it('is asked for Docker Hub by its old index address, and before auths', async () => {
    helper('hub', `cat >"${folder}/heard"; echo '{"Username":"<token>","Secret":"REFRESH"}'`)
    const file = join(folder, 'config.json')
    writeFileSync(
      file,
      JSON.stringify({ credsStore: 'hub', auths: { 'https://index.docker.io/v1/': { auth: 'eDp5' } } }),
      { mode: 0o600 },
    )
    expect(await dockerConfigSource(file).credentialsFor('docker.io')).to.deep.equal({
      kind: 'identity-token',
      token: 'REFRESH',
    })
    expect(readFileSync(join(folder, 'heard'), 'utf8')).to.equal('https://index.docker.io/v1/')
  })

  it('is chosen by host where credHelpers names one', async () => {
    helper('store', 'exit 3')
    helper('special', ANSWER)
    const file = join(folder, 'config.json')
    const config = { credsStore: 'store', credHelpers: { 'registry.test': 'special' } }
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
    const source = dockerConfigSource(file)
    expect(await source.credentialsFor('registry.test')).to.deep.equal({
      kind: 'password',
      username: 'carol',
      password: 'a:b',
    })
    await expectCodeAsync('CREDENTIAL_HELPER_FAILED', () => source.credentialsFor('other.test'))
  })
})

/** A process that has ended but was not collected yet is not running. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
