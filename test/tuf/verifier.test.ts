// One thing is wrong in a good repository; each row names it and the code of the refusal.
import { expect } from 'chai'
import {
  RepositoryVerifier,
  TARGETS,
  TIMESTAMP_MAX_BYTES,
  type JsonObject,
  type JsonValue,
  type TufErrorCode,
} from '@countersign/tuf'
import { recordFiles } from '../../tuf/file-request.ts'
import { expectCode } from '../support/expect-code.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import {
  breakSignatures,
  declareLength,
  declareWrongHash,
  dropMember,
  editSigned,
  expire,
  listKeyUnderWrongId,
  offsetVersion,
  relabelMethod,
  replaceText,
  setMember,
  setThreshold,
  signWithForeignKey,
  stripSignatures,
  type Damage,
} from '../support/swizzler.ts'
import { testKey } from '../support/test-keys.ts'

function build(): RepositoryBuilder {
  return RepositoryBuilder.withSigner().put('targets/releases', '1.0', 'one').put('targets/countersign', '1.0', 'one')
}

type Row = readonly [what: string, damage: Damage, code: TufErrorCode]

const unknownMember = setMember('spec_version', '1.0')

/** The same for every role that root speaks of. */
const BASE: readonly Row[] = [
  ['no signatures', stripSignatures, 'SIGNATURE_NONE'],
  ['broken signatures', breakSignatures, 'SIGNATURE_BELOW_THRESHOLD'],
  ['a foreign key', signWithForeignKey, 'SIGNATURE_BELOW_THRESHOLD'],
  ['a threshold above the number of keys', setThreshold(2), 'SIGNATURE_BELOW_THRESHOLD'],
  ['an unknown method', relabelMethod('rot13'), 'SIGNATURE_BELOW_THRESHOLD'],
  ['a method of another type of key', relabelMethod('eddsa'), 'SIGNATURE_BELOW_THRESHOLD'],
  ['an expiry in the past', expire, 'ROLE_EXPIRED'],
  ['another type', setMember('_type', 'Mirrors'), 'METADATA_TYPE'],
  ['a type in lower case', setMember('_type', 'targets'), 'METADATA_TYPE'],
  ['no expiry', dropMember('expires'), 'METADATA_MALFORMED'],
  ['version zero', setMember('version', 0), 'METADATA_VERSION'],
  ['a version as text', setMember('version', '1'), 'METADATA_MALFORMED'],
  ['the largest version', setMember('version', 2_147_483_647), 'VERSION_IMPLAUSIBLE'],
  ['a version beyond 31 bits', setMember('version', 2_147_483_648), 'METADATA_VERSION'],
  ['trap Q31: a member in another case', setMember('Version', 9), 'METADATA_NAME_CASE'],
  ['trap Q31: a member twice', replaceText('"version":', '"version":9,"version":'), 'JSON_DUPLICATE_NAME'],
  ['changed text', replaceText('"expires":"2', '"expires":"3'), 'SIGNATURE_BELOW_THRESHOLD'],
  ['bytes after the end', replaceText('"}]}', '"}]}x'), 'JSON_TRAILING_BYTES'],
]

const LISTED: readonly Row[] = [
  ['a declared length that is too small', declareLength(-1), 'FILE_TOO_LONG'],
  ['a wrong SHA-512 beside the right SHA-256', declareWrongHash('sha512'), 'FILE_HASH_MISMATCH'],
  ['a wrong SHA-256', declareWrongHash('sha256'), 'FILE_MISSING'],
]

const OWN: readonly Row[] = [
  ['a root without a role', editSigned(withoutMember('roles', 'targets')), 'METADATA_ROLE_MISSING'],
  ['a root whose keys are not there', setMember('keys', new Map()), 'METADATA_KEY_MISSING'],
]

