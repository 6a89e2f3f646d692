import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { writeFirstToken } from '../../src/app/first-token.ts'
import type { TokenService } from '../../src/service/services.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const secret = `cs_${'a'.repeat(43)}`
type First = Awaited<ReturnType<TokenService['createFirst']>>
const made = { secret, token: {} } as First

describe('the first token', () => {
  let folder: string
  let file: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cs-token-'))
    file = join(folder, 'admin.token')
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  it('is written for its owner alone', async () => {
    expect(await writeFirstToken({ createFirst: () => Promise.resolve(made) }, file)).to.equal(true)
    expect(readFileSync(file, 'utf8')).to.equal(`${secret}\n`)
    expect(statSync(file).mode & 0o777).to.equal(0o600)
  })

  it('leaves no file where there is a token already', async () => {
    expect(await writeFirstToken({ createFirst: () => Promise.resolve(undefined) }, file)).to.equal(false)
    expect(existsSync(file)).to.equal(false)
  })

  it('leaves no file where it cannot be recorded, so that it can be tried again', async () => {
    const createFirst = () => Promise.reject(new KeyHolderError('KEY_HOLDER_UNREACHABLE', ''))
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => writeFirstToken({ createFirst }, file))
    expect(existsSync(file)).to.equal(false)
  })

  it('is not made where its file could not keep it', async () => {
    writeFileSync(file, 'mine')
    let asked = 0
    const createFirst = () => {
      asked += 1
      return Promise.resolve(made)
    }
    const outcome = await writeFirstToken({ createFirst }, file).catch(
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    )
    expect([outcome, asked, readFileSync(file, 'utf8')]).to.deep.equal(['EEXIST', 0, 'mine'])
  })
})
