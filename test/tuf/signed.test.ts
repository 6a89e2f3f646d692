// The envelope and thresholds, on the sample repositories and on hand-made files.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  attachSignatures,
  encodeBase64,
  newTargets,
  parseRoot,
  parseSnapshot,
  parseTargets,
  parseTimestamp,
  publicKeyOf,
  RELEASES,
  ROOT,
  signMessage,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  verifyNormalFormFile,
  verifySignatures,
  parseRoleName,
  type PublicKey,
  type Received,
  type Role,
  type SignatureEntry,
  type TufErrorCode,
  type TufKeyId,
} from '@countersign/tuf'
import { codeOf, expectCode } from './expect-code.ts'
import { vectorBytes, vectorJson } from './vectors.ts'

const REPOSITORIES: Readonly<Record<string, { roots: string[]; delegations: string[] }>> = {
  'repo-ecdsa': { roots: ['1.root', '2.root', '3.root', 'root'], delegations: ['releases', 'alice', 'bob'] },
  'repo-mixed': { roots: ['1.root', '2.root', '3.root', 'root'], delegations: ['releases', 'alice', 'bob'] },
  'docker-cli-28.2.2/metadata': { roots: ['root'], delegations: ['releases', 'alice'] },
}

const keysOf = (role: Role, keys: ReadonlyMap<TufKeyId, PublicKey>) =>
  new Map(role.keyIds.map((id) => [id, keys.get(id)!]))