describe('RepositoryVerifier', () => {
  for (const role of ['root', 'timestamp', 'snapshot', 'targets']) {
    describe(`refuses ${role} with`, () => {
      for (const [what, damage, code] of BASE) {
        it(what, () => {
          const builder = build()
          damage(builder, role)
          expectCode(code, () => builder.verify())
        })
      }
    })
  }

  for (const role of ['snapshot', 'targets', 'targets/releases']) {
    describe(`refuses ${role} described with`, () => {
      for (const [what, damage, code] of LISTED) {
        it(what, () => {
          const builder = build()
          damage(builder, role)
          expectCode(code, () => builder.verify())
        })
      }
    })
  }

  describe('refuses', () => {
    for (const [what, damage, code] of OWN) {
      it(what, () => {
        const builder = build()
        damage(builder, 'root')
        expectCode(code, () => builder.verify())
      })
    }

    for (const role of ['timestamp', 'snapshot', 'targets', 'targets/releases']) {
      it(`a key of ${role} under an ID that is not its own`, () => {
        const builder = build()
        listKeyUnderWrongId(builder, role)
        expectCode('KEY_ID_MISMATCH', () => builder.verify())
      })
    }

    it('a root that no snapshot lists as it is', () => {
      const builder = build()
      declareWrongHash('sha256')(builder, 'root')
      expectCode('ROOT_NOT_CURRENT', () => builder.verify())
    })

    it('mix and match: targets of one snapshot under another', () => {
      const builder = build()
      const old = builder.files()
      builder.put('targets/releases', '1.0', 'two').nextVersions('targets/releases')
      const files = builder.files()
      for (const name of files.keys()) {
        if (name.startsWith('targets/releases.')) files.set(name, old.get('targets/releases.json')!)
      }
      const error = expectCode('FILE_HASH_MISMATCH', () => builder.verify({}, files))
      expect(error.facts['fileName']).to.match(/^targets\/releases\.[0-9a-f]{64}\.json$/)
    })

    it('a snapshot of another moment than the timestamp', () => {
      const builder = build()
      const old = builder.files()
      const files = builder.nextVersions().files()
      for (const name of files.keys()) if (name.startsWith('snapshot.')) files.set(name, old.get('snapshot.json')!)
      expectCode('FILE_HASH_MISMATCH', () => builder.verify({}, files))
    })

    it('a frozen timestamp, once it has expired', () => {
      const builder = build()
      const { expiresAt } = builder.role('timestamp')
      const files = builder.files()
      builder.verify({ now: expiresAt }, files)
      const later = new Date(expiresAt.getTime() + 1)
      const error = expectCode('ROLE_EXPIRED', () => builder.verify({ now: later }, files))
      expect(error.facts['role']).to.equal('timestamp')
    })

    for (const name of ['timestamp.json', 'snapshot', 'targets', 'targets/releases']) {
      it(`a missing ${name}`, () => {
        const builder = build()
        const files = builder.files()
        for (const file of files.keys()) if (file === name || file.startsWith(`${name}.`)) files.delete(file)
        expectCode('FILE_MISSING', () => builder.verify({}, files))
      })

      it(`a truncated ${name}`, () => {
        const builder = build()
        const files = builder.files()
        for (const [file, bytes] of files) {
          if (file === name || file.startsWith(`${name}.`)) files.set(file, bytes.subarray(0, bytes.length - 1))
        }
        expectCode(name === 'timestamp.json' ? 'JSON_SYNTAX' : 'FILE_HASH_MISMATCH', () => builder.verify({}, files))
      })
    }

    it('a timestamp that does not end', () => {
      const builder = build()
      const files = builder.files().set('timestamp.json', new Uint8Array(TIMESTAMP_MAX_BYTES + 1).fill(0x20))
      expectCode('FILE_TOO_LONG', () => builder.verify({}, files))
    })

    it('trap Q30: a negative length', () => {
      const builder = build()
      const entry = new Map<string, JsonValue>([
        ['hashes', new Map()],
        ['length', -1],
      ])
      builder.role('targets/releases').targets.set('odd', entry)
      expectCode('METADATA_FILE_META', () => builder.verify())
    })

    it('trap Q4: a root that took the key from the published targets', () => {
      const builder = build()
      const old = builder.files().get('targets.json')!
      builder.nextRoot().role('targets').keys = [builder.rootKey('another')]
      builder.role('targets').mangle = () => old
      const error = expectCode('SIGNATURE_BELOW_THRESHOLD', () => builder.verify())
      expect(error.facts['role']).to.equal('targets')
    })
  })

  describe('accepts', () => {
    it('unknown members, as Notary does', () => {
      for (const role of ['root', 'timestamp', 'snapshot', 'targets', 'targets/releases']) {
        const builder = build()
        unknownMember(builder, role)
        expect(builder.verify().delegations.size).to.equal(2)
      }
    })

    it('a declared length larger than the file', () => {
      const builder = build()
      for (const role of ['root', 'snapshot', 'targets', 'targets/releases']) declareLength(1000)(builder, role)
      expect(builder.verify().delegations.size).to.equal(2)
    })

    it('trap Q2: an expiry with milliseconds, which is no fault to a client', () => {
      const builder = build()
      setMember('expires', '2029-01-01T00:00:00.000Z')(builder, 'targets')
      expect(builder.verify().targets.metadata.expiresAt).to.deep.equal(new Date('2029-01-01T00:00:00Z'))
    })

    it('a version just below the ceiling', () => {
      const builder = build()
      offsetVersion(1_999_999_999)(builder, 'snapshot')
      expect(builder.verify().snapshot.metadata.version).to.equal(2_000_000_000)
    })

    it('tags with the names of JavaScript members', () => {
      const builder = build()
      const names = ['__proto__', 'constructor', '10', '9', 'toString']
      for (const name of names) builder.put('targets/releases', name, name)
      expect(
        [...builder.verify().delegations.values()].flatMap((file) => [...file.metadata.targets.keys()]),
      ).to.include.members(names)
    })
  })

  describe('as a machine', () => {
    it('gives a result only when complete, and takes nothing then', () => {
      const builder = build()
      const files = builder.files()
      const verifier = new RepositoryVerifier({ gun: builder.gun, pin: { kind: 'tofu' }, now: NOW })
      expectCode('VERIFICATION_ORDER', () => verifier.result())
      for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
        verifier.accept(files.get(request.fileName))
      }
      const repository = verifier.result()
      expect(repository.verifiedAt).to.deep.equal(NOW)
      expectCode('VERIFICATION_ORDER', () => {
        verifier.accept(undefined)
      })
    })

    it('takes no moment that is none', () => {
      const builder = build()
      expect(() => builder.verify({ now: new Date(Number.NaN) })).to.throw(RangeError)
    })

    it('asks for the same file until it has it', () => {
      const builder = build()
      const verifier = new RepositoryVerifier({ gun: builder.gun, pin: { kind: 'tofu' }, now: NOW })
      expect(verifier.next()).to.equal(verifier.next())
    })

    it('stays refused', () => {
      const builder = build()
      const verifier = new RepositoryVerifier({ gun: builder.gun, pin: { kind: 'tofu' }, now: NOW })
      expectCode('JSON_SYNTAX', () => {
        verifier.accept(Buffer.from('x'))
      })
      expectCode('JSON_SYNTAX', () => verifier.next())
      expectCode('JSON_SYNTAX', () => verifier.result())
      expectCode('JSON_SYNTAX', () => {
        verifier.accept(builder.files().get('root.json'))
      })
    })

    it('bounds what all files together may hold', () => {
      const request = { fileName: 'x', role: TARGETS, maxBytes: 10, optional: false }
      function* steps(): Generator<typeof request, string, Uint8Array | undefined> {
        for (let count = 0; count < 3; count++) yield request
        return 'done'
      }
      const run = (maxTotalBytes: number): unknown => {
        const recorded = recordFiles(steps(), new Map(), maxTotalBytes)
        let step = recorded.next()
        while (step.done !== true) step = recorded.next(new Uint8Array(4))
        return step.value
      }
      expect(run(12)).to.equal('done')
      expectCode('REPOSITORY_TOO_LARGE', () => run(11))
    })

    it('limits each download to the declared length', () => {
      const builder = build()
      const files = builder.files()
      const verifier = new RepositoryVerifier({ gun: builder.gun, pin: { kind: 'tofu' }, now: NOW })
      for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
        const bytes = files.get(request.fileName)
        const isNamedByHash = /\.[0-9a-f]{64}\.json$/.test(request.fileName)
        if (isNamedByHash) expect(request.maxBytes).to.equal(bytes!.length)
        verifier.accept(bytes)
      }
    })
  })

  describe('with acceptsExpired', () => {
    const DAY_MS = 86_400_000
    const expiredIn = (...names: string[]): RepositoryBuilder => {
      const builder = RepositoryBuilder.withSigner()
      for (const name of names) builder.role(name).expiresAt = new Date(NOW.getTime() - DAY_MS)
      return builder
    }

    it('takes targets and delegations that have expired, and names them', () => {
      const names = [TARGETS, 'targets/countersign']
      const builder = expiredIn(...names)
      expectCode('ROLE_EXPIRED', () => builder.verify())
      const { expired, delegations, unusable } = builder.verify({ acceptsExpired: true })
      expect([...expired]).to.deep.equal(names)
      expect([...delegations.keys()]).to.have.members(['targets/countersign', 'targets/releases'])
      expect([...unusable]).to.deep.equal([])
      expect([...expiredIn().verify().expired]).to.deep.equal([])
    })

    it('takes nothing else: no other expired role, no bad signature, no version below a known one', () => {
      for (const name of ['root', 'snapshot', 'timestamp']) {
        const facts = expectCode('ROLE_EXPIRED', () => expiredIn(name).verify({ acceptsExpired: true })).facts
        expect(facts).to.include({ role: name })
      }
      const forged = expiredIn(TARGETS)
      forged.role(TARGETS).signers = [testKey('stranger')]
      expectCode('SIGNATURE_BELOW_THRESHOLD', () => forged.verify({ acceptsExpired: true }))
      const highest = new Map([[TARGETS, { version: 2 }]])
      expectCode('VERSION_ROLLED_BACK', () => expiredIn(TARGETS).verify({ acceptsExpired: true, highest }))
    })
  })
})

function withoutMember(member: string, name: string): (signed: Map<string, JsonValue>) => void {
  return (signed) => {
    const kept = [...(signed.get(member) as JsonObject)].filter(([key]) => key !== name)
    signed.set(member, new Map(kept))
  }
}
