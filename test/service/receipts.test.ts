// Receipts over the real key holder: who gets one, of what, and that it proves what was published.
import { sha256Hex, parseRoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { imageOf } from '../../src/domain/signing-request.ts'
import { proveReceipt } from '../../src/cli/receipt-proof.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { startHeldWorld } from '../support/fakes/held-world.ts'
import { load } from '../support/fakes/rival.ts'
import { app, everybody, principal, type World } from '../support/fakes/world.ts'
import type { TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'

describe('receipts', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let world: World

  beforeEach(async () => {
    scope = new Scope()
    ;({ holder, world } = await startHeldWorld(scope))
    await world.initialize(app)
    for (const [tag, letter] of [
      ['1.0', 'a'],
      ['2.0', 'b'],
    ] as const) {
      world.registry.push(app, tag, letter)
    }
  })
  afterEach(() => scope.close())

  it('prove what was signed for each image, to the bytes of the published roles', async () => {
    const request = await world.sign(`${app}:1.0`, `${app}:2.0`)
    const { publicKey } = await world.services.audit.publicKey(everybody)
    const published = await load(world, app)
    for (const [position, { record }] of request.images.entries()) {
      const receipt = await world.services.audit.receipt(everybody, request.id, position)
      const proven = proveReceipt(receipt, publicKey)
      const { gun, tag, sha256, length } = imageOf(record)!
      expect(proven).to.include({
        gun,
        tag,
        sha256,
        length,
        change: 'put',
        request: request.id,
        principal: 'token-all',
      })
      expect(proven.decision).to.match(/^allow by policy [0-9a-f]{64}$/)
      for (const { role, version, payloadSha256 } of proven.roles) {
        const file = published.delegations.get(parseRoleName(role))!
        expect([file.metadata.version, sha256Hex(file.message)]).to.deep.equal([version, payloadSha256])
      }
    }
  })

  it('prove that a tag was dropped', async () => {
    await world.sign(`${app}:1.0`)
    const request = await world.unsign(`${app}:1.0`)
    const { publicKey } = await world.services.audit.publicKey(everybody)
    const proven = proveReceipt(await world.services.audit.receipt(everybody, request.id, 0), publicKey)
    expect(proven).to.include({ tag: '1.0', change: 'drop', request: request.id }).and.not.have.property('sha256')
  })

  it('are for whoever may see the request', async () => {
    const { id } = await world.sign(`${app}:1.0`)
    const reader = principal('reader', ['read', app])
    expect((await world.services.audit.receipt(reader, id, 0)).image.tag).to.equal('1.0')
    // The submitter keeps the own ones.
    expect((await world.services.audit.receipt(principal(everybody.id), id, 0)).image.tag).to.equal('1.0')
    for (const other of [
      principal('nobody'),
      principal('elsewhere', ['read', 'registry.example.com/other/*']),
      principal('admin', ['admin', '*']),
    ]) {
      await expectCodeAsync('REQUEST_NOT_FOUND', () => world.services.audit.receipt(other, id, 0))
    }
  })

  it('are not there before the end, where nothing was signed, or of a repository as a whole', async () => {
    const { id } = await world.sign(`${app}:1.0`)
    await expectCodeAsync('REQUEST_NOT_FOUND', () => world.services.audit.receipt(everybody, id, 1))
    await expectCodeAsync('REQUEST_NOT_FOUND', () => world.services.audit.receipt(everybody, 'request-none', 0))
    const again = await world.sign(`${app}:1.0`)
    await expectCodeAsync('RECEIPT_NOT_AVAILABLE', () => world.services.audit.receipt(everybody, again.id, 0))
    const failed = await world.unsign(`${app}:2.0`)
    await expectCodeAsync('RECEIPT_NOT_AVAILABLE', () => world.services.audit.receipt(everybody, failed.id, 0))
    await holder.stop()
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => world.services.audit.receipt(everybody, id, 0))
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => world.services.audit.publicKey(everybody))
  })
})