describe('metadata of the samples', () => {
  for (const [repository, { roots, delegations }] of Object.entries(REPOSITORIES)) {
    const read = (name: string) => vectorBytes(`${repository}/${name}.json`)
    const root = parseRoot(read('root'))
    const targets = parseTargets(read('targets'), TARGETS)
    const verify = (file: Received<unknown>, role: Role) => {
      verifySignatures(file, keysOf(role, root.metadata.keys), role.threshold)
    }

    it(`${repository}: every signature verifies`, () => {
      verify(root, root.metadata.roles.get(ROOT)!)
      verify(targets, root.metadata.roles.get(TARGETS)!)
      verify(parseSnapshot(read('snapshot')), root.metadata.roles.get(SNAPSHOT)!)
      verify(parseTimestamp(read('timestamp')), root.metadata.roles.get(TIMESTAMP)!)
      const { roles, keys } = targets.metadata.delegations
      expect(roles.map(({ name }) => name)).to.have.members(delegations.map((name) => `targets/${name}`))
      for (const role of roles) {
        verifySignatures(parseTargets(read(role.name), role.name), keysOf(role, keys), role.threshold)
      }
    })

    it(`${repository}: every root verifies by itself, and by the one before`, () => {
      const chain = roots.map((name) => parseRoot(read(name)))
      chain.forEach((file, index) => {
        const before = chain[index - 1] ?? file
        for (const { metadata } of [file, before]) {
          verifySignatures(file, keysOf(metadata.roles.get(ROOT)!, metadata.keys), 1)
        }
      })
    })

    it(`${repository}: every file is in normal form, and is written again byte for byte`, () => {
      const files: Received<unknown>[] = [
        ...roots.map((name) => parseRoot(read(name))),
        targets,
        parseSnapshot(read('snapshot')),
        parseTimestamp(read('timestamp')),
        ...delegations.map((name) => parseTargets(read(`targets/${name}`), parseRoleName(`targets/${name}`))),
      ]
      for (const file of files) {
        verifyNormalFormFile(file)
        const again = attachSignatures(file, file.signatures)
        expect(Buffer.from(again).equals(file.bytes)).to.equal(true)
      }
    })

    it(`${repository}: every listed key has the ID it is listed under`, () => {
      for (const [id, key] of [...root.metadata.keys, ...targets.metadata.delegations.keys]) {
        expect(key.tufKeyId).to.equal(id)
      }
    })

    it(`${repository}: a changed byte of any file is noticed`, () => {
      const bytes = read('targets')
      const role = root.metadata.roles.get(TARGETS)!
      for (let at = 0; at < bytes.length; at += 7) {
        const changed = Buffer.from(bytes)
        changed[at]! ^= 0x01
        const code = codeOf(() => {
          const file = parseTargets(changed, TARGETS)
          verify(file, role)
          // What no signature covers: the case of a method, and unknown members of the envelope.
          verifyNormalFormFile(file)
        })?.code
        expect(code, `byte ${at}`).to.be.a('string')
      }
    })
  }

  it('has the digests that the reference lists', () => {
    const digests = vectorJson('signed-digests.json') as Record<
      string,
      { sha256_file: string; sha256_signed_bytes: string }
    >
    let compared = 0
    for (const [path, expected] of Object.entries(digests)) {
      const name = path
        .slice(path.indexOf('/') + 1)
        .replace(/^metadata\//, '')
        .replace(/\.json$/, '')
      const file = parseAny(name, vectorBytes(path))
      expect(file.sha256, path).to.equal(expected.sha256_file)
      expect(createHash('sha256').update(file.message).digest('hex'), path).to.equal(expected.sha256_signed_bytes)
      compared++
    }
    expect(compared).to.be.greaterThan(20)
  })
})

function parseAny(name: string, bytes: Buffer): Received<unknown> {
  if (name.endsWith('root')) return parseRoot(bytes)
  if (name === 'snapshot') return parseSnapshot(bytes)
  return name === 'timestamp' ? parseTimestamp(bytes) : parseTargets(bytes, parseRoleName(name))
}

describe('the envelope', () => {
  const { signed, message } = newTargets({ role: RELEASES, version: 7, expiresAt: new Date('2030-01-01T00:00:00Z') })
  const text = Buffer.from(message).toString()
  const parse = (envelope: string) => parseTargets(Buffer.from(envelope), RELEASES)
  const signature = '{"keyid":"ab","method":"ECDSA","sig":"AAAA"}'

  it('keeps the bytes, their hash, the signed value and its canonical bytes', () => {
    const bytes = Buffer.from(` {"signatures" : [${signature}], "signed":${text}, "more": 1}\n`)
    const file = parseTargets(bytes, RELEASES)
    expect(file.bytes).to.equal(bytes)
    expect(file.sha256).to.equal(createHash('sha256').update(bytes).digest('hex'))
    expect(file.signed).to.deep.equal(signed)
    expect(Buffer.from(file.message)).to.deep.equal(Buffer.from(message))
    expect(file.signatures).to.deep.equal([{ keyId: 'ab', method: 'ecdsa', signature: Buffer.alloc(3) }])
    expect(file.metadata.version).to.equal(7)
  })

  it('covers unknown members of signed by the message', () => {
    const file = parse(`{"signed":${text.replace('{', '{"zeta":"x",')},"signatures":[]}`)
    expect(Buffer.from(file.message).toString()).to.contain('"zeta":"x"')
  })

  const cases: Record<string, [TufErrorCode, string]> = {
    'a list': ['METADATA_MALFORMED', '[]'],
    null: ['METADATA_MALFORMED', 'null'],
    'no signed': ['METADATA_MALFORMED', '{"signatures":[]}'],
    'signed that is a list': ['METADATA_MALFORMED', '{"signed":[],"signatures":[]}'],
    'signatures that are an object': ['METADATA_MALFORMED', `{"signed":${text},"signatures":{}}`],
    'a signature that is null': ['METADATA_MALFORMED', `{"signed":${text},"signatures":[null]}`],
    'a signature without method': [
      'METADATA_MALFORMED',
      `{"signed":${text},"signatures":[{"keyid":"a","sig":"AAAA"}]}`,
    ],
    'a signature that is not base64': [
      'ENCODING_BASE64',
      `{"signed":${text},"signatures":[{"keyid":"a","method":"ecdsa","sig":"AAA"}]}`,
    ],
    'a very long key ID': [
      'KEY_MALFORMED',
      `{"signed":${text},"signatures":[{"keyid":"${'a'.repeat(129)}","method":"x","sig":""}]}`,
    ],
    'signed in two cases': ['METADATA_NAME_CASE', `{"signed":${text},"Signed":${text},"signatures":[]}`],
    'signatures with the long s': ['METADATA_NAME_CASE', `{"signed":${text},"\u017fignatures":[]}`],
    'a method in another case': [
      'METADATA_NAME_CASE',
      `{"signed":${text},"signatures":[{"keyid":"a","method":"x","METHOD":"y","sig":""}]}`,
    ],
    'more than 128 signatures': [
      'METADATA_TOO_MANY_SIGNATURES',
      `{"signed":${text},"signatures":[${Array(129).fill(signature).join(',')}]}`,
    ],
  }
  for (const [name, [code, envelope]] of Object.entries(cases)) {
    it(`refuses ${name}`, () => expectCode(code, () => parse(envelope)))
  }

  it('without signatures is read, and never verifies', () => {
    for (const envelope of [
      `{"signed":${text}}`,
      `{"signed":${text},"signatures":null}`,
      `{"signed":${text},"signatures":[]}`,
    ]) {
      expectCode('SIGNATURE_NONE', () => {
        verifySignatures(parse(envelope), new Map(), 1)
      })
    }
  })

  it('is written with each of the five characters escaped, wherever it stands, and all others as they are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('<', '>', '&', '\u2028', '\u2029', '\u2027', 'é', '☃', '😀', 'a')),
        (parts) => {
          const text = parts.join('')
          const written = Buffer.from(attachSignatures({ message: Buffer.from(`{"a":"${text}"}`) }, [])).toString()
          const escaped = parts.map((one) =>
            '<>&\u2028\u2029'.includes(one) ? `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}` : one,
          )
          expect(written).to.equal(`{"signed":{"a":"${escaped.join('')}"},"signatures":[]}`)
        },
      ),
    )
  })

  it('answers any bytes with a value or a code', () => {
    const bytes = attachSignatures({ message }, [])
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, end) => {
        const changed = Buffer.from(bytes)
        changed[at] = value
        for (const parser of [parseRoot, parseSnapshot, parseTimestamp]) codeOf(() => parser(changed.subarray(0, end)))
        codeOf(() => parseTargets(changed, RELEASES))
      }),
    )
  })
})

