// What every TokenStore must do. Run on each implementation by stores.test.ts.
import { expect } from 'chai'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { TokenRecord, TokenStore } from '../../src/domain/ports.ts'
import { expectCode } from '../support/expect-code.ts'

const at = new Date('2026-05-01T10:00:00.123Z')
const token = (id: string, more: Partial<TokenRecord> = {}): TokenRecord => ({
  id,
  name: `name of ${id}`,
  secretSha256: id.padEnd(64, '0'),
  grants: [{ grant: 'submit', repositories: [parsePattern('r.example/*')] }],
  createdAt: at,
  createdBy: 'token-0',
  ...more,
})

export function tokenStoreContract(open: () => TokenStore): void {
  let store: TokenStore
  beforeEach(() => {
    store = open()
  })

  it('finds by identifier and by hash', () => {
    const whole = token('b', { expiresAt: new Date('2027-01-01T00:00:00.000Z') })
    store.create(whole)
    store.create(token('a'))
    expect(store.find('b')).to.deep.equal(whole)
    expect(store.findBySecret(whole.secretSha256)).to.deep.equal(whole)
    expect(store.findBySecret('f'.repeat(64))).to.equal(undefined)
    expect(store.list().map(({ id }) => id)).to.deep.equal(['b', 'a'])
  })

  it('refuses an identifier or a secret that exists', () => {
    store.create(token('a'))
    expectCode('RECORD_EXISTS', () => {
      store.create(token('a', { secretSha256: 'f'.repeat(64) }))
    })
    expectCode('RECORD_EXISTS', () => {
      store.create(token('b', { secretSha256: token('a').secretSha256 }))
    })
  })

  it('keeps the first time of revocation', () => {
    store.create(token('a'))
    store.revoke('a', at)
    store.revoke('a', new Date('2026-06-01T00:00:00Z'))
    expect(store.find('a')?.revokedAt).to.deep.equal(at)
  })
}
