// What a module says, and what follows from it.
import { createECDH, generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { publicKeyOfPoint } from '../../src/pkcs11/public-point.ts'
import { failureOf, loginFailureOf, pinTrouble } from '../../src/pkcs11/results.ts'

describe('results of PKCS#11', () => {
  it('about the PIN end all tries; everything unknown is a session to be opened anew', () => {
    for (const result of ['CKR_PIN_INCORRECT', 'CKR_PIN_LEN_RANGE', 'CKR_PIN_INVALID', 'CKR_PIN_EXPIRED']) {
      expect(failureOf(result)).to.equal('pin-incorrect')
    }
    expect(failureOf('CKR_PIN_LOCKED')).to.equal('pin-locked')
    for (const result of [
      'CKR_SESSION_HANDLE_INVALID',
      'CKR_SESSION_CLOSED',
      'CKR_DEVICE_REMOVED',
      'CKR_DEVICE_ERROR',
      'CKR_TOKEN_NOT_PRESENT',
      'CKR_USER_NOT_LOGGED_IN',
      'CKR_GENERAL_ERROR',
      'CKR_VENDOR_DEFINED',
      'libsomething.so: cannot open shared object file',
    ]) {
      expect(failureOf(result)).to.equal('lost')
    }
  })

  it('of a login allow another one only where the PIN was certainly not judged', () => {
    for (const result of [
      'CKR_SESSION_HANDLE_INVALID',
      'CKR_SESSION_CLOSED',
      'CKR_DEVICE_REMOVED',
      'CKR_TOKEN_NOT_PRESENT',
    ]) {
      expect(loginFailureOf(result)).to.equal('lost')
    }
    expect(loginFailureOf('CKR_PIN_LOCKED')).to.equal('pin-locked')
    for (const result of [
      'CKR_PIN_INCORRECT',
      'CKR_PIN_EXPIRED',
      'CKR_DEVICE_ERROR',
      'CKR_GENERAL_ERROR',
      'CKR_FUNCTION_FAILED',
      'CKR_FUNCTION_CANCELED',
      'CKR_VENDOR_DEFINED',
      'CKR_VENDOR_DEFINED (2147483649)',
      'unknown',
      '',
    ]) {
      expect(loginFailureOf(result)).to.equal('pin-incorrect')
    }
  })

  it('no PIN is tried where the token says that it is locked, or that one try is left', () => {
    const LOGIN_REQUIRED = 0x4
    const COUNT_LOW = 0x1_0000
    expect(pinTrouble(LOGIN_REQUIRED)).to.equal(undefined)
    expect(pinTrouble(LOGIN_REQUIRED | COUNT_LOW)).to.equal(undefined)
    expect(pinTrouble(LOGIN_REQUIRED | COUNT_LOW | 0x2_0000)).to.equal('pin-last-try')
    expect(pinTrouble(LOGIN_REQUIRED | 0x2_0000 | 0x4_0000)).to.equal('pin-locked')
  })
})

describe('the public point of a key', () => {
  const point = createECDH('prime256v1').generateKeys()

  it('is the same with and without its OCTET STRING', () => {
    const wrapped = publicKeyOfPoint(Buffer.concat([Buffer.from([4, point.byteLength]), point]))
    const bare = publicKeyOfPoint(point)
    expect(wrapped?.asymmetricKeyDetails?.namedCurve).to.equal('prime256v1')
    expect(bare !== undefined && wrapped?.equals(bare)).to.equal(true)
  })

  it('is none where it is of another curve, compressed, or on no curve', () => {
    const other = createECDH('secp384r1').generateKeys()
    const compressed = Buffer.concat([Buffer.from([2 + ((point.at(-1) ?? 0) & 1)]), point.subarray(1, 33)])
    const nowhere = Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)])
    const { publicKey } = generateKeyPairSync('ed25519')
    const edwards = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
    for (const bytes of [other, compressed, nowhere, edwards, Buffer.alloc(0)]) {
      expect(publicKeyOfPoint(bytes)).to.equal(undefined)
    }
  })
})