describe('verifySignatures', () => {
  const message = Buffer.from('message')
  const pairs = Array.from({ length: 3 }, () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }))
  const publicKeys = pairs.map(({ publicKey }) => publicKeyOf(publicKey))
  const keys = new Map(publicKeys.map((key) => [key.tufKeyId, key]))
  const entries: SignatureEntry[] = pairs.map(({ privateKey }, index) => ({
    keyId: publicKeys[index]!.tufKeyId,
    ...signMessage(privateKey, message),
  }))
  const broken: SignatureEntry = { ...entries[0]!, signature: Buffer.alloc(64) }
  const verify = (signatures: SignatureEntry[], threshold: number, listed = keys) =>
    codeOf(() => {
      verifySignatures({ message, signatures }, listed, threshold)
    })?.code

  it('counts distinct keys, in any order and however often each signs', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(2), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 4 }),
        (picks, threshold) => {
          const enough = new Set(picks).size >= threshold
          expect(
            verify(
              picks.map((pick) => entries[pick]!),
              threshold,
            ),
          ).to.equal(enough ? undefined : 'SIGNATURE_BELOW_THRESHOLD')
        },
      ),
      { numRuns: 40 },
    )
  })

  it('passes over broken signatures, foreign keys and unknown methods', () => {
    const foreign: SignatureEntry = { ...entries[0]!, keyId: 'ff' as TufKeyId }
    const unknown: SignatureEntry = { ...entries[1]!, method: 'unknown' }
    expect(verify([broken, foreign, unknown, entries[0]!], 1)).to.equal(undefined)
    expect(verify([broken, foreign, unknown], 1)).to.equal('SIGNATURE_BELOW_THRESHOLD')
  })

  it('fails hard where a key that signed is listed under an ID not its own', () => {
    const id = 'ab'.repeat(32) as TufKeyId
    const listed = new Map([...keys, [id, publicKeys[0]!] as const])
    expect(verify([{ ...entries[0]!, keyId: id }, entries[1]!], 1, listed)).to.equal('KEY_ID_MISMATCH')
    expect(verify([entries[1]!], 1, listed)).to.equal(undefined)
  })

  it('refuses a threshold of zero', () => {
    expect(verify([entries[0]!], 0)).to.equal('METADATA_THRESHOLD')
    expect(verify([broken], -1)).to.equal('METADATA_THRESHOLD')
  })

  it('counts one key once, though it is listed bare and as a certificate', () => {
    const root = parseRoot(vectorBytes('repo-ecdsa/1.root.json'))
    const certificate = root.metadata.keys.get(root.metadata.roles.get(ROOT)!.keyIds[0]!)!
    const entry = root.signatures[0]!
    const twin: PublicKey = { ...certificate, tufKeyId: 'cd'.repeat(32) as TufKeyId }
    const listed = new Map([
      [certificate.tufKeyId, certificate],
      [twin.tufKeyId, twin],
    ])
    const file = { message: root.message, signatures: [entry, { ...entry, keyId: twin.tufKeyId }] }
    expectCode('SIGNATURE_BELOW_THRESHOLD', () => {
      verifySignatures(file, listed, 2)
    })
    verifySignatures(file, listed, 1)
    expect(encodeBase64(entry.signature)).to.have.lengthOf(88)
  })
})
