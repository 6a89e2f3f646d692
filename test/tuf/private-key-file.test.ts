// Private key files: every format that Notary reads, and the bytes that it writes.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect } from 'chai'
import { encodePrivateKeyFile, parsePrivateKeyFile, publicKeyOf } from '@countersign/tuf'
import { codeOf, expectCode } from './expect-code.ts'
import { vectorBytes, vectorJson, vectorText } from './vectors.ts'

const passphrase = Buffer.from('pw-1234')

interface FormatVector {
  file: string
  headers: Record<string, string>
  passphrase?: string
  keytype: string
  key_id?: string
  accepted_by_notary?: boolean
}
const formats = vectorJson('private-key-formats/index.json') as FormatVector[]

describe('parsePrivateKeyFile', () => {
  for (const vector of formats.filter(({ accepted_by_notary: accepted }) => accepted !== false)) {
    it(`reads ${vector.file}`, () => {
      const [key, ...more] = parsePrivateKeyFile(vectorBytes(`private-key-formats/${vector.file}`), passphrase)
      expect(more).to.be.empty
      const { keyType, tufKeyId } = publicKeyOf(key!.privateKey)
      expect({ keyType, tufKeyId }).to.deep.equal({ keyType: vector.keytype, tufKeyId: vector.key_id })
      expect(key!.role).to.equal(vector.headers['role'])
      expect(key!.gun).to.equal(vector.headers['gun'])
    })

    if (vector.passphrase !== undefined) {
      it(`refuses ${vector.file} with a wrong passphrase, and without one`, () => {
        const file = vectorBytes(`private-key-formats/${vector.file}`)
        expectCode('KEY_FILE_PASSPHRASE', () => parsePrivateKeyFile(file, Buffer.from('wrong')))
        expectCode('KEY_FILE_PASSPHRASE_MISSING', () => parsePrivateKeyFile(file))
      })
    }
  }

  for (const { file } of formats.filter(({ accepted_by_notary: accepted }) => accepted === false)) {
    it(`trap Q28, Q29: refuses ${file}, which Notary cannot read`, () => {
      expectCode('KEY_FILE_UNSUPPORTED', () =>
        parsePrivateKeyFile(vectorBytes(`private-key-formats/${file}`), passphrase),
      )
    })
  }

  it('covers every format of the vectors', () => {
    expect(formats.filter(({ accepted_by_notary: accepted }) => accepted !== false)).to.have.lengthOf(8)
    expect(formats.filter(({ accepted_by_notary: accepted }) => accepted === false)).to.have.lengthOf(3)
  })

  it('reads an export bundle with a passphrase for each block', () => {
    const passphrases = new Map([
      ['root', 'rootpass1'],
      ['snapshot', 'snappass1'],
      ['targets', 'targpass1'],
    ])
    const keys = parsePrivateKeyFile(vectorBytes('private-key-formats/notary-key-export-bundle.pem'), ({ role }) =>
      Buffer.from(passphrases.get(role ?? '') ?? ''),
    )
    expect(keys.map(({ role }) => role)).to.have.members(['root', 'snapshot', 'targets'])
    for (const { path, privateKey } of keys) expect(publicKeyOf(privateKey).canonicalKeyId).to.equal(path)
  })

  for (const repository of ['repo-ecdsa', 'repo-mixed']) {
    it(`finds the canonical key ID of every key of ${repository}`, () => {
      const { keys } = vectorJson(`${repository}/keys.json`) as { keys: { File: string; PrivateKeyID: string }[] }
      expect(keys).to.have.lengthOf(8)
      for (const { File, PrivateKeyID } of keys) {
        const [key] = parsePrivateKeyFile(vectorBytes(`${repository}/${File}`), Buffer.from('test-passphrase'))
        expect(publicKeyOf(key!.privateKey).tufKeyId).to.equal(PrivateKeyID)
      }
    })
  }

  it('reads the key files of the docker client', () => {
    const passphrases = new Map([
      ['86aaa6e637103b9d0ce81b738ce7a6db22c6e65a40dcbcdce178a11329ce6757', 'repo-pass-test'],
      ['bef6f9ee05826ddba5ab27d7251a5202f89332f9c8a68826e337fd265675b613', 'repo-pass-test'],
      ['29d55334edc9f607d1927c43d1db56d74d44bce1458ed46bde987a0df4340810', 'root-pass-test'],
    ])
    const roles = [...passphrases].map(([id, secret]) => {
      const [key] = parsePrivateKeyFile(vectorBytes(`docker-cli-28.2.2/private/${id}.key`), Buffer.from(secret))
      expect(publicKeyOf(key!.privateKey).tufKeyId).to.equal(id)
      return key!.role
    })
    expect(roles).to.deep.equal(['targets', 'alice', 'root'])
  })

  describe('refuses', () => {
    const good = vectorText('private-key-formats/ecdsa-pkcs8-pbes2.key')
    const parse = (text: string) => () => parsePrivateKeyFile(Buffer.from(text), passphrase)

    it('what is not PEM', () => expectCode('KEY_FILE_MALFORMED', parse('not a key')))
    it('an empty file', () => expectCode('KEY_FILE_MALFORMED', parse('')))
    it('a block without its end', () => expectCode('KEY_FILE_MALFORMED', parse(good.slice(0, 200))))
    it('a block that is no key beside a good one', () => {
      expectCode('KEY_FILE_UNSUPPORTED', parse(`${good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`))
    })
    it('a file of more than 256 KiB', () => expectCode('KEY_FILE_TOO_LARGE', parse(good + ' '.repeat(256 * 1024))))
    it('more than 32 keys', () => expectCode('KEY_FILE_TOO_LARGE', parse(good.repeat(33))))
    it('a key derivation of too many iterations', () => {
      // INTEGER 2048 stands as 02 02 08 00; a longer integer of the same total length would change the structure.
      const body = Buffer.from(good.split('\n\n')[1]!.replace(/-----.*/s, ''), 'base64')
      const at = body.indexOf(Buffer.from([0x04, 0x08]))
      // Salt of 8 bytes becomes 7, the integer takes the byte that is left over: 0x7fffff iterations.
      body[at + 1] = 7
      body.set([0x02, 0x03, 0x7f, 0xff, 0xff], at + 2 + 7)
      const text = `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${body.toString('base64')}\n-----END ENCRYPTED PRIVATE KEY-----\n`
      expectCode('KEY_FILE_UNSUPPORTED', parse(text))
    })
    it('RSA keys below 2048 bits', () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
      expectCode('KEY_TOO_WEAK', parse(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()))
    })
    it('curves that Go does not know', () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
      expectCode('KEY_TYPE_UNSUPPORTED', parse(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()))
    })
    it('a public half that is not that of the private one', () => {
      const der = Buffer.from(
        generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({ type: 'sec1', format: 'der' }),
      )
      const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({
        type: 'sec1',
        format: 'der',
      })
      other.copy(der, der.length - 64, other.length - 64)
      expectCode(
        'KEY_FILE_MALFORMED',
        parse(`-----BEGIN EC PRIVATE KEY-----\n${der.toString('base64')}\n-----END EC PRIVATE KEY-----\n`),
      )
    })
    it('a changed byte anywhere, with a code or with the same key', () => {
      const plain = vectorText('private-key-formats/ed25519-notary-oid-plain.key')
      const [head = '', rest = ''] = plain.split('\n\n')
      const body = Buffer.from(rest.replace(/-----.*/s, ''), 'base64')
      const id = formats.find(({ file }) => file === 'ed25519-notary-oid-plain.key')!.key_id
      let refused = 0
      for (let at = 0; at < body.length; at++) {
        const changed = Buffer.from(body)
        changed[at]! ^= 0x01
        const text = `${head}\n\n${changed.toString('base64')}\n-----END PRIVATE KEY-----\n`
        const error = codeOf(() => {
          expect(publicKeyOf(parse(text)()[0]!.privateKey).tufKeyId, `byte ${at}`).to.equal(id)
        })
        if (error !== undefined) refused++
      }
      // Only the version may change without harm.
      expect(refused).to.equal(body.length - 1)
    })
    it('without secrets in the error', () => {
      const error = expectCode('KEY_FILE_PASSPHRASE', () =>
        parsePrivateKeyFile(Buffer.from(good), Buffer.from('hunter2')),
      )
      expect(JSON.stringify([error.message, error.facts, String(error.cause)])).not.to.contain('hunter2')
    })
  })
})

