// A token in a process of its own: SoftHSM, loaded there or behind p11-kit's server, and what happens when either goes away.
import { createHash, createVerify, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { closeSync, cpSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { publicKeyOfPoint } from '../../src/pkcs11/public-point.ts'
import { DEFAULT_TIMEOUT_MS } from '../../src/holder/connection.ts'
import { LONGEST_ANSWER_MS, Token, type TokenOptions, type TokenState } from '../../src/pkcs11/token.ts'
import { parseTokenUri } from '../../src/pkcs11/uri.ts'
import { bundledScript } from '../support/bundled-script.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { FaultyModule } from '../support/faulty-module.ts'
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
  let reasons: (string | undefined)[]
  let pin: string

  before(async function () {
    requirePeers(this, 'softhsm')
    script = await bundledScript(SCRIPT)
  })
  beforeEach(() => {
    scope = new Scope()
    hsm = SoftHsm.make(scope)
    states = []
    reasons = []
    pin = PIN
  })
  afterEach(() => scope.close())

  const open = (setting: TokenSetting = hsm.setting, o: Partial<TokenOptions> = {}): Token => {
    const token = new Token({
      uri: parseTokenUri(setting.uri),
      module: setting.module,
      environment: setting.environment,
      timeLimitMs: 10_000,
      readPin: () => Buffer.from(pin),
      onState: (state, why) => {
        states.push(state)
        reasons.push(why)
      },
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
    const serial = await token.serial()
    const publicKey = publicKeyOfPoint(await token.generate({ keyId: id, label: 'test key', serial }))!
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
    expect(await token.destroy(id)).to.equal(true)
    expect(hsm.look(['--login', '--pin', PIN, '--list-objects'])).to.not.match(/EC/)
    expect(await token.destroy(id)).to.equal(false)
    await expectCodeAsync('CUSTODY_KEY_MISSING', () => token.sign(id, HASH))
    expect(token.state).to.equal('ready')
  })

  it('answers many callers one after the other', async () => {
    const module = new FaultyModule(scope)
    const token = open({ ...hsm.setting, module: module.path })
    const { check } = await makeKey(token)
    await Promise.all(Array.from({ length: 50 }, check))
    expect([module.calls('C_Login'), module.calls('C_SignInit')]).to.deep.equal([1, 51])
  })

  it('finds its keys when slots have changed their order', async () => {
    const token = open()
    const { id, check } = await makeKey(token)
    const labels = (): string[] =>
      [...hsm.look(['--list-slots']).matchAll(/token label +: (.*)/g)].map(([, l = '']) => l)
    expect(labels()[0]).to.equal(TOKEN_LABEL)
    // SoftHSM orders slots by numbers that it makes of serial numbers, which are random.
    for (let n = 0; labels()[0] === TOKEN_LABEL; n++) hsm.addToken(`another ${n}`)
    const other = open()
    expect(publicKeyOfPoint(await other.point(id))).to.not.equal(undefined)
    await check()
  })

  it('CUSTODY_UNAVAILABLE: two tokens with one label, unless a serial number tells them apart', async () => {
    const serialOf = async (): Promise<string> => {
      const token = open()
      const serial = await token.serial()
      token.close()
      return serial
    }
    const serial = await serialOf()
    hsm.addToken(TOKEN_LABEL)
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => open().point(randomBytes(16)))
    const token = open({ ...hsm.setting, uri: `${TOKEN_URI};serial=${serial}` })
    expect(await token.serial()).to.equal(serial)
    await makeKey(token)
  })

  it('neither makes nor destroys keys in another token with the same label: CUSTODY_KEY_MISSING', async () => {
    const token = open()
    const { id, check } = await makeKey(token)
    const o = { keyId: randomBytes(16), label: 'test key', serial: 'another' }
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => token.generate(o))
    await waitFor('the pause', () =>
      expectCodeAsync('CUSTODY_KEY_MISSING', () => token.destroy(id, 'another')).then(() => true),
    )
    await check()
    expect(hsm.privateKeys()).to.have.length(1)
  })

  describe('whose PIN', () => {
    let module: FaultyModule
    let token: Token
    beforeEach(() => {
      module = new FaultyModule(scope)
      token = open({ ...hsm.setting, module: module.path }, { timeLimitMs: 1_000 })
    })
    /** Past every pause. */
    const askAgain = async (code: string): Promise<void> => {
      const later = performance.now() + 350
      do {
        await expectCodeAsync(code, () => token.point(randomBytes(16)))
        await new Promise((resolve) => setTimeout(resolve, 60))
      } while (performance.now() < later)
    }

    it('is wrong: it is tried once, until it is another one. CUSTODY_PIN_INCORRECT', async () => {
      pin = 'wrong'
      await askAgain('CUSTODY_PIN_INCORRECT')
      expect([states, module.calls('C_Login')]).to.deep.equal([['CUSTODY_PIN_INCORRECT'], 1])
      expect(hsm.look(['--list-slots'])).to.match(/user PIN count low/)
      pin = PIN
      await waitFor('the token', () => makeKey(token))
      expect([states, module.calls('C_Login')]).to.deep.equal([['CUSTODY_PIN_INCORRECT', 'ready'], 2])
    })

    for (const [answer, code] of [
      ['CKR_GENERAL_ERROR', 'CUSTODY_PIN_INCORRECT'],
      ['CKR_PIN_LOCKED', 'CUSTODY_PIN_LOCKED'],
      ['hang', 'CUSTODY_PIN_INCORRECT'],
      ['crash', 'CUSTODY_PIN_INCORRECT'],
    ] as const) {
      it(`is answered with ${answer}: it is not tried again, since it may have been judged. ${code}`, async () => {
        module.fault('C_Login', answer)
        await askAgain(code)
        module.heal('C_Login')
        await askAgain(code)
        expect([states, module.calls('C_Login')]).to.deep.equal([[code], 1])
      })
    }

    it('was not judged, since the session had gone: it is tried again, and the third time only if it is another one', async () => {
      for (const answer of ['CKR_DEVICE_REMOVED', 'CKR_SESSION_HANDLE_INVALID'] as const) {
        module.fault('C_Login', answer)
        await expectCodeAsync('CUSTODY_UNAVAILABLE', () => token.point(randomBytes(16)))
        module.heal('C_Login')
        await waitFor('the token', () => token.serial())
        token.close()
        token = open({ ...hsm.setting, module: module.path })
      }
      expect(module.calls('C_Login')).to.equal(4)
      module.fault('C_Login', 'CKR_DEVICE_REMOVED')
      await waitFor('the refusal', () =>
        expectCodeAsync('CUSTODY_PIN_INCORRECT', () => token.serial()).then(() => true),
      )
      await askAgain('CUSTODY_PIN_INCORRECT')
      expect(module.calls('C_Login')).to.equal(6)
    })

    it('is not needed, since somebody who shares the session has logged in already', async () => {
      module.fault('C_Login', 'CKR_USER_ALREADY_LOGGED_IN', true)
      await makeKey(token)
      expect([states, module.calls('C_Login')]).to.deep.equal([['ready'], 1])
    })
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

  it('CUSTODY_UNAVAILABLE: a module that does not answer is ended after its time, nobody waits longer, and a later call begins anew', async () => {
    const module = new FaultyModule(scope)
    const token = open({ ...hsm.setting, module: module.path }, { timeLimitMs: 800, longestTurnMs: 300 })
    const { check } = await makeKey(token)
    module.fault('C_SignInit', 'hang')
    const begun = performance.now()
    const calls = [check(), check()].map((call) => call.catch((error: unknown) => String(error)))
    const [first, second] = await Promise.all(calls)
    expect(performance.now() - begun).to.be.within(700, 5_000)
    expect(first).to.match(/no answer within 0.8 s/)
    expect(second).to.match(/other calls have taken too long/)
    module.heal('C_SignInit')
    await waitFor('the token', () => check().then(() => true))
    expect(module.calls('C_Login')).to.equal(2)
    // Where everything takes as long as it may, the daemon still hears of it.
    expect(LONGEST_ANSWER_MS).to.be.lessThan(DEFAULT_TIMEOUT_MS)
  })

  for (const code of ['EMFILE', 'E2BIG'] as const) {
    it(`CUSTODY_UNAVAILABLE: ${code}, where no process can be started`, async () => {
      const token = open({ ...hsm.setting, environment: code === 'E2BIG' ? { BIG: 'x'.repeat(500_000) } : {} })
      const restore = code === 'EMFILE' ? useUpFiles() : () => undefined
      try {
        await expectCodeAsync('CUSTODY_UNAVAILABLE', () => token.point(randomBytes(16)))
        // Nobody waits for the answer of a probe: what it throws would end the process.
        await token.probe()
      } finally {
        restore()
      }
      expect(states).to.deep.equal(['CUSTODY_UNAVAILABLE'])
      expect(reasons.at(-1)).to.include(code)
    })
  }

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

/** Leaves this process without a file that it could open, until the answer is called. */
function useUpFiles(): () => void {
  const limit = (files: string): void => {
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${files}`])
  }
  const before = execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '--output', 'SOFT', '--noheadings'])
  limit(`${readdirSync('/proc/self/fd').length + 50}:`)
  const files: number[] = []
  for (;;) {
    try {
      files.push(openSync('/dev/null', 'r'))
    } catch {
      break
    }
  }
  return () => {
    for (const file of files) closeSync(file)
    limit(`${before.toString().trim()}:`)
  }
}
