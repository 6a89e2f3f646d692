// What is wrong with one delegation, and whether clients pass over it or refuse the whole repository.
import { expect } from 'chai'
import {
  findTarget,
  MAX_DELEGATION_FILES,
  parseRoleName,
  RELEASES,
  TARGETS,
  type JsonObject,
  type JsonValue,
  type TufErrorCode,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import {
  breakSignatures,
  declareWrongHash,
  editSigned,
  expire,
  relabelMethod,
  setMember,
  setThreshold,
  signWithForeignKey,
  stripSignatures,
  type Damage,
} from '../support/swizzler.ts'
import { testCertificateKey, testKey } from '../support/test-keys.ts'

function build(): RepositoryBuilder {
  return RepositoryBuilder.withSigner()
    .put('targets', '1.0', 'old')
    .put('targets/releases', '1.0', 'new')
    .put('targets/countersign', '1.0', 'new')
}

const PASSED_OVER: readonly (readonly [string, Damage, TufErrorCode])[] = [
  ['a foreign key', signWithForeignKey, 'SIGNATURE_BELOW_THRESHOLD'],
  ['broken signatures', breakSignatures, 'SIGNATURE_BELOW_THRESHOLD'],
  ['an unknown method', relabelMethod('rot13'), 'SIGNATURE_BELOW_THRESHOLD'],
  ['a threshold above the number of keys', setThreshold(2), 'SIGNATURE_BELOW_THRESHOLD'],
  ['an expiry in the past', expire, 'ROLE_EXPIRED'],
]

const FATAL: readonly (readonly [string, Damage, TufErrorCode])[] = [
  ['no signatures', stripSignatures, 'SIGNATURE_NONE'],
  ['another type', setMember('_type', 'Root'), 'METADATA_TYPE'],
  ['a target that is no object', setMember('targets', new Map([['x', 1]])), 'METADATA_MALFORMED'],
  ['a wrong SHA-512', declareWrongHash('sha512'), 'FILE_HASH_MISMATCH'],
  ['an implausible version', setMember('version', 2_147_483_647), 'VERSION_IMPLAUSIBLE'],
  ['trap Q33: a child that is not its own', addRole('targets/elsewhere/x'), 'METADATA_DELEGATION'],
  ['a child with a name that is no role', addRole('targets/releases/X'), 'METADATA_DELEGATION'],
  ['a child without a threshold', addRole('targets/releases/x', { threshold: 0 }), 'METADATA_THRESHOLD'],
  ['a child whose key is not there', addRole('targets/releases/x', { keyids: ['ab'] }), 'METADATA_KEY_MISSING'],
]

describe('delegations', () => {
  for (const [what, damage, code] of PASSED_OVER) {
    it(`pass over ${what}; trap Q8: the tag then comes from base targets`, () => {
      const builder = build()
      damage(builder, 'targets/releases')
      const repository = builder.verify()
      expect(repository.unusable).to.deep.equal(new Map([[RELEASES, code]]))
      expect([...repository.delegations.keys()]).to.deep.equal(['targets/countersign'])
      expect(findTarget(repository, '1.0')?.role).to.equal(TARGETS)
    })
  }

  for (const [what, damage, code] of FATAL) {
    it(`refuse the whole repository for ${what}`, () => {
      const builder = build()
      damage(builder, 'targets/releases')
      const error = expectCode(code, () => builder.verify())
      expect(error.facts['fileName']).to.match(/^targets\/releases\./)
    })
  }

  it('trap Q33: refuse the whole repository for a bad certificate among the keys, even of a role without a file', () => {
    const builder = build()
    const { publicKey, privateKey } = testCertificateKey('bad', { commonName: 'signer' })
    const broken = { ...publicKey, publicValue: Buffer.from('no certificate').toString('base64') }
    builder.delegate('targets/bad', { keys: [{ privateKey, publicKey: broken }], published: false })
    expectCode('CERTIFICATE_PEM', () => builder.verify())
  })

  it('take a certificate for a delegation, although it has expired', () => {
    const builder = build()
    const key = testCertificateKey('signer', { commonName: 'anything', notAfter: new Date('2026-02-01T00:00:00Z') })
    builder.delegate('targets/signer', { keys: [key] })
    expect(builder.verify().unusable.size).to.equal(0)
  })

  it('trap Q22: one key under two certificates is refused, not passed over, because clients accept the role', () => {
    const builder = build()
    const keys = [1, 2].map((serialNumber) => testCertificateKey('same', { commonName: 'signer', serialNumber }))
    builder.delegate('targets/signer', { keys, threshold: 2 })
    expectCode('SIGNATURE_KEY_REPEATED', () => builder.verify())
    builder.delegate('targets/signer', { keys: [...keys, testKey('other')], threshold: 2 })
    expect(builder.verify().unusable.size).to.equal(0)
  })

  it('count a key once, however often it signed', () => {
    const builder = build()
    builder.delegate('targets/signer', { keys: [testKey('one'), testKey('two')], threshold: 2 })
    builder.role('targets/signer').signers = [testKey('one')]
    builder.role('targets/signer').editSignatures = ([entry]) => [entry!, entry!, entry!]
    expect(builder.verify().unusable.get(parseRoleName('targets/signer'))).to.equal('SIGNATURE_BELOW_THRESHOLD')
  })

  it('accept signatures of anybody beside enough right ones, in any order', () => {
    const builder = build()
    builder.role('targets/releases').signers = [testKey('foreign'), testKey('countersign'), testKey('stranger')]
    expect(builder.verify().unusable.size).to.equal(0)
  })

  it('skip keys of unknown types, and roles without keys', () => {
    const builder = build()
    editSigned((signed) => {
      const delegations = signed.get('delegations') as Map<string, JsonValue>
      const key = new Map<string, JsonValue>([
        ['keytype', 'post-quantum'],
        [
          'keyval',
          new Map([
            ['private', null],
            ['public', 'AAAA'],
          ]),
        ] as const,
      ])
      delegations.set('keys', new Map([...(delegations.get('keys') as JsonObject), ['future', key]]))
    })(builder, 'targets')
    builder.delegate('targets/nobody', { keys: [] })
    builder.role('targets/nobody').editSignatures = () => [
      { keyId: testKey('foreign').publicKey.tufKeyId, method: 'ecdsa', signature: new Uint8Array(64) },
    ]
    expect(builder.verify().unusable.get(parseRoleName('targets/nobody'))).to.equal('SIGNATURE_BELOW_THRESHOLD')
  })

  it('let the first of two entries with one name count', () => {
    const builder = build()
    editSigned((signed) => {
      const delegations = signed.get('delegations') as Map<string, JsonValue>
      const roles = delegations.get('roles') as JsonValue[]
      const second = new Map([...(roles[1] as JsonObject), ['keyids', []], ['paths', []]])
      delegations.set('roles', [...roles, second])
    })(builder, 'targets')
    const repository = builder.verify()
    expect(repository.unusable.size).to.equal(0)
    expect(findTarget(repository, '1.0')?.role).to.equal(RELEASES)
  })

  it('go down as deep as names allow, depth first', () => {
    const builder = new RepositoryBuilder()
    let role = 'targets'
    const names: string[] = []
    for (let depth = 0; depth < 30; depth++) {
      role = `${role}/a`
      builder.delegate(role)
      names.push(role)
    }
    builder.delegate('targets/b')
    expect([...builder.verify().delegations.keys()]).to.deep.equal([...names, 'targets/b'])
  })

  it('do not follow what an unusable role delegates', () => {
    const builder = build().delegate('targets/releases/child')
    signWithForeignKey(builder, 'targets/releases')
    const repository = builder.verify()
    expect([...repository.delegations.keys(), ...repository.unusable.keys()]).not.to.include('targets/releases/child')
  })

  it('take null for nothing, as Go writes it', () => {
    const builder = build()
    const none = new Map([
      ['keys', null],
      ['roles', null],
    ])
    setMember('delegations', none)(builder, 'targets/releases')
    setMember('targets', null)(builder, 'targets/countersign')
    expect(builder.verify().unusable.size).to.equal(0)
    setMember('delegations', null)(builder, 'targets')
    expect(builder.verify().delegations.size).to.equal(0)
  })

  it('refuse more roles than one verification reads', () => {
    const builder = new RepositoryBuilder()
    for (let count = 0; count <= MAX_DELEGATION_FILES; count++) {
      builder.delegate(`targets/r${count}`, { keys: [testKey('same')] })
    }
    expectCode('DELEGATIONS_TOO_MANY', () => builder.verify())
  })
})

function addRole(name: string, members: { threshold?: number; keyids?: string[] } = {}): Damage {
  const { threshold = 1, keyids = [] } = members
  return editSigned((signed) => {
    const role = new Map<string, JsonValue>([
      ['keyids', keyids],
      ['name', name],
      ['paths', ['']],
      ['threshold', threshold],
    ])
    signed.set(
      'delegations',
      new Map<string, JsonValue>([
        ['keys', new Map()],
        ['roles', [role]],
      ]),
    )
  })
}
