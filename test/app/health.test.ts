import { expect } from 'chai'
import { Health } from '../../src/app/health.ts'
import type { KeyHolderStatus } from '../../src/domain/ports.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { silentLog } from '../../src/log.ts'
import type { StoreDatabase } from '../../src/store/database.ts'
import { StoreError } from '../../src/store/errors.ts'

function health(o: { status?: () => Promise<Partial<KeyHolderStatus>>; check?: () => void; now?: () => number }) {
  return new Health({
    keyHolder: { status: (o.status ?? (() => Promise.resolve({ sealed: false }))) as () => Promise<KeyHolderStatus> },
    database: { check: o.check ?? (() => undefined) } as StoreDatabase,
    clock: { now: () => new Date(o.now?.() ?? 0) },
    log: silentLog,
  })
}

describe('health', () => {
  for (const [name, status, expected] of [
    ['an open key holder', () => Promise.resolve({ sealed: false }), 'ok'],
    ['a sealed key holder that answers', () => Promise.resolve({ sealed: true }), 'sealed'],
    ['a sealed key holder that refuses', () => Promise.reject(new KeyHolderError('KEY_HOLDER_SEALED', '')), 'sealed'],
    ['no key holder', () => Promise.reject(new KeyHolderError('KEY_HOLDER_UNREACHABLE', '')), 'unreachable'],
    ['a key holder of another version', () => Promise.reject(new KeyHolderError('FRAME_MALFORMED', '')), 'unreachable'],
  ] as const) {
    it(`says ${expected} of ${name}`, async () => {
      expect(await health({ status }).keyHolder()).to.equal(expected)
    })
  }

  it('asks the key holder at most once a second, however many ask', async () => {
    let asked = 0
    let now = 0
    const probe = health({
      now: () => now,
      status: () => {
        asked += 1
        return Promise.resolve({ sealed: false })
      },
    })
    await Promise.all([probe.keyHolder(), probe.keyHolder()])
    now = 999
    await probe.keyHolder()
    expect(asked).to.equal(1)
    now = 1_000
    await probe.keyHolder()
    expect(asked).to.equal(2)
    now = 0
    await probe.keyHolder()
    expect(asked, 'a clock that was set back').to.equal(3)
  })

  it('says when the database cannot be written', () => {
    const check = () => {
      throw new StoreError('STORE_UNWRITABLE', 'Full.')
    }
    expect(health({}).database()).to.equal('ok')
    expect(health({ check }).database()).to.equal('unwritable')
  })

  it('is pending until the start is complete', () => {
    const probe = health({})
    expect(probe.start()).to.equal('pending')
    probe.started()
    expect(probe.start()).to.equal('ok')
  })
})