describe('encodePrivateKeyFile', () => {
  const salt = Buffer.alloc(8, 1)
  const iv = Buffer.alloc(16, 2)
  const keys: Record<string, KeyObject> = {
    'P-256': generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
    'P-384': generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey,
    RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
    Ed25519: generateKeyPairSync('ed25519').privateKey,
  }

  for (const [name, privateKey] of Object.entries(keys)) {
    it(`writes ${name} keys that can be read back`, () => {
      const file = encodePrivateKeyFile({ privateKey, role: 'targets', gun: 'g/x' }, passphrase, salt, iv)
      const [read] = parsePrivateKeyFile(Buffer.from(file), passphrase)
      expect(read!.privateKey.equals(privateKey)).to.equal(true)
      expect(read).to.include({ role: 'targets', gun: 'g/x' })
    })
  }

  for (const file of ['ecdsa-pkcs8-pbes2.key', 'rsa-pkcs8-pbes2.key', 'ed25519-notary-oid-pbes2.key']) {
    it(`trap Q28, Q29: writes the bytes of ${file}, given its salt and iv`, () => {
      const original = vectorText(`private-key-formats/${file}`)
      const [key] = parsePrivateKeyFile(Buffer.from(original), passphrase)
      const der = Buffer.from(original.split('\n\n')[1]!.replace(/-----.*/s, ''), 'base64')
      const saltAt = der.indexOf(Buffer.from([0x04, 0x08])) + 2
      const ivAt = der.indexOf(Buffer.from([0x04, 0x10])) + 2
      const written = encodePrivateKeyFile(
        { privateKey: key!.privateKey, role: 'targets', gun: 'g/x' },
        passphrase,
        der.subarray(saltAt, saltAt + 8),
        der.subarray(ivAt, ivAt + 16),
      )
      expect(written).to.equal(original)
    })
  }

  it('leaves the GUN out for root and signers', () => {
    for (const role of ['root', 'alice']) {
      const file = encodePrivateKeyFile({ privateKey: keys['P-256']!, role, gun: 'g/x' }, passphrase, salt, iv)
      expect(file).to.contain(`role: ${role}\n`).and.not.to.contain('gun')
    }
  })

  it('refuses headers with line breaks, and wrong sizes of salt and iv', () => {
    const privateKey = keys['P-256']!
    const encode = (role: string, saltBytes: Uint8Array) => () =>
      encodePrivateKeyFile({ privateKey, role }, passphrase, saltBytes, iv)
    expectCode('KEY_FILE_MALFORMED', encode('a\nb', salt))
    expectCode('KEY_FILE_MALFORMED', encode('targets', salt.subarray(1)))
  })

  it('writes plain PKCS#8 that Node reads too, for ECDSA and RSA', () => {
    const file = encodePrivateKeyFile({ privateKey: keys['RSA']!, role: 'targets' }, passphrase, salt, iv)
    const withoutHeaders = file.replace(/\n.*\n\n/, '\n')
    expect(createPrivateKey({ key: withoutHeaders, passphrase }).equals(keys['RSA']!)).to.equal(true)
  })
})
