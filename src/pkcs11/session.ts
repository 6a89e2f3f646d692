// The calls of a PKCS#11 module, one after the other, in the process that exists for them. Blocking.
import type { Handle, PKCS11, Template } from 'pkcs11js'
import type { TokenAnswer, TokenCall, TokenFailure } from './calls.ts'
import { failureOf, loginFailureOf, pinTrouble } from './results.ts'
import type { TokenUri } from './uri.ts'

type Binding = typeof import('pkcs11js')

/** DER of the object identifier of P-256, 1.2.840.10045.3.1.7. */
const P256 = Buffer.from('06082a8648ce3d030107', 'hex')
const RAW_SIGNATURE_BYTES = 64

interface OpenToken {
  readonly module: PKCS11
  readonly slot: Handle
  readonly session: Handle
  readonly serial: string
}

/** Ends a call with an answer that is no result of PKCS#11. */
class Trouble extends Error {
  readonly failure: TokenFailure

  constructor(failure: TokenFailure, detail: string) {
    super(detail)
    this.failure = failure
  }
}

export class TokenSession {
  readonly #binding: Binding
  #open: OpenToken | undefined

  constructor(binding: Binding) {
    this.#binding = binding
  }

  /** Never throws. */
  answer(call: TokenCall): TokenAnswer {
    try {
      return { bytes: this.#perform(call) }
    } catch (error) {
      if (error instanceof Trouble) return { failure: error.failure, detail: error.message }
      const detail = resultIn(error)
      return { failure: failureOf(detail), detail }
    }
  }

  #perform(call: TokenCall): Uint8Array {
    switch (call.kind) {
      case 'open':
        this.#open = this.#openToken(call.module, call.token)
        return new Uint8Array()
      case 'login':
        return this.#login(Buffer.from(call.pin).toString('utf8'))
      case 'probe':
        return this.#probe()
      case 'generate':
        this.#requireSerial(call.serial)
        return this.#generate(Buffer.from(call.keyId), call.label)
      case 'point':
        return this.#point(Buffer.from(call.keyId))
      case 'sign':
        return this.#sign(Buffer.from(call.keyId), Buffer.from(call.hash), call.pin)
      case 'destroy':
        this.#requireSerial(call.serial)
        return this.#destroy(Buffer.from(call.keyId))
    }
  }

