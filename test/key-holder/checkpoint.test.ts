import { createHash, generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { isOrigin, signCheckpoint, verifyCheckpoint } from '../../src/key-holder/checkpoint.ts'
import { encodeVerifierKey } from '../../src/key-holder/signed-note.ts'
import { expectCode } from '../support/expect-code.ts'

const keys = generateKeyPairSync('ed25519')
const origin = 'example.com/countersign'
const verifierKey = encodeVerifierKey(origin, keys.publicKey)
const checkpoint = { origin, size: 4711, rootHash: createHash('sha256').update('root').digest() }
const note = signCheckpoint(checkpoint, keys.privateKey)

describe('checkpoints', () => {
  it('are signed notes of C2SP', () => {
    const lines = note.split('\n')
    expect(lines.slice(0, 4)).to.deep.equal([origin, '4711', checkpoint.rootHash.toString('base64'), ''])
    expect(lines[4]).to.match(/^— example\.com\/countersign [A-Za-z0-9+/]+=*$/)
    expect(lines[5]).to.equal('')
    const raw = keys.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
    const id = createHash('sha256')
      .update(`${origin}\n`)
      .update(Buffer.concat([Buffer.of(1), raw]))
      .digest()
    expect(verifierKey.split('+')[1]).to.equal(id.subarray(0, 4).toString('hex'))
  })

  it('come back as they were signed', () => {
    expect(verifyCheckpoint(note, verifierKey)).to.deep.equal(checkpoint)
  })

  const forgeries: readonly (readonly [string, string])[] = [
    ['another size', note.replace('4711', '4710')],
    ['another root', note.replace(checkpoint.rootHash.toString('base64'), Buffer.alloc(32).toString('base64'))],
    ['another origin', note.replaceAll('example.com', 'example.org')],
    ['no signature', note.slice(0, note.indexOf('\n\n') + 2)],
    ['a cut signature', note.replace(/....\n$/, '\n')],
    ['a second body line', note.replace('\n\n', '\nextra\n\n')],
    ['text behind', `${note}x`],
    ['nothing', ''],
  ]
  for (const [what, forged] of forgeries) {
    it(`are refused with ${what}`, () => {
      expectCode('AUDIT_LOG_DAMAGED', () => verifyCheckpoint(forged, verifierKey))
    })
  }

  it('are refused by another key', () => {
    const other = encodeVerifierKey(origin, generateKeyPairSync('ed25519').publicKey)
    expectCode('AUDIT_LOG_DAMAGED', () => verifyCheckpoint(note, other))
    expectCode('AUDIT_LOG_DAMAGED', () => verifyCheckpoint(note, 'no key'))
  })

  it('have origins that fit in a note', () => {
    expect(isOrigin('example.com/log')).to.equal(true)
    for (const text of ['', 'a b', 'a+b', 'a\nb', 'x'.repeat(201)]) expect(isOrigin(text), text).to.equal(false)
  })
})
