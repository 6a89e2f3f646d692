import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { OidcError } from '../../src/domain/oidc-errors.ts'
import { KeyCache } from '../../src/identity/key-cache.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const setOf = (...ids: readonly string[]) =>
  Buffer.from(JSON.stringify({ keys: ids.map((kid) => ({ ...publicKey.export({ format: 'jwk' }), kid })) }))

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** An issuer that publishes these keys, or is out of reach, and a clock. */
class Issuer {
  published: Uint8Array | undefined = setOf('a')
  questions = 0
  now = 1_000_000
  readonly failures: (string | undefined)[] = []
  readonly cache = new KeyCache(
    async () => {
      this.questions++
      await Promise.resolve()
      if (this.published === undefined) throw new OidcError('OIDC_PROVIDER_UNREACHABLE', 'Down.')
      return this.published
    },
    () => this.now,
    (failure) => this.failures.push(failure?.code),
  )
}

describe('the keys of an issuer', () => {
  let issuer: Issuer
  beforeEach(() => {
    issuer = new Issuer()
  })

  it('are asked for once, however many wait', async () => {
    const found = await Promise.all(Array.from({ length: 50 }, () => issuer.cache.find('a')))
    expect(new Set(found).size).to.equal(1)
    expect(issuer.questions).to.equal(1)
  })

  it('are asked for again when they are old, and not before', async () => {
    await issuer.cache.find('a')
    issuer.now += 10 * MINUTE - 1
    await issuer.cache.find('a')
    expect(issuer.questions).to.equal(1)
    issuer.now += 1
    await issuer.cache.find('a')
    expect(issuer.questions).to.equal(2)
  })

  it('are asked for again where a name is unknown: at once for a new key, and every half minute at the most', async () => {
    await issuer.cache.find('a')
    issuer.published = setOf('a', 'b')
    issuer.now += MINUTE / 2
    await issuer.cache.find('b')
    for (let count = 0; count < 120; count++) {
      issuer.now += 1_000
      await expectCodeAsync('OIDC_KEY_UNKNOWN', () => issuer.cache.find(`nobody-${count}`))
    }
    expect(issuer.questions).to.equal(2 + 4)
  })

  it('that it withdrew are taken no longer once it was asked', async () => {
    await issuer.cache.find('a')
    issuer.published = setOf('b')
    issuer.now += 10 * MINUTE
    await expectCodeAsync('OIDC_KEY_UNKNOWN', () => issuer.cache.find('a'))
  })

  it('are used for six hours while it is out of reach, and not longer', async () => {
    await issuer.cache.find('a')
    issuer.published = undefined
    issuer.now += 6 * HOUR - 1
    await issuer.cache.find('a')
    issuer.now += MINUTE
    await expectCodeAsync('OIDC_PROVIDER_UNREACHABLE', () => issuer.cache.find('a'))
    issuer.published = setOf('a')
    issuer.now += MINUTE
    await issuer.cache.find('a')
    expect(issuer.failures).to.deep.equal([
      undefined,
      'OIDC_PROVIDER_UNREACHABLE',
      'OIDC_PROVIDER_UNREACHABLE',
      undefined,
    ])
  })

  it('cannot be had where it is down at the start: a passing failure, asked again after some seconds', async () => {
    issuer.published = undefined
    for (let count = 0; count < 10; count++) {
      await expectCodeAsync('OIDC_PROVIDER_UNREACHABLE', () => issuer.cache.find('a'))
    }
    expect(issuer.questions).to.equal(1)
    issuer.published = setOf('a')
    issuer.now += 5_000
    await issuer.cache.find('a')
  })

  it('are asked for again where the clock was set back', async () => {
    await issuer.cache.find('a')
    issuer.now -= HOUR
    await issuer.cache.find('a')
    expect(issuer.questions).to.equal(2)
  })
})
