import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import { checkUnlockKey, seal, unlockKeyCheck, unseal } from '../../src/key-holder/sealing.ts'
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
