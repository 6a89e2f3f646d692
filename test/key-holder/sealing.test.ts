import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import { checkUnlockKey, rewrap, seal, unlockKeyCheck, unseal } from '../../src/key-holder/sealing.ts'
import { expectCode } from '../support/expect-code.ts'

const purpose = { gun: 'registry.example.com/team/app', role: 'targets/releases', keyId: 'ab'.repeat(32) }

describe('sealed keys', () => {
  it('open with the same unlock key and purpose', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (secret) => {
        const unlockKey = randomBytes(32)
        expect([...unseal(seal(secret, unlockKey, purpose), unlockKey, purpose)]).to.deep.equal([...secret])
      }),
    )
  })

  it('do not show the secret, and differ each time', () => {
    const secret = Buffer.from('a private key in PKCS#8 form, for example')
    const unlockKey = randomBytes(32)
    const sealed = seal(secret, unlockKey, purpose)
    expect(sealed.includes(secret.subarray(0, 12))).to.equal(false)
    expect(sealed.equals(seal(secret, unlockKey, purpose))).to.equal(false)
  })

  it('do not open when any one byte is flipped, or cut', () => {
    const unlockKey = randomBytes(32)
    const sealed = seal(randomBytes(138), unlockKey, purpose)
    for (let at = 0; at < sealed.byteLength; at++) {
      const flipped = Buffer.from(sealed)
      flipped[at]! ^= 1 << (at % 8)
      expectCode('KEY_FILE_DAMAGED', () => unseal(flipped, unlockKey, purpose))
      expectCode('KEY_FILE_DAMAGED', () => unseal(sealed.subarray(0, at), unlockKey, purpose))
    }
  })

  for (const [name, value] of [
    ['gun', 'registry.example.com/team/other'],
    ['role', 'targets'],
    ['keyId', 'cd'.repeat(32)],
  ] as const) {
    it(`do not open for another ${name}`, () => {
      const unlockKey = randomBytes(32)
      const sealed = seal(randomBytes(32), unlockKey, purpose)
      expectCode('KEY_FILE_DAMAGED', () => unseal(sealed, unlockKey, { ...purpose, [name]: value }))
    })
  }

  it('open with another unlock key after a rewrap, and with the old one no more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (secret) => {
        const [old, next] = [randomBytes(32), randomBytes(32)]
        const sealed = seal(secret, old, purpose)
        const rewrapped = rewrap(sealed, old, next, purpose)
        expect([...unseal(rewrapped, next, purpose)]).to.deep.equal([...secret])
        expectCode('KEY_FILE_DAMAGED', () => unseal(rewrapped, old, purpose))
        // What the data key sealed is not touched.
        expect(rewrapped.subarray(61).equals(sealed.subarray(61))).to.equal(true)
        expect(rewrapped.byteLength).to.equal(sealed.byteLength)
      }),
    )
  })

  it('are not rewrapped where any one byte is flipped, with another unlock key, or for another purpose', () => {
    const [old, next] = [randomBytes(32), randomBytes(32)]
    const sealed = seal(randomBytes(64), old, purpose)
    for (let at = 0; at < sealed.byteLength; at++) {
      const flipped = Buffer.from(sealed)
      flipped[at]! ^= 1 << (at % 8)
      expectCode('KEY_FILE_DAMAGED', () => rewrap(flipped, old, next, purpose))
    }
    expectCode('KEY_FILE_DAMAGED', () => rewrap(sealed, next, old, purpose))
    expectCode('KEY_FILE_DAMAGED', () => rewrap(sealed, old, next, { ...purpose, role: 'targets' }))
  })

  it('tell a wrong unlock key', () => {
    const unlockKey = randomBytes(32)
    checkUnlockKey(unlockKey, unlockKeyCheck(unlockKey))
    expectCode('UNLOCK_KEY_WRONG', () => {
      checkUnlockKey(randomBytes(32), unlockKeyCheck(unlockKey))
    })
    expectCode('UNLOCK_KEY_WRONG', () => {
      checkUnlockKey(unlockKey, Buffer.alloc(3))
    })
  })
})