  #openToken(path: string, wanted: TokenUri): OpenToken {
    const { PKCS11, CKF_OS_LOCKING_OK, CKF_RW_SESSION, CKF_SERIAL_SESSION } = this.#binding
    const module = new PKCS11()
    module.load(path)
    module.C_Initialize({ flags: CKF_OS_LOCKING_OK })
    const slots = module.C_GetSlotList(true).filter((slot) => {
      const { label, serialNumber } = module.C_GetTokenInfo(slot)
      return (
        unpadded(label) === wanted.token && (wanted.serial === undefined || unpadded(serialNumber) === wanted.serial)
      )
    })
    const [slot, ...others] = slots
    if (slot === undefined) throw new Trouble('lost', 'no token with this label is there')
    if (others.length > 0) throw new Trouble('lost', 'several tokens with this label are there; name a serial number')
    const { flags, serialNumber } = module.C_GetTokenInfo(slot)
    const trouble = pinTrouble(flags)
    if (trouble !== undefined) throw new Trouble(trouble, 'the token says so')
    const session = module.C_OpenSession(slot, CKF_RW_SESSION | CKF_SERIAL_SESSION)
    return { module, slot, session, serial: unpadded(serialNumber) }
  }

  #login(pin: string, user = this.#binding.CKU_USER): Uint8Array {
    const { module, session } = this.#opened()
    try {
      module.C_Login(session, user, pin)
    } catch (error) {
      const detail = resultIn(error)
      // By somebody who shares the session's state: the PIN was not judged, and is not needed.
      if (detail !== 'CKR_USER_ALREADY_LOGGED_IN') throw new Trouble(loginFailureOf(detail), detail)
    }
    return new Uint8Array()
  }

  #requireSerial(wanted: string | undefined): void {
    if (wanted === undefined || wanted === this.#opened().serial) return
    throw new Trouble('other-token', 'a token with this label is there, and its serial number is another')
  }

  #opened(): OpenToken {
    if (this.#open === undefined) throw new Trouble('lost', 'the token is not open')
    return this.#open
  }

  #probe(): Uint8Array {
    const { module, slot, session, serial } = this.#opened()
    module.C_GetTokenInfo(slot)
    module.C_GetSessionInfo(session)
    return Buffer.from(serial)
  }

  #generate(id: Buffer, label: string): Uint8Array {
    const { module, session } = this.#opened()
    const p = this.#binding
    const shared: Template = [
      { type: p.CKA_KEY_TYPE, value: p.CKK_EC },
      { type: p.CKA_TOKEN, value: true },
      { type: p.CKA_ID, value: id },
      { type: p.CKA_LABEL, value: label },
    ]
    const made = module.C_GenerateKeyPair(
      session,
      { mechanism: p.CKM_EC_KEY_PAIR_GEN },
      [
        { type: p.CKA_CLASS, value: p.CKO_PUBLIC_KEY },
        ...shared,
        { type: p.CKA_VERIFY, value: true },
        { type: p.CKA_EC_PARAMS, value: P256 },
      ],
      [
        { type: p.CKA_CLASS, value: p.CKO_PRIVATE_KEY },
        ...shared,
        { type: p.CKA_PRIVATE, value: true },
        { type: p.CKA_SENSITIVE, value: true },
        { type: p.CKA_EXTRACTABLE, value: false },
        { type: p.CKA_SIGN, value: true },
      ],
    )
    const [sensitive, extractable] = module.C_GetAttributeValue(session, made.privateKey, [
      { type: p.CKA_SENSITIVE },
      { type: p.CKA_EXTRACTABLE },
    ])
    // What was asked for, held against what was made.
    if (!isTrue(sensitive?.value) || isTrue(extractable?.value)) {
      this.#destroy(id)
      throw new Trouble('mechanism-missing', 'the token makes keys that can be taken out of it')
    }
    return this.#point(id)
  }

  #point(id: Buffer): Uint8Array {
    const { module, session } = this.#opened()
    const p = this.#binding
    const [key] = this.#find(p.CKO_PUBLIC_KEY, id)
    if (key === undefined) throw new Trouble('key-missing', 'the token has no public key with this ID')
    const [point] = module.C_GetAttributeValue(session, key, [{ type: p.CKA_EC_POINT }])
    if (!Buffer.isBuffer(point?.value)) throw new Trouble('lost', 'the token gives no public point')
    return point.value
  }

  #sign(id: Buffer, hash: Buffer, pin: Uint8Array | undefined): Uint8Array {
    const { module, session } = this.#opened()
    const [key] = this.#find(this.#binding.CKO_PRIVATE_KEY, id)
    if (key === undefined) throw new Trouble('key-missing', 'the token has no private key with this ID')
    const wantsPin = pin !== undefined && this.#wantsPin(key)
    // CKM_ECDSA signs a hash that was made outside; CKM_ECDSA_SHA256 is missing in many tokens.
    module.C_SignInit(session, { mechanism: this.#binding.CKM_ECDSA }, key)
    if (wantsPin) this.#login(Buffer.from(pin).toString('utf8'), this.#binding.CKU_CONTEXT_SPECIFIC)
    return module.C_Sign(session, hash, Buffer.alloc(RAW_SIGNATURE_BYTES))
  }

  /** CKA_ALWAYS_AUTHENTICATE (PKCS #11 2.40, 4.9), as the signature key of a PIV card has it; tokens that do not know it want no PIN. */
  #wantsPin(key: Handle): boolean {
    const { module, session } = this.#opened()
    try {
      const wanted = { type: this.#binding.CKA_ALWAYS_AUTHENTICATE }
      return isTrue(module.C_GetAttributeValue(session, key, [wanted])[0]?.value)
    } catch (error) {
      if (resultIn(error) === 'CKR_ATTRIBUTE_TYPE_INVALID') return false
      throw error
    }
  }

  #destroy(id: Buffer): Uint8Array {
    const { module, session } = this.#opened()
    let destroyed = 0
    // The public half last: where a crash comes between, the key is gone, and the next call removes what is left of it.
    for (const kind of [this.#binding.CKO_PRIVATE_KEY, this.#binding.CKO_PUBLIC_KEY]) {
      for (const object of this.#find(kind, id)) {
        module.C_DestroyObject(session, object)
        destroyed++
      }
    }
    if (destroyed === 0) throw new Trouble('key-missing', 'the token has no key with this ID')
    return new Uint8Array()
  }

  /** By its ID, each time anew: handles do not outlive sessions, and keys may come and go. */
  #find(kind: number, id: Buffer): Handle[] {
    const { module, session } = this.#opened()
    const p = this.#binding
    module.C_FindObjectsInit(session, [
      { type: p.CKA_CLASS, value: kind },
      { type: p.CKA_ID, value: id },
    ])
    try {
      return module.C_FindObjects(session, 2)
    } finally {
      module.C_FindObjectsFinal(session)
    }
  }
}

/** The binding's errors: `message` is the name of the result. */
function resultIn(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '').slice(0, 200) : 'unknown'
}

/** Texts in CK_TOKEN_INFO are filled up with blanks; some modules use zeros. */
function unpadded(text: string): string {
  return text.replace(/[\0 ]+$/, '')
}

/** CK_BBOOL. */
function isTrue(value: unknown): boolean {
  return Buffer.isBuffer(value) && value[0] === 1
}
