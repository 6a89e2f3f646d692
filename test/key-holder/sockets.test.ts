// Who may open the sockets, what lies in their place, and what one caller can do to the others.
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { connect } from 'node:net'
import { expect } from 'chai'
import { silentLog } from '../../src/key-holder/holder-log.ts'
import { createUnlockKeyFile, startKeyHolder } from '../../src/key-holder/main.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, initialization, TestKeyHolder } from '../support/key-holder.ts'
import { exchange, rawFrame } from '../support/raw-frames.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'

describe('the sockets of the key holder', () => {
  let scope: Scope
  let holder: TestKeyHolder

  beforeEach(() => {
    scope = new Scope()
    holder = new TestKeyHolder(scope)
  })
  afterEach(() => scope.close())

  it('attack: Signer without authentication: have modes of their own, and go with the process', async () => {
    await holder.start()
    const { serviceSocket, operatorSocket, trustServerSocket = '' } = holder.config
    expect((statSync(trustServerSocket).mode & 0o777).toString(8)).to.equal('660')
    expect((statSync(serviceSocket).mode & 0o777).toString(8)).to.equal('660')
    expect((statSync(operatorSocket).mode & 0o777).toString(8)).to.equal('600')
    expect((statSync(dirname(serviceSocket)).mode & 0o777).toString(8)).to.equal('700')
    expect((statSync(holder.folder).mode & 0o777).toString(8)).to.equal('700')
    await holder.stop()
    expect(existsSync(serviceSocket)).to.equal(false)
    expect(existsSync(operatorSocket)).to.equal(false)
    expect(existsSync(trustServerSocket)).to.equal(false)
  })

  it('accept each operation on its own socket only', async () => {
    await holder.start()
    const record = { kind: 'hello', facts: {} }
    await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => holder.operator.call('append-record', record))
    const freeze = { gun: 'registry.example.com/team/app', reason: 'x', evidence: EVIDENCE }
    await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => holder.service.call('freeze', freeze))
    expect((await holder.operator.call('status', {})).response.uid).to.equal(process.getuid?.())
    expect(
      holder
        .log()
        .filter(({ kind }) => kind === 'refused')
        .map(({ by }) => by),
    ).to.deep.equal(['operator', 'service'])
  })

  it('keep the daemon and the trust server apart', async () => {
    await holder.start()
    const gun = 'registry.example.com/team/app'
    const key = { gun, role: 'snapshot', rotate: false, evidence: EVIDENCE } as const
    const permit = { gun, versions: 'go-on', reason: 'x', evidence: EVIDENCE } as const
    for (const [from, call] of [
      ['service', () => holder.service.call('server-key', key)],
      ['service', () => holder.service.call('serve-update', { gun, files: ['root'], evidence: EVIDENCE })],
      ['service', () => holder.service.call('serve-refresh', { gun, role: 'timestamp' })],
      ['service', () => holder.service.call('serve-state', { gun })],
      ['service', () => holder.service.call('serve-delete', { gun, evidence: EVIDENCE })],
      ['operator', () => holder.operator.call('server-key', key)],
      ['trust-server', () => holder.trustServer.call('permit-recreation', permit)],
      ['trust-server', () => holder.trustServer.call('initialize-repository', initialization(gun))],
      ['trust-server', () => holder.trustServer.call('export-public-key', { gun, role: 'targets' })],
      ['trust-server', () => holder.trustServer.call('append-record', { kind: 'hello', facts: {} })],
      ['trust-server', () => holder.trustServer.call('freeze', { gun, reason: 'x', evidence: EVIDENCE })],
    ] as const) {
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', call)
      expect(holder.log().at(-1)).to.include({ kind: 'refused', code: 'OPERATION_NOT_ON_THIS_SOCKET', by: from })
    }
    expect((await holder.trustServer.call('status', {})).response.sealed).to.equal(false)
  })

  it('are two where no trust server is configured', async () => {
    const { trustServerSocket = '', ...config } = holder.config
    const running = await startKeyHolder(config, { log: silentLog })
    expect([existsSync(config.serviceSocket), existsSync(trustServerSocket)]).to.deep.equal([true, false])
    await running.close()
  })

  it('replace a socket file that nobody answers on', async () => {
    await holder.start()
    await holder.stop()
    const { serviceSocket } = holder.config
    // What SIGKILL leaves: a bound socket file without a process behind it.
    const abandoned = createServer()
    await new Promise<void>((resolve) => abandoned.listen(`${serviceSocket}.tmp`, resolve))
    const { renameSync } = await import('node:fs')
    renameSync(`${serviceSocket}.tmp`, serviceSocket)
    await new Promise<void>((resolve) =>
      abandoned.close(() => {
        resolve()
      }),
    )
    expect(existsSync(serviceSocket)).to.equal(true)
    await holder.start()
    expect((await holder.service.call('status', {})).response.pid).to.equal(process.pid)
  })

  it('are not taken from somebody who answers', async () => {
    await holder.start()
    const other = new TestKeyHolder(scope)
    Object.assign(other, { config: { ...other.config, serviceSocket: holder.config.serviceSocket } })
    await expectCodeAsync('KEY_HOLDER_ALREADY_RUNNING', () => other.start())
    expect((await holder.service.call('status', {})).response.pid).to.equal(process.pid)
  })

  it('replace no other file', async () => {
    await holder.start()
    await holder.stop()
    writeFileSync(holder.config.serviceSocket, 'precious')
    await expectCodeAsync('KEY_HOLDER_CONFIG_INVALID', () => holder.start())
  })

  it('are not opened in a folder where anybody could replace them', async () => {
    await holder.start()
    await holder.stop()
    chmodSync(dirname(holder.config.serviceSocket), 0o777)
    await expectCodeAsync('KEY_HOLDER_FOLDER_EXPOSED', () => holder.start())
  })

  it('serve others while one sends slowly, and end the slow one', async () => {
    await holder.start({ connectionLimits: { frameTimeMs: 300 } })
    const slow = exchange(holder.config.serviceSocket, Buffer.from([0, 0, 1]))
    expect((await holder.service.call('status', {})).response.sealed).to.equal(false)
    const [answer] = await slow
    expect(answer?.error).to.deep.include({ code: 'FRAME_MALFORMED' })
    expect((await holder.service.call('status', {})).response.sealed).to.equal(false)
  })

  it('end callers who together hold too many bytes of unfinished frames', async () => {
    await holder.start({ connectionLimits: { maxBufferedBytes: 100_000, frameTimeMs: 5000 } })
    const unfinished = Buffer.concat([Buffer.from([0, 1, 0, 0]), Buffer.alloc(60_000)])
    const { serviceSocket } = holder.config
    const first = connect(serviceSocket)
    first.write(unfinished)
    const [answer] = await exchange(serviceSocket, unfinished)
    first.destroy()
    expect(answer?.error).to.deep.include({ code: 'KEY_HOLDER_BUSY' })
    const frame = rawFrame(JSON.stringify({ id: 3, operation: 'status', request: {}, attachments: [] }))
    const [next] = await exchange(serviceSocket, frame, { count: 1 })
    expect(next?.id).to.equal(3)
  })

  it('refuse a request where those under way on all connections hold too many bytes', async () => {
    await holder.start({ connectionLimits: { maxInFlightBytes: 3000 } })
    const { serviceSocket } = holder.config
    const frame = (id: number): Buffer => {
      const request = initialization(`registry.example.com/team/app${id}`)
      return rawFrame(JSON.stringify({ id, operation: 'initialize-repository', request, attachments: [] }))
    }
    // Both have come when the key holder looks, and making keys takes a while.
    const size = Math.floor(3000 / frame(0).byteLength)
    const many = (from: number): Buffer =>
      Buffer.concat(Array.from({ length: size }, (_, index) => frame(from + index)))
    const answers = (
      await Promise.all([0, 100].map((from) => exchange(serviceSocket, many(from), { count: size })))
    ).flat()
    expect(answers).to.have.length(2 * size)
    expect(answers.filter(({ error }) => error === undefined)).to.have.length(size)
    expect(new Set(answers.map(({ error }) => error?.code))).to.deep.equal(new Set([undefined, 'KEY_HOLDER_BUSY']))
    // One that is alone may be larger; it is looked at.
    const attachments = [{ name: 'padding', length: 5000 }]
    const header = JSON.stringify({ id: 1, operation: 'status', request: {}, attachments })
    const [alone] = await exchange(serviceSocket, rawFrame(header, Buffer.alloc(5000)), { count: 1 })
    expect(alone?.error?.code).to.equal('OPERATION_MALFORMED')
  })

  it('end callers who together leave too many answers unread', async () => {
    await holder.start({ connectionLimits: { maxInFlight: 1000, maxUnreadBytesInAll: 100_000 } })
    const { serviceSocket } = holder.config
    await holder.service.call('initialize-repository', initialization('registry.example.com/team/app'))
    const request = { gun: 'registry.example.com/team/app' }
    const ask = rawFrame(JSON.stringify({ id: 1, operation: 'repository-status', request, attachments: [] }))
    // What the system takes off our hands does not count, so it is a lot; none of them reads.
    const callers = Array.from({ length: 4 }, () => connect(serviceSocket).pause())
    for (const socket of callers) socket.on('error', () => undefined).write(Buffer.concat(Array<Buffer>(800).fill(ask)))
    await waitFor('the end of a caller', () => {
      for (const socket of callers) socket.write(ask)
      return callers.some(({ destroyed }) => destroyed) || undefined
    })
    for (const socket of callers) socket.destroy()
    const frame = rawFrame(JSON.stringify({ id: 3, operation: 'status', request: {}, attachments: [] }))
    expect((await exchange(serviceSocket, frame, { count: 1 }))[0]?.id).to.equal(3)
  })

  it('answer what is under way before they close', async () => {
    await holder.start()
    const pending = holder.service.call('initialize-repository', initialization('registry.example.com/team/app'))
    // The request has arrived when a later one on another connection is answered.
    await holder.operator.call('status', {})
    const [{ response }] = await Promise.all([
      pending,
      new Promise((resolve) => setTimeout(resolve, 1)).then(() => holder.closeServers()),
    ])
    expect(response.state).to.equal('ready')
    expect(
      holder
        .log()
        .map(({ kind }) => kind)
        .at(-1),
    ).to.equal('key-holder-stopped')
  })

  it('open after a first start with a passphrase, and only with the same one', async () => {
    const { path } = holder.config.unlock
    writeFileSync(path, 'correct horse battery staple\n')
    Object.assign(holder.config, { unlock: { kind: 'passphrase-file', path } })
    await holder.start()
    await holder.service.call('initialize-repository', initialization('registry.example.com/team/app'))
    await holder.stop()
    await holder.start()
    await holder.stop()
    writeFileSync(path, 'another passphrase altogether\n')
    await expectCodeAsync('UNLOCK_KEY_WRONG', () => holder.start())
    writeFileSync(path, 'short\n')
    await expectCodeAsync('UNLOCK_KEY_UNREADABLE', () => holder.start())
    createUnlockKeyFile(path)
    await expectCodeAsync('UNLOCK_KEY_WRONG', () => holder.start())
  }).timeout(30_000)
})
