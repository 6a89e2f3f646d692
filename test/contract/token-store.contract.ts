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
  groups: [],
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

  it('keeps groups, and the last use', () => {
    store.create(token('a', { groups: ['releases', 'security'] }))
    store.touch('a', at)
    expect(store.find('a')).to.deep.equal(token('a', { groups: ['releases', 'security'], lastUsedAt: at }))
  })

  it('gives a token another secret, and finds it by the one before', () => {
    const [first, second, third] = ['1', '2', '3'].map((digit) => digit.repeat(64)) as [string, string, string]
    store.create(token('a', { secretSha256: first }))
    const previous = { secretSha256: first, validUntil: at }
    store.rotate('a', first, second, previous)
    expect(store.findBySecret(first)).to.deep.equal(token('a', { secretSha256: second, previous }))
    expect(store.findBySecret(second)?.id).to.equal('a')
    expectCode('RECORD_CHANGED', () => {
      store.rotate('a', first, third, undefined)
    })
    store.rotate('a', second, third, undefined)
    expect([first, second].map((secret) => store.findBySecret(secret))).to.deep.equal([undefined, undefined])
    expect(store.find('a')).not.to.have.property('previous')
  })

  describe('exchanged tokens', () => {
    const workload = {
      id: 'github:repository:1',
      issuer: 'github',
      actor: 'github:user:2',
      origin: { provider: 'github' as const, issuer: 'https://issuer.example', attempt: 2, isRefProtected: true },
    }
    const spent = { issuer: 'https://issuer.example', tokenIdSha256: 'e'.repeat(64), acceptedUntil: at }
    const exchanged = (id: string, expiresAt: Date) => token(id, { expiresAt, workload })

    it('are listed apart', () => {
      store.create(token('made'))
      store.exchange(spent, exchanged('x', at))
      expect(store.list().map(({ id }) => id)).to.deep.equal(['made'])
      expect(store.listExchanged()).to.deep.equal([exchanged('x', at)])
      expect(store.find('x')).to.deep.equal(exchanged('x', at))
    })

    it('are made once for each token of an issuer: both are written, or neither', () => {
      expect(store.isSpent(spent)).to.equal(false)
      store.exchange(spent, exchanged('x', at))
      expect(store.isSpent(spent)).to.equal(true)
      expectCode('OIDC_TOKEN_SPENT', () => {
        store.exchange(spent, exchanged('y', at))
      })
      expect(store.find('y')).to.equal(undefined)
      const other = { ...spent, tokenIdSha256: 'f'.repeat(64) }
      expectCode('RECORD_EXISTS', () => {
        store.exchange(other, exchanged('x', at))
      })
      expect(store.isSpent(other)).to.equal(false)
      expect(store.isSpent({ ...spent, issuer: 'https://other.example' })).to.equal(false)
    })

    it('are forgotten at their end, and spent ones likewise; made ones are kept', () => {
      store.create(token('made', { expiresAt: at }))
      store.exchange(spent, exchanged('x', at))
      store.purge(new Date(at.getTime() - 1))
      expect([store.isSpent(spent), store.listExchanged().length]).to.deep.equal([true, 1])
      store.purge(at)
      expect([store.isSpent(spent), store.listExchanged().length]).to.deep.equal([false, 0])
      expect(store.list()).to.have.length(1)
    })
  })
}
