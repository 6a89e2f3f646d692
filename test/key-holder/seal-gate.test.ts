// The gate and what it opens, without sockets between: when tokens are looked for, what a seal lets begin, and that everything is closed.
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { StateDatabase } from '../../src/key-holder/database.ts'
import { databasePath, openFolder } from '../../src/key-holder/folder.ts'
import { silentLog, type ProcessLog } from '../../src/key-holder/holder-log.ts'
import { readLimits } from '../../src/key-holder/limits.ts'
import { startKeyHolder } from '../../src/key-holder/main.ts'
import { openHolder, type OpeningParts } from '../../src/key-holder/open-holder.ts'
import { SealGate } from '../../src/key-holder/seal-gate.ts'
import { chooseUnlockKey } from '../../src/key-holder/settings.ts'
import { newStretching } from '../../src/key-holder/unlock.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, initialization, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { TOKEN_URI } from '../support/softhsm.ts'

describe('the gate of a key holder', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let parts: OpeningParts
  let key: Buffer
  let failures: unknown[]

  beforeEach(() => {
    scope = new Scope()
    holder = new TestKeyHolder(scope)
    failures = []
  })
  afterEach(() => scope.close())

  const prepare = (): void => {
    const database = StateDatabase.open(databasePath(holder.folder), openFolder(holder.folder))
    scope.add(() => {
      database.close()
    })
    key = randomBytes(32)
    chooseUnlockKey(database, key, newStretching())
    parts = {
      config: holder.config,
      sources: {},
      database,
      limits: readLimits(holder.config.limitsFile),
      processLog: { ...silentLog, error: ({ error }: { error?: unknown }) => failures.push(error) },
      identity: { uid: 0, pid: 1, version: '0.0.0', startedAt: holder.now.toISOString() },
      now: () => holder.now,
      step: () => undefined,
    }
  }

  it('tries no PIN at a start that cannot listen: whatever starts it again and again would lock the token', async () => {
    // Whoever tries a PIN reads it first, and says so where it cannot.
    const tries: unknown[] = []
    const log: ProcessLog = { ...silentLog, warn: ({ code }: { code?: unknown }) => tries.push(code) }
    const token = { uri: TOKEN_URI, module: '/nowhere', environment: {}, timeLimitSeconds: 1 }
    const tokens = [{ ...token, pinFile: join(holder.folder, '..', 'no-pin') }]
    const start = () => startKeyHolder({ ...holder.config, tokens }, { log })
    mkdirSync(join(holder.config.serviceSocket, '..'), { mode: 0o700 })
    const somebody = createServer().listen(holder.config.serviceSocket)
    scope.add(() => {
      somebody.close()
    })
    await new Promise((resolve) => somebody.once('listening', resolve))
    await expectCodeAsync('KEY_HOLDER_ALREADY_RUNNING', start)
    expect(tries).to.deep.equal([])
    await new Promise((resolve) => somebody.close(resolve))

    const running = await start()
    await running.close()
    expect(tries).to.deep.equal(['CUSTODY_PIN_UNREADABLE'])
  })

  it('KEY_HOLDER_SEALED: finishes what has begun when it is sealed, and lets nothing begin that waits', async () => {
    prepare()
    const gate = new SealGate(parts)
    await gate.open(key)
    const frame = (id: number, operation: string, request: object) => ({
      id,
      operation,
      request,
      attachments: new Map<string, Uint8Array>(),
    })
    const request = initialization('registry.example.com/team/app')
    const [begun, waiting, sealing] = await Promise.all([
      gate.answer('service', frame(1, 'initialize-repository', request)),
      gate.answer('service', frame(2, 'initialize-repository', request)),
      gate.answer('operator', frame(3, 'seal', { reason: 'incident', evidence: EVIDENCE })),
    ])
    const codes = [begun, waiting, sealing].map((answer) => ('error' in answer ? answer.error.code : 'answered'))
    expect(codes).to.deep.equal(['answered', 'KEY_HOLDER_SEALED', 'answered'])
    expect(key.equals(Buffer.alloc(32))).to.equal(true)
    const kinds = holder.log().map(({ kind }) => kind)
    const after = kinds.slice(kinds.indexOf('key-holder-sealed'))
    expect(kinds.filter((kind) => kind === 'repository-initialized')).to.have.length(1)
    expect(after).to.include('refused')
    expect(failures).to.deep.equal([])
  })

  it('drops the unlock key also where something else cannot be closed, and says so', async () => {
    prepare()
    const open = await openHolder(parts, key, [])
    // What is to be removed there is a file.
    mkdirSync(join(holder.folder, 'backup.db'))
    const failure = await open.close().then(
      () => undefined,
      (error: unknown) => error as { code?: unknown },
    )
    expect(failure?.code).to.equal('ERR_FS_EISDIR')
    expect(key.equals(Buffer.alloc(32))).to.equal(true)
  })

  it('drops the unlock key also where it cannot be opened', async () => {
    prepare()
    mkdirSync(join(holder.folder, 'backup.db'))
    const failure = await openHolder(parts, key, []).catch((error: unknown) => error as { code?: unknown })
    expect(failure).to.include({ code: 'ERR_FS_EISDIR' })
    expect(key.equals(Buffer.alloc(32))).to.equal(true)
  })
})
