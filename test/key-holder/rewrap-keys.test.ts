// The unlock key is changed while the key holder runs: every key goes under the new one or none, whatever fails and whenever it dies.
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import { silentLog } from '../../src/key-holder/holder-log.ts'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import type { OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, initialization, put, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { opened, sealedKeys, wrappingsLeft } from '../support/sealed-keys.ts'
import { secretForms } from '../support/secret-forms.ts'

const REQUEST = { reason: 'yearly', evidence: EVIDENCE }

describe('changing the unlock key', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  async function rewrap(): Promise<OperationResponse<'rewrap-keys'>> {
    return (await holder.operator.call('rewrap-keys', REQUEST)).response
  }

  /** A new file where the configuration names the next one, and what it holds. */
  function makeNext(): Buffer {
    createUnlockKeyFile(holder.nextUnlockKeyFile)
    return readFileSync(holder.nextUnlockKeyFile)
  }

  /** Every key opens with this unlock key, and none with the others. */
  function expectSealedUnder(unlockKey: Buffer, ...others: readonly Buffer[]): void {
    for (const key of sealedKeys(scope, holder)) {
      opened(key, unlockKey).fill(0)
      for (const other of others) expectCode('KEY_FILE_DAMAGED', () => opened(key, other))
    }
  }

  /** Signs with old keys and with one that is made now, before and after a new start. */
  async function expectWorking(tag: string): Promise<void> {
    await repository.sign([put(`${tag}-running`)])
    await holder.service.call('initialize-repository', initialization(`registry.example.com/team/${tag}`))
    await holder.stop()
    await holder.start()
    await repository.sign([put(`${tag}-started`)])
    expect(repository.tags(RELEASES)).to.include.members([`${tag}-running`, `${tag}-started`])
  }

  const records = () => holder.log().filter(({ kind }) => kind === 'keys-rewrapped')

  describe('to the one that the configuration names as the next', () => {
    it('puts every key under it; the old one opens nothing, and nothing of what it opened is left in the files', async () => {
      const old = readFileSync(holder.unlockKeyFile)
      await holder.trustServer.call('server-key', {
        gun: 'registry.example.com/team/served',
        role: 'timestamp',
        rotate: false,
        evidence: EVIDENCE,
      })
      const before = sealedKeys(scope, holder)
      expect(before.map(({ role }) => role)).to.have.members([
        'root',
        'targets',
        'targets/countersign',
        'timestamp',
        'audit-log',
      ])
      expect(wrappingsLeft(holder, before)).to.equal(before.length)
      const next = makeNext()
      expect(await rewrap()).to.deep.equal({
        keys: before.length - 1,
        from: { kind: 'key-file', path: holder.unlockKeyFile },
        to: { kind: 'key-file', path: holder.nextUnlockKeyFile },
      })
      expect(wrappingsLeft(holder, before)).to.equal(0)
      expectSealedUnder(next, old)
      const after = sealedKeys(scope, holder)
      for (const [index, key] of before.entries()) {
        expect({ ...after[index], sealed: opened(after[index]!, next) }).to.deep.equal({
          ...key,
          sealed: opened(key, old),
        })
      }
      await expectWorking('changed')
      expectSealedUnder(next, old)
    })

    it('is recorded, without a word of either key', async () => {
      const old = readFileSync(holder.unlockKeyFile)
      const next = makeNext()
      await rewrap()
      expect(records()).to.deep.equal([
        {
          v: 1,
          at: holder.now.toISOString(),
          kind: 'keys-rewrapped',
          by: 'operator',
          keys: 3,
          from: 'key-file',
          to: 'key-file',
          ...REQUEST,
        },
      ])
      await holder.stop()
      const places = [readFileSync(join(holder.folder, 'key-holder.db')), Buffer.from(JSON.stringify(holder.log()))]
      for (const [form, bytes] of [...secretForms('old', old), ...secretForms('next', next)]) {
        expect(
          places.some((place) => place.includes(bytes)),
          form,
        ).to.equal(false)
      }
    })

    it('leaves retired keys as they are, and what stands beside the keys', async () => {
      const { gun } = repository
      await repository.sign([put('1.0')])
      const staging = { gun, role: 'targets/countersign', reason: 'yearly', evidence: EVIDENCE }
      const { replaces } = (await holder.operator.call('stage-key', staging)).response
      const files = repository.files()
      const request = { publication: 'replace', gun, files: [...files.keys()], evidence: EVIDENCE }
      repository.publish((await holder.service.call('replace-keys', request, files)).attachments)
      await repository.observe()
      await holder.operator.call('retire-key', { gun, canonicalKeyId: replaces, reason: 'yearly', evidence: EVIDENCE })
      const keys = () =>
        holder.database((database) =>
          database.prepare<[], { sealed: Buffer; state: string }>('SELECT rowid, * FROM keys').all(),
        )
      await holder.stop()
      const before = keys()
      await holder.start()
      makeNext()
      expect(await rewrap()).to.include({ keys: 3 })
      await holder.stop()
      const changed = keys()
      const withoutSealed = (rows: typeof before) => rows.map((row) => ({ ...row, sealed: row.sealed.byteLength }))
      expect(withoutSealed(changed)).to.deep.equal(withoutSealed(before))
      const retired = changed.filter(({ state }) => state === 'retired')
      expect(retired.map(({ sealed }) => sealed.every((byte) => byte === 0))).to.deep.equal([true])
      await holder.start()
      await expectWorking('retired')
    })

    it('may be repeated with another new key, once the files are in their places', async () => {
      const first = makeNext()
      await rewrap()
      renameSync(holder.nextUnlockKeyFile, holder.unlockKeyFile)
      const second = makeNext()
      await rewrap()
      expectSealedUnder(second, first)
      await expectWorking('twice')
    })
  })

  describe('from and to a passphrase', () => {
    it('takes it with a salt of its own, and tells the same passphrase again', async () => {
      const folder = scope.folder()
      const passphrase = (name: string, text: string) => {
        const path = join(folder, name)
        writeFileSync(path, text, { mode: 0o600 })
        return { kind: 'passphrase-file', path } as const
      }
      const one = passphrase('one', 'correct horse battery staple\n')
      const again = passphrase('again', 'correct horse battery staple')
      const other = passphrase('other', 'entirely another passphrase')
      /** A key holder with these unlock keys in the place of the one before. */
      const restart = async (unlock = holder.config.unlock, nextUnlock = one): Promise<void> => {
        await holder.stop()
        await holder.start({}, { ...holder.config, unlock, nextUnlock })
      }
      const salt = () =>
        holder.database(
          (database) =>
            database.prepare<[], { value: Buffer }>(`SELECT value FROM settings WHERE name = 'stretching-salt'`).get()!
              .value,
        )
      await restart()
      expect(await rewrap()).to.deep.include({ to: one })
      await restart(one, again)
      await expectCodeAsync('UNLOCK_KEY_NEXT_IS_CURRENT', rewrap)
      await holder.stop()
      const first = salt()
      await restart(one, other)
      expect(await rewrap()).to.deep.include({ keys: 3, from: one, to: other })
      await holder.stop()
      expect(salt().equals(first)).to.equal(false)
      await expectCodeAsync('UNLOCK_KEY_WRONG', () => restart(one, again))
      await expectCodeAsync('UNLOCK_KEY_WRONG', () => restart(holder.config.unlock, one))
      await restart(other)
      await repository.sign([put('1.0')])
    }).timeout(120_000)
  })

  describe('is followed by a start', () => {
    it('with the files as they were, which says that the next one is in use', async () => {
      const warnings: string[] = []
      const log = {
        ...silentLog,
        warn: (facts: object, message: string) => warnings.push(JSON.stringify(facts) + message),
      }
      await holder.stop()
      await holder.start({ log })
      expect(warnings).to.deep.equal([])
      makeNext()
      await rewrap()
      await holder.stop()
      await holder.start({ log })
      expect(warnings).to.have.length(1)
      expect(warnings[0]).to.include(holder.nextUnlockKeyFile)
      await expectWorking('unchanged')
    })

    it('with the new file in the place of the old one', async () => {
      makeNext()
      await rewrap()
      await holder.stop()
      renameSync(holder.nextUnlockKeyFile, holder.unlockKeyFile)
      await holder.start()
      await expectWorking('swapped')
    })

    it('without the old file', async () => {
      makeNext()
      await rewrap()
      await holder.stop()
      rmSync(holder.unlockKeyFile)
      await holder.start()
      await expectWorking('removed')
    })

    it('UNLOCK_KEY_WRONG: with the old file alone', async () => {
      const next = makeNext()
      await rewrap()
      await holder.stop()
      rmSync(holder.nextUnlockKeyFile)
      const { facts } = await expectCodeAsync('UNLOCK_KEY_WRONG', () => holder.start())
      expect(facts).to.include({ next: 'UNLOCK_KEY_UNREADABLE' })
      writeFileSync(holder.nextUnlockKeyFile, next.reverse(), { mode: 0o600 })
      await expectCodeAsync('UNLOCK_KEY_WRONG', () => holder.start())
      writeFileSync(holder.nextUnlockKeyFile, next.reverse())
      await holder.start()
    })

    it('UNLOCK_KEY_EXPOSED: with an old file that others can read, although it opens nothing', async () => {
      makeNext()
      await rewrap()
      await holder.stop()
      chmodSync(holder.unlockKeyFile, 0o644)
      await expectCodeAsync('UNLOCK_KEY_EXPOSED', () => holder.start())
    })

    it('UNLOCK_KEY_WRONG: with a new file that others can read, which is said, too', async () => {
      makeNext()
      await rewrap()
      await holder.stop()
      chmodSync(holder.nextUnlockKeyFile, 0o644)
      const { facts } = await expectCodeAsync('UNLOCK_KEY_WRONG', () => holder.start())
      expect(facts).to.include({ next: 'UNLOCK_KEY_EXPOSED' })
    })
  })

  describe('is refused', () => {
    /** Nothing is changed, and nothing is half done: the old unlock key is in use, also for keys that are made afterwards. */
    async function expectRefused(code: string, work: () => Promise<unknown> = rewrap): Promise<void> {
      const old = readFileSync(holder.unlockKeyFile)
      const before = sealedKeys(scope, holder)
      await expectCodeAsync(code, work)
      expect(sealedKeys(scope, holder)).to.deep.equal(before)
      expect(records()).to.deep.equal([])
      await holder.service.call('initialize-repository', initialization(`registry.example.com/team/${before.length}`))
      expectSealedUnder(old)
    }

    it('UNLOCK_KEY_NEXT_NOT_CONFIGURED: where the configuration names no next key', async () => {
      await holder.stop()
      const { nextUnlock, ...config } = holder.config
      expect(nextUnlock?.path).to.equal(holder.nextUnlockKeyFile)
      makeNext()
      await holder.start({}, config)
      await expectRefused('UNLOCK_KEY_NEXT_NOT_CONFIGURED')
    })

    it('UNLOCK_KEY_NEXT_IS_CURRENT: with the present key as the next one', async () => {
      copyFileSync(holder.unlockKeyFile, holder.nextUnlockKeyFile)
      await expectRefused('UNLOCK_KEY_NEXT_IS_CURRENT')
    })

    it('UNLOCK_KEY_NEXT_IS_CURRENT: the second time, where the first one was done', async () => {
      makeNext()
      await rewrap()
      await expectCodeAsync('UNLOCK_KEY_NEXT_IS_CURRENT', rewrap)
      expect(records()).to.have.length(1)
    })

    for (const [what, code, make] of [
      ['no file', 'UNLOCK_KEY_UNREADABLE', () => undefined],
      [
        'a file that is too short',
        'UNLOCK_KEY_UNREADABLE',
        (path: string) => {
          writeFileSync(path, 'x', { mode: 0o600 })
        },
      ],
      [
        'an empty file',
        'UNLOCK_KEY_UNREADABLE',
        (path: string) => {
          writeFileSync(path, '', { mode: 0o600 })
        },
      ],
      [
        'a folder',
        'UNLOCK_KEY_UNREADABLE',
        (path: string) => {
          symlinkSync('/', path)
        },
      ],
      [
        'a file that others can read',
        'UNLOCK_KEY_EXPOSED',
        (path: string) => {
          writeFileSync(path, 'x'.repeat(32))
        },
      ],
    ] as const) {
      it(`${code}: with ${what}`, async () => {
        make(holder.nextUnlockKeyFile)
        await expectRefused(code)
      })
    }

    it('UNLOCK_KEY_UNREADABLE: with a passphrase that is too short', async () => {
      await holder.stop()
      const nextUnlock = { kind: 'passphrase-file', path: holder.nextUnlockKeyFile } as const
      writeFileSync(nextUnlock.path, 'too short\n', { mode: 0o600 })
      await holder.start({}, { ...holder.config, nextUnlock })
      await expectRefused('UNLOCK_KEY_UNREADABLE')
    })

    it('OPERATION_NOT_ON_THIS_SOCKET: on every socket but the operator’s', async () => {
      makeNext()
      await expectRefused('OPERATION_NOT_ON_THIS_SOCKET', () => holder.service.call('rewrap-keys', REQUEST))
      await expectRefused('OPERATION_NOT_ON_THIS_SOCKET', () => holder.trustServer.call('rewrap-keys', REQUEST))
    })

    it('OPERATION_MALFORMED: without a reason, and with a key in the request', async () => {
      makeNext()
      const { reason, ...rest } = REQUEST
      const call = (request: object) => () => holder.operator.call('rewrap-keys', request as typeof REQUEST)
      await expectRefused('OPERATION_MALFORMED', call(rest))
      await expectRefused('OPERATION_MALFORMED', call({ ...rest, reason, unlockKey: 'ab'.repeat(32) }))
    })

    for (const [what, change] of [
      ['any key', `UPDATE keys SET sealed = randomblob(length(sealed)) WHERE role = 'targets'`],
      ['a key that took the place of another', `UPDATE keys SET sealed = (SELECT max(sealed) FROM keys)`],
      ['the key of the log', `UPDATE settings SET value = randomblob(length(value)) WHERE name = 'log-private-key'`],
    ] as const) {
      it(`KEY_FILE_DAMAGED: where ${what} does not open`, async () => {
        await holder.stop()
        holder.database((database) => {
          database.exec(
            `CREATE TRIGGER rot AFTER INSERT ON log_entries WHEN instr(new.entry, 'daemon-record') > 0 BEGIN ${change}; END`,
          )
        })
        await holder.start()
        await holder.service.call('append-record', { kind: 'rot', facts: {} })
        makeNext()
        const before = sealedKeys(scope, holder)
        await expectCodeAsync('KEY_FILE_DAMAGED', rewrap)
        expect(sealedKeys(scope, holder)).to.deep.equal(before)
        expect(records()).to.deep.equal([])
      })
    }

    for (const table of ['keys', 'settings', 'log_entries']) {
      it(`STATE_UNWRITABLE: where the database refuses a row of ${table}`, async () => {
        await holder.stop()
        const verb = table === 'settings' ? 'UPDATE' : 'INSERT'
        const when =
          table === 'log_entries' ? `instr(new.entry, 'keys-rewrapped') > 0` : `(SELECT active FROM fault) = 1`
        holder.database((database) => {
          database.exec(
            `CREATE TABLE fault (active INTEGER); INSERT INTO fault VALUES (0);
             CREATE TRIGGER arm AFTER DELETE ON keys BEGIN UPDATE fault SET active = 1; END;
             CREATE TRIGGER disk_full BEFORE ${verb} ON ${table} WHEN ${when} BEGIN SELECT RAISE(FAIL, 'disk full'); END;`,
          )
        })
        await holder.start()
        makeNext()
        await expectRefused('STATE_UNWRITABLE')
        await expectWorking('unwritable')
      })
    }
  })

  it('AUDIT_LOG_UNWRITABLE: after the commit: the new key is in use, and signing goes on when the log can be written', async () => {
    const old = readFileSync(holder.unlockKeyFile)
    const next = makeNext()
    const checkpoint = join(holder.folder, 'log/checkpoint')
    const saved = readFileSync(checkpoint)
    rmSync(checkpoint)
    mkdirSync(checkpoint)
    await expectCodeAsync('AUDIT_LOG_UNWRITABLE', rewrap)
    expectSealedUnder(next, old)
    rmdirSync(checkpoint)
    writeFileSync(checkpoint, saved)
    await expectWorking('unwritable-log')
    expectSealedUnder(next, old)
    expect(records()).to.have.length(1)
  })

  it('while keys are made: none is stored under an unlock key that is gone', async () => {
    const making = new AbortController()
    const made = Promise.all(
      ['rsa', 'ecdsa', 'rsa', 'ed25519'].map((keyType, index) =>
        holder.service.call('initialize-repository', {
          ...initialization(`registry.example.com/team/new-${index}`),
          keyType: keyType as 'rsa',
        }),
      ),
    ).finally(() => {
      making.abort()
    })
    const earlier: Buffer[] = [readFileSync(holder.unlockKeyFile)]
    let changes = 0
    for (; !making.signal.aborted; changes++) {
      const next = makeNext()
      expect((await rewrap()).keys).to.be.within(3, 15)
      renameSync(holder.nextUnlockKeyFile, holder.unlockKeyFile)
      earlier.push(next)
    }
    expect((await made).map(({ response }) => response.state)).to.deep.equal(['ready', 'ready', 'ready', 'ready'])
    // More than could all lie before or behind the making of the RSA keys.
    expect(changes).to.be.greaterThan(5)
    expectSealedUnder(...(earlier.reverse() as [Buffer, ...Buffer[]]))
    await expectWorking('made')
  }).timeout(60_000)

  it('while signatures are made: none fails, and all are in the log', async () => {
    const other = await HeldRepository.initialize(holder, 'registry.example.com/team/other')
    let isOver = false
    let signed = 0
    const signing = Promise.all(
      [repository, other].map(async (one) => {
        for (let tag = 0; !isOver; tag++) {
          await one.sign([put(`t${tag}`)])
          signed++
        }
      }),
    )
    const changes = 8
    for (let change = 0; change < changes; change++) {
      makeNext()
      const before = signed
      expect(await rewrap()).to.include({ keys: 6 })
      renameSync(holder.nextUnlockKeyFile, holder.unlockKeyFile)
      while (signed < before + 2) await Promise.race([signing, sleep(5)])
    }
    isOver = true
    await signing
    expect(holder.log().filter(({ kind }) => kind === 'targets-change')).to.have.length(signed)
    expect(records()).to.have.length(changes)
    await expectWorking('signed')
  }).timeout(60_000)

  it('twice at the same time: one after the other, and the second finds it done', async () => {
    const next = makeNext()
    const results = await Promise.allSettled([rewrap(), rewrap()])
    expect(results.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected'])
    expectSealedUnder(next)
  })

  const CRASHES: readonly (readonly [Step, isDone: boolean])[] = [
    ['checked', false],
    ['planned', false],
    ['committed', true],
    ['tiles-written', true],
    ['log-published', true],
    ['erased', true],
  ]
  for (const [step, isDone] of CRASHES) {
    it(`a crash at the step ${step}: the ${isDone ? 'new' : 'old'} unlock key is in use, and the same command ends it`, async () => {
      const old = readFileSync(holder.unlockKeyFile)
      const before = sealedKeys(scope, holder)
      const next = makeNext()
      await crashAt(holder, step, 1, rewrap)
      if (isDone) {
        expectSealedUnder(next, old)
        // Also what the crash left in the write-ahead log is gone after the start.
        expect(wrappingsLeft(holder, before)).to.equal(0)
        await expectCodeAsync('UNLOCK_KEY_NEXT_IS_CURRENT', rewrap)
      } else {
        expectSealedUnder(old, next)
        expect(records()).to.deep.equal([])
        await rewrap()
      }
      expect(records()).to.have.length(1)
      expectSealedUnder(next, old)
      await expectWorking(step)
    }).timeout(30_000)
  }
})
