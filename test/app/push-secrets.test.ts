// The secrets of sources: refused at the start where they are no secrets, and read again at each use.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { connectPushSecrets } from '../../src/app/push-secrets.ts'
import type { PushSourceConfig } from '../../src/config/push-settings.ts'
import { expectCode } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'

describe('the secrets of sources of events', () => {
  const scope = new Scope()
  after(() => scope.close())

  const fileOf = (name: string, text: string, mode = 0o600): string => {
    const path = join(scope.folder(name), 'secret')
    writeFileSync(path, text, { mode })
    return path
  }
  const source = (secretFile: string, previousSecretFile?: string): PushSourceConfig => ({
    name: 'main',
    kind: 'distribution',
    registry: 'registry.example.com',
    secretFile,
    ...(previousSecretFile !== undefined && { previousSecretFile }),
    repositories: [],
    eventsPerMinute: 1,
  })

  it('are read at each use, both of them', () => {
    const file = fileOf('new', `${'n'.repeat(32)}\n`)
    const secrets = connectPushSecrets([source(file, fileOf('old', 'o'.repeat(32)))])
    expect(secrets('main')).to.deep.equal(['n'.repeat(32), 'o'.repeat(32)])
    writeFileSync(file, 'm'.repeat(40))
    expect(secrets('main')).to.deep.equal(['m'.repeat(40), 'o'.repeat(32)])
    expect(secrets('other')).to.deep.equal([])
  })

  it('are refused where they are short, odd, or open to others', () => {
    for (const text of ['n'.repeat(31), 'n'.repeat(257), `${'n'.repeat(32)}/`, `${'n'.repeat(32)} x`]) {
      expectCode('SECRET_FILE_MALFORMED', () => connectPushSecrets([source(fileOf('bad', text))]))
    }
    expectCode('SECRET_FILE_EXPOSED', () => connectPushSecrets([source(fileOf('open', 'n'.repeat(32), 0o644))]))
    expectCode('SECRET_FILE_UNREADABLE', () => connectPushSecrets([source('/nonexistent')]))
  })
})
