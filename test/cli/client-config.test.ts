// Which server is asked with which token, and which token files are refused. No refusal shows a secret.
import { chmodSync } from 'node:fs'
import { expect } from 'chai'
import { FakeApi } from './support/fake-api.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

const OTHER = `cs_${'u'.repeat(43)}`

describe('cli client configuration', () => {
  let api: FakeApi
  let place: Workplace

  beforeEach(async () => {
    api = await new FakeApi(() => ({ body: { tokens: [] } })).start()
    place = new Workplace()
  })
  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  function sentTokens(): (string | undefined)[] {
    return api.requests.map(({ headers }) => headers.authorization)
  }

  async function refused(
    code: string,
    exit: number,
    argv: readonly string[],
    env: Record<string, string> = {},
  ): Promise<Ran> {
    const ran = await place.run(['token', 'list', ...argv], { env })
    expect(ran.codes()).to.deep.equal([code])
    expect(ran.exit).to.equal(exit)
    expect(ran.stdout + ran.stderr).not.to.include('cs_')
    expect(api.requests).to.deep.equal([])
    return ran
  }

  it('options win over the environment, and the environment over the file', async () => {
    place = new Workplace()
    const config = place.file('config.yaml', `server: ${api.url}\ntokenFile: file.token\n`)
    place.file('file.token', `cs_${'f'.repeat(43)}\n`)
    const env = place.file('env.token', OTHER)
    const option = place.file('option.token', TOKEN)
    await place.run(['token', 'list', '--token-file', option], {
      env: { COUNTERSIGN_CLIENT_CONFIG: config, COUNTERSIGN_TOKEN_FILE: env, COUNTERSIGN_TOKEN: OTHER },
    })
    await place.run(['token', 'list'], { env: { COUNTERSIGN_CLIENT_CONFIG: config, COUNTERSIGN_TOKEN_FILE: env } })
    await place.run(['token', 'list'], { env: { COUNTERSIGN_CLIENT_CONFIG: config, COUNTERSIGN_TOKEN: TOKEN } })
    await place.run(['token', 'list'], { env: { COUNTERSIGN_CLIENT_CONFIG: config } })
    expect(sentTokens()).to.deep.equal([TOKEN, OTHER, TOKEN, `cs_${'f'.repeat(43)}`].map((token) => `Bearer ${token}`))
  })

  it('does not send the token of the file to another server', async () => {
    const config = place.file('config.yaml', `server: https://countersign.example.com\ntokenFile: token\n`)
    place.file('token', TOKEN)
    await refused('TOKEN_NOT_CONFIGURED', 2, ['--server', api.url], { COUNTERSIGN_CLIENT_CONFIG: config })
  })

  for (const mode of [0o644, 0o660, 0o604, 0o602, 0o601]) {
    it(`refuses a token file of mode ${mode.toString(8)}`, async () => {
      const file = place.file('token', TOKEN)
      chmodSync(file, mode)
      await refused('SECRET_FILE_EXPOSED', 1, ['--server', api.url, '--token-file', file])
    })
  }

  it('refuses a token file that is not there, is empty or holds no token', async () => {
    await refused('SECRET_FILE_UNREADABLE', 1, ['--server', api.url, '--token-file', place.path('none')])
    await refused('SECRET_FILE_MALFORMED', 1, ['--server', api.url, '--token-file', place.file('empty', '')])
    await refused('SECRET_FILE_MALFORMED', 1, [
      '--server',
      api.url,
      '--token-file',
      place.file('two', `${TOKEN}\n${TOKEN}\n`),
    ])
    await refused('TOKEN_MALFORMED', 1, [
      '--server',
      api.url,
      '--token-file',
      place.file('words', 'cs_my secret words'),
    ])
    await refused('TOKEN_MALFORMED', 1, ['--server', api.url], { COUNTERSIGN_TOKEN: 'cs_a\r\nx-evil: 1' })
  })

  it('says what is missing', async () => {
    const ran = await refused('SERVER_NOT_CONFIGURED', 2, [])
    expect(ran.stderr).to.include('COUNTERSIGN_SERVER')
    await refused('TOKEN_NOT_CONFIGURED', 2, ['--server', api.url])
  })

  it('sends no token without TLS, except to this machine', async () => {
    const token = place.file('token', TOKEN)
    await refused('SERVER_INSECURE', 2, ['--server', 'http://countersign.example.com', '--token-file', token])
    await refused('SERVER_INSECURE', 2, ['--server', 'http://127.0.0.1.example.com', '--token-file', token])
    for (const address of [
      'countersign.example.com',
      'ftp://127.0.0.1',
      'https://u:p@127.0.0.1',
      'https://127.0.0.1/?a=1',
    ]) {
      await refused('SERVER_ADDRESS_INVALID', 2, ['--server', address, '--token-file', token])
    }
  })

  for (const [name, content] of Object.entries({
    'an unknown name': 'server: https://x.example.com\ntoken: cs_secret\n',
    'a wrong type': 'server: [cs_secret]\n',
    'something that is not YAML': '{cs_secret: [',
    'an alias': 'server: &a cs_secret\ntokenFile: *a\n',
  })) {
    it(`refuses a file with ${name}, without showing it`, async () => {
      const config = place.file('config.yaml', content)
      await refused('CLIENT_CONFIG_INVALID', 2, [], { COUNTERSIGN_CLIENT_CONFIG: config })
    })
  }

  it('refuses a file that was named and is not there', async () => {
    await refused('FILE_UNREADABLE', 1, [], { COUNTERSIGN_CLIENT_CONFIG: place.path('none.yaml') })
  })

  it('keeps the path of the server address', async () => {
    const token = place.file('token', TOKEN)
    await place.run(['token', 'list', '--server', `${api.url}/countersign`, '--token-file', token])
    expect(api.requests[0]?.path).to.equal('/countersign/v1/tokens')
  })
})
