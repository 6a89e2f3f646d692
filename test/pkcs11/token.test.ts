// A token in a process of its own: SoftHSM, loaded there or behind p11-kit's server, and what happens when either goes away.
import { createHash, createVerify, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { publicKeyOfPoint } from '../../src/pkcs11/public-point.ts'
import { Token, type TokenOptions, type TokenState } from '../../src/pkcs11/token.ts'
import { parseTokenUri } from '../../src/pkcs11/uri.ts'
import { bundledScript } from '../support/bundled-script.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { PIN, SoftHsm, TOKEN_LABEL, TOKEN_URI, type TokenSetting } from '../support/softhsm.ts'

const SCRIPT = join(import.meta.dirname, '../../src/pkcs11/token-process.ts')
const MESSAGE = Buffer.from('what is signed')
const HASH = createHash('sha256').update(MESSAGE).digest()

describe('a PKCS#11 token', function () {
  this.timeout(40_000)
  let scope: Scope
  let hsm: SoftHsm
  let script: string
  let states: TokenState[]
  /** How often the PIN was read: as often as it may have been tried. */
  let reads: number
  let pin: string

  before(async function () {
    requirePeers(this, 'softhsm')
    script = await bundledScript(SCRIPT)
  })
  beforeEach(() => {
    scope = new Scope()
    hsm = SoftHsm.make(scope)
    states = []
    reads = 0
    pin = PIN
  })
  afterEach(() => scope.close())

  const open = (setting: TokenSetting = hsm.setting, o: Partial<TokenOptions> = {}): Token => {
    const token = new Token({
      uri: parseTokenUri(setting.uri),
      module: setting.module,
      environment: setting.environment,
      timeLimitMs: 10_000,
      readPin: () => {
        reads++
        return Buffer.from(pin)
      },
      onState: (state) => states.push(state),
      script,
      ...o,
    })
    scope.add(() => {
      token.close()
    })
    return token
  }

  /** A key, and that it signs. */
  const makeKey = async (token: Token): Promise<{ id: Buffer; check: () => Promise<void> }> => {
    const id = randomBytes(16)
    const publicKey = publicKeyOfPoint(await token.generate(id, 'test key'))!
    const check = async (): Promise<void> => {
      const signature = await token.sign(id, HASH)
      expect(signature).to.have.length(64)
      const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
      expect(createVerify('sha256').update(MESSAGE).verify(key, signature)).to.equal(true)
    }
    await check()
    return { id, check }
  }

  it('makes keys that sign and cannot be taken out, as another program sees them', async () => {
    const token = open()
    const { id } = await makeKey(token)
    expect(states).to.deep.equal(['ready'])
    expect(publicKeyOfPoint(await token.point(id))).to.not.equal(undefined)
    const seen = hsm.look(['--login', '--pin', PIN, '--list-objects', '--type', 'privkey'])
    expect(seen).to.match(/EC/)
    expect(seen).to.match(/Access: +sensitive, always sensitive, never extractable, local/)
    await token.destroy(id)
    expect(hsm.privateKeys()).to.deep.equal([])
    await token.destroy(id)
    await expectCodeAsync('CUSTODY_KEY_MISSING', () => token.sign(id, HASH))
    expect(token.state).to.equal('ready')
  })

  it('answers many callers one after the other', async () => {
    const token = open()
    const { check } = await makeKey(token)
    await Promise.all(Array.from({ length: 50 }, check))
    expect(reads).to.equal(1)
  })

  it('finds its keys when slots have changed their order', async () => {
    const token = open()
    const { id, check } = await makeKey(token)
    hsm.addToken('another one')
    hsm.addToken('and another')
    const other = open()
    expect(publicKeyOfPoint(await other.point(id))).to.not.equal(undefined)
    await check()
  })

  it('CUSTODY_UNAVAILABLE: two tokens with one label, unless a serial number tells them apart', async () => {
    hsm.addToken(TOKEN_LABEL)
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => open().point(randomBytes(16)))
    const [, serial = ''] = /serial num +: +(\S+)/.exec(hsm.look(['--list-slots'])) ?? []
    await makeKey(open({ ...hsm.setting, uri: `${TOKEN_URI};serial=${serial}` }))
  })

  it('CUSTODY_PIN_INCORRECT: a wrong PIN is tried once, until it is another one', async () => {
    pin = 'wrong'
    const token = open()
    for (let n = 0; n < 3; n++) await expectCodeAsync('CUSTODY_PIN_INCORRECT', () => token.point(randomBytes(16)))
    expect(states).to.deep.equal(['CUSTODY_PIN_INCORRECT'])
    // After the pause it is read again, and not tried.
    await new Promise((resolve) => setTimeout(resolve, 150))
    await expectCodeAsync('CUSTODY_PIN_INCORRECT', () => token.point(randomBytes(16)))
    expect(reads).to.equal(2)
    expect(hsm.look(['--list-slots'])).to.match(/user PIN count low/)
    pin = PIN
    await waitFor('the token', () => makeKey(token))
    expect(states).to.deep.equal(['CUSTODY_PIN_INCORRECT', 'ready'])
  })

  it('CUSTODY_UNAVAILABLE: a token that is taken away, and is used again when it comes back', async () => {
    const token = open()
    const { check } = await makeKey(token)
    hsm.remove()
    await expectCodeAsync('CUSTODY_UNAVAILABLE', check)
    expect(token.state).to.equal('CUSTODY_UNAVAILABLE')
    hsm.bringBack()
    await waitFor('the token', () => check().then(() => true))
    expect(states).to.deep.equal(['ready', 'CUSTODY_UNAVAILABLE', 'ready'])
  })

  it('goes on by itself when p11-kit’s server was killed and is there again', async () => {
    await hsm.startServer()
    const token = open(hsm.remoteSetting)
    const { check } = await makeKey(token)
    // Nobody notices a server that was away between two calls.
    hsm.stopServer()
    await hsm.startServer()
    await check()
    expect(states).to.deep.equal(['ready'])
    hsm.stopServer()
    await expectCodeAsync('CUSTODY_UNAVAILABLE', check)
    await expectCodeAsync('CUSTODY_UNAVAILABLE', check)
    await hsm.startServer()
    await waitFor('the token', () => check().then(() => true))
    expect(states).to.deep.equal(['ready', 'CUSTODY_UNAVAILABLE', 'ready'])
  })

  it('CUSTODY_UNAVAILABLE: a module that does not answer is ended after its time, and the next call begins anew', async () => {
    const module = hangingModule(scope)
    const token = open({ ...hsm.setting, module }, { timeLimitMs: 1_000 })
    const begun = performance.now()
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => token.point(randomBytes(16)))
    expect(performance.now() - begun).to.be.within(900, 5_000)
  })

  it('CUSTODY_UNAVAILABLE: a module that crashes takes nobody along, nor one that is not there, nor one that is none', async () => {
    const none = join(scope.folder(), 'none.so')
    for (const module of [hangingModule(scope, '*(volatile int *)0 = 1;'), none, '/etc/hostname']) {
      await expectCodeAsync('CUSTODY_UNAVAILABLE', () => open({ ...hsm.setting, module }).point(randomBytes(16)))
    }
  })

  it('CUSTODY_NOT_INSTALLED: an installation without pkcs11js', async () => {
    const folder = join(scope.folder(), 'dist')
    mkdirSync(folder)
    cpSync(join(script, '..'), folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    const token = open(hsm.setting, { script: join(folder, 'token-process.js') })
    await expectCodeAsync('CUSTODY_NOT_INSTALLED', () => token.point(randomBytes(16)))
    expect(token.state).to.equal('CUSTODY_NOT_INSTALLED')
  })

  it('CUSTODY_UNAVAILABLE: more callers than can wait, and whoever waits when it is closed', async () => {
    const token = open({ ...hsm.setting, module: hangingModule(scope) })
    const waiting = Array.from({ length: 256 }, () => token.point(randomBytes(16)).catch((error: unknown) => error))
    await expectCodeAsync('CUSTODY_UNAVAILABLE', async () => token.point(randomBytes(16)))
    token.close()
    for (const answer of await Promise.all(waiting)) expect(answer).to.include({ code: 'CUSTODY_UNAVAILABLE' })
  })
})

/** A module whose first function does something else than return. */
function hangingModule(scope: Scope, statement = 'for (;;) pause();'): string {
  const folder = scope.folder()
  const source = join(folder, 'module.c')
  writeFileSync(
    source,
    `#include <unistd.h>\nint C_GetFunctionList(void **list) { (void)list; ${statement} return 0; }\n`,
  )
  const module = join(folder, 'module.so')
  execFileSync('cc', ['-shared', '-fPIC', '-O0', '-o', module, source])
  return module
}
