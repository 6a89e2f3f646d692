// The daemon's side of the service socket, against a key holder, and against somebody who answers as none should.
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { parseGun, parseRoleName, parseTag, publicKeyPem, RELEASES, sha256Hex } from '@countersign/tuf'
import { expect } from 'chai'
import { connectKeyHolder } from '../../src/holder/connection.ts'
import { KeyHolderClient } from '../../src/holder/client.ts'
import { decodeRequest, encodeFrame, FrameSplitter } from '../../src/key-holder-protocol/frames.ts'
import type { AnswerFrame, RequestFrame } from '../../src/key-holder-protocol/frames.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, TestKeyHolder } from '../support/key-holder.ts'
import { imageOf, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'

const GUN = parseGun('registry.example.com/team/app')

describe('the client of the key holder', () => {
  let scope: Scope

  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  describe('against a key holder', () => {
    let holder: TestKeyHolder
    let client: KeyHolderClient

    beforeEach(async () => {
      holder = await TestKeyHolder.start(scope)
      client = new KeyHolderClient(holder.config.serviceSocket)
      scope.add(() => {
        client.close()
      })
    })

    const initialization = (signer: string | null) => ({
      gun: GUN,
      root: { kind: 'online' } as const,
      snapshotKey: testKey('snapshot').publicKey,
      timestampKey: testKey('timestamp').publicKey,
      signer,
      keyType: 'ecdsa' as const,
      evidence: EVIDENCE,
    })

    it('speaks the whole port', async () => {
      const status = await client.status()
      expect(status).to.include({ sealed: false, pid: process.pid, repositories: 0 })
      const made = await client.initializeRepository(initialization('countersign'))
      expect(made.state).to.equal('ready')
      const repository = new HeldRepository(holder, new RepositoryBuilder(GUN))
      repository.builder.delegate('targets/countersign').delegate(RELEASES)
      repository.publish(made.files)
      await client.observeRepository(GUN, repository.files())
      const custody = await client.repositoryStatus(GUN)
      expect(custody).to.include({ state: 'ready', rootCustody: 'online' })
      expect(custody.roles.find(({ role }) => role === RELEASES)?.highestSeen?.version).to.equal(1)
      const image = imageOf('image')
      const change = { kind: 'put', name: parseTag('1.0'), ...image } as const
      const signed = await client.changeTargets({
        publication: 'p1',
        gun: GUN,
        roles: [RELEASES, parseRoleName('targets/countersign')],
        changes: [{ change, evidence: EVIDENCE }],
        base: repository.files(),
      })
      expect(signed.map(({ role, version }) => [role, version])).to.deep.equal([
        ['targets/releases', 2],
        ['targets/countersign', 2],
      ])
      for (const { bytes, sha256 } of signed) expect(sha256Hex(bytes)).to.equal(sha256)
      const { key, pem } = await client.exportPublicKey(GUN, parseRoleName('targets/countersign'))
      expect(pem).to.equal(publicKeyPem(key))
      const other = parseRoleName('targets/other')
      const created = await client.createDelegationKey({ gun: GUN, role: other, keyType: 'ecdsa', evidence: EVIDENCE })
      expect((await client.exportPublicKey(GUN, other)).key.tufKeyId).to.equal(created.key.tufKeyId)
      const first = await client.appendRecord('request-approved', { approver: 'anna', count: 2, final: true })
      expect(await client.appendRecord('request-approved', {})).to.equal(first + 1)
    })

    it('gives the key holder’s own codes and facts', async () => {
      const error = await expectCodeAsync('GUN_NOT_MANAGED', () => client.repositoryStatus(GUN))
      expect(error.facts).to.deep.equal({ gun: GUN })
    })

    it('asks many things at once, and gets each its own answer', async () => {
      const roles = Array.from({ length: 60 }, (_, index) => parseRoleName(`targets/s${index}`))
      await client.initializeRepository(initialization(null))
      const keys = await Promise.all(
        roles.map((role) => client.createDelegationKey({ gun: GUN, role, keyType: 'ed25519', evidence: EVIDENCE })),
      )
      const { keys: stored } = await client.repositoryStatus(GUN)
      for (const [index, role] of roles.entries()) {
        expect(stored.find((key) => key.role === role)?.tufKeyId).to.equal(keys[index]?.key.tufKeyId)
      }
    })

    it('finds a key holder that was restarted', async () => {
      await client.status()
      await holder.stop()
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => client.status())
      await holder.start()
      expect((await client.status()).pid).to.equal(process.pid)
    })

    it('refuses calls once it is closed, instead of hanging', async () => {
      const pending = client.status()
      client.close()
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => pending)
    })
  })

  describe('against somebody else', () => {
    let path: string
    let server: Server | undefined

    /** Answers each request with what `answer` makes of it; undefined: not at all. */
    async function listen(answer: (frame: RequestFrame, socket: Socket) => Buffer | undefined): Promise<void> {
      path = join(scope.folder('fake'), 's.sock')
      server = createServer((socket) => {
        const splitter = new FrameSplitter()
        socket.on('error', () => undefined)
        socket.on('data', (chunk) => {
          for (const body of splitter.push(chunk)) {
            const bytes = answer(decodeRequest(body), socket)
            if (bytes !== undefined) socket.write(bytes)
          }
        })
        scope.add(() => {
          socket.destroy()
        })
      })
      const listening = server
      await new Promise<void>((resolve) => listening.listen(path, resolve))
      scope.add(
        () =>
          new Promise<void>((resolve) =>
            listening.close(() => {
              resolve()
            }),
          ),
      )
    }

    function answerWith(answer: Omit<AnswerFrame, 'id'>): (frame: RequestFrame) => Buffer {
      return ({ id }) => encodeFrame({ id, ...answer })
    }

    const none = new Map<string, Uint8Array>()

    it('says that nobody is there', async () => {
      const client = new KeyHolderClient(join(scope.folder('none'), 's.sock'))
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => client.status())
    })

    it('gives up on silence', async () => {
      await listen(() => undefined)
      const client = new KeyHolderClient(path, { timeoutMs: 60 })
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => client.status())
      client.close()
    })

    it('gives up when the connection ends in the middle of an answer', async () => {
      await listen((frame, socket) => {
        socket.end(answerWith({ response: {}, attachments: none })(frame).subarray(0, 20))
        return undefined
      })
      const failures: string[] = []
      const told = new KeyHolderClient(path, { onFailure: (code) => failures.push(code) })
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => told.status())
      expect(failures).to.deep.equal(['KEY_HOLDER_UNREACHABLE'])
    })

    it('gives up on answers that are larger than allowed', async () => {
      await listen(answerWith({ response: { text: 'x'.repeat(2000) }, attachments: none }))
      const client = new KeyHolderClient(path, { maxFrameBytes: 1000 })
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => client.status())
    })

    it('gives up on answers that are no frames', async () => {
      await listen(() => Buffer.from([0, 0, 0, 5, 0, 0, 0, 1, 0x7b]))
      await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => new KeyHolderClient(path).status())
    })

    it('takes no answer in another shape', async () => {
      await listen(answerWith({ response: { sealed: 'no' }, attachments: none }))
      const client = new KeyHolderClient(path)
      await expectCodeAsync('FRAME_MALFORMED', () => client.status())
      client.close()
    })

    it('takes no code that it does not know for one that it knows', async () => {
      await listen(answerWith({ error: { code: 'PUBLISHED', message: 'x', facts: {} }, attachments: none }))
      const client = new KeyHolderClient(path)
      await expectCodeAsync('KEY_HOLDER_INTERNAL', () => client.status())
      client.close()
    })

    const signed = { roles: [{ role: 'targets/releases', version: 2, sha256: sha256Hex(Buffer.from('file')) }] }
    for (const [what, attachments] of [
      ['with another content', [['targets/releases', 'another']]],
      ['that are missing', []],
      ['of another role', [['targets/other', 'file']]],
      [
        'that nobody announced',
        [
          ['targets/releases', 'file'],
          ['more', 'file'],
        ],
      ],
    ] as const) {
      it(`takes no signed files ${what}`, async () => {
        const files = new Map(attachments.map(([name, text]) => [name, Buffer.from(text)]))
        await listen(answerWith({ response: signed, attachments: files }))
        const client = new KeyHolderClient(path)
        const request = { publication: 'p', gun: GUN, roles: [RELEASES], changes: [], base: none }
        await expectCodeAsync('FRAME_MALFORMED', () => client.changeTargets(request))
        client.close()
      })
    }

    it('passes on what ends the whole connection', async () => {
      await listen((_, socket) => {
        const error = { code: 'FRAME_TOO_LARGE', message: 'x', facts: {} }
        socket.end(encodeFrame({ id: 0, error, attachments: none }))
        return undefined
      })
      const connection = connectKeyHolder(path)
      await expectCodeAsync('FRAME_TOO_LARGE', () => connection.call('status', {}))
    })

    it('sends nothing that is too large', async () => {
      await listen(answerWith({ response: {}, attachments: none }))
      const connection = connectKeyHolder(path)
      const facts = Object.fromEntries(Array.from({ length: 1200 }, (_, index) => [`f${index}`, 'x'.repeat(4096)]))
      await expectCodeAsync('FRAME_TOO_LARGE', () => connection.call('append-record', { kind: 'large', facts }))
      connection.close()
    })
  })
})
