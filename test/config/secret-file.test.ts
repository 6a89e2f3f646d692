import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect } from 'chai'
import { readSecretBytes, readSecretFile } from '../../src/config/secret-file.ts'
import { Secret, SECRET_MARK } from '../../src/config/secret.ts'
import { createLog } from '../../src/log.ts'
import { expectCode } from '../support/expect-code.ts'

describe('secret files', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secret-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  function write(content: string | Uint8Array, mode = 0o600): string {
    const path = join(folder, 'secret')
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }

  for (const [name, content] of [
    ['a line', 'hunter2\n'],
    ['a line of Windows', 'hunter2\r\n'],
    ['text without a line break', 'hunter2'],
  ] as const) {
    it(`reads ${name}`, () => {
      expect(readSecretFile(write(content)).reveal()).to.equal('hunter2')
    })
  }

  it('keeps blanks: they may belong to the secret', () => {
    expect(readSecretFile(write(' a b \n')).reveal()).to.equal(' a b ')
  })

  for (const [name, content] of [
    ['nothing', ''],
    ['an empty line', '\n'],
    ['two lines', 'a\nb\n'],
    ['a zero byte', 'a\0b'],
    ['what is not UTF-8', Uint8Array.of(0xff, 0xfe, 0x61)],
  ] as const) {
    it(`refuses ${name}`, () => {
      expectCode('SECRET_FILE_MALFORMED', () => readSecretFile(write(content)))
    })
  }

  it('reads the lines of a key', () => {
    expect(readSecretBytes(write('-----BEGIN\nx\n')).toString()).to.equal('-----BEGIN\nx\n')
  })

  it('refuses more than a secret can be', () => {
    expectCode('SECRET_FILE_MALFORMED', () => readSecretBytes(write('a'.repeat(64 * 1024 + 1))))
  })

  for (const mode of [0o644, 0o604, 0o602, 0o620, 0o666, 0o601]) {
    it(`refuses mode ${mode.toString(8)}`, () => {
      expectCode('SECRET_FILE_EXPOSED', () => readSecretFile(write('hunter2', mode)))
    })
  }

  it('follows a symbolic link to the file, and checks that', () => {
    const link = join(folder, 'link')
    symlinkSync(write('hunter2', 0o644), link)
    expectCode('SECRET_FILE_EXPOSED', () => readSecretFile(link))
  })

  it('refuses a folder and a missing file', () => {
    expectCode('SECRET_FILE_MALFORMED', () => readSecretFile(folder))
    expectCode('SECRET_FILE_UNREADABLE', () => readSecretFile(join(folder, 'none')))
  })

  it('prints a mark wherever a secret would be printed', () => {
    const secret = new Secret('hunter2')
    const lines: string[] = []
    createLog('info', { write: (line) => lines.push(line) }).info(
      { secret, deep: { list: [secret] }, token: 'hunter2' },
      String(secret),
    )
    const printed = [String(secret), JSON.stringify({ secret }), inspect({ secret }, { showHidden: true }), ...lines]
    for (const text of printed) {
      expect(text).to.include(SECRET_MARK)
      expect(text).not.to.include('hunter2')
    }
  })
})
