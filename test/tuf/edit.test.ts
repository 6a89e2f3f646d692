// The next version of a targets role: what it keeps, and when there is none.
import { expect } from 'chai'
import {
  attachSignatures,
  canonicalText,
  describeChange,
  editTargets,
  parseRoleName,
  parseTag,
  parseTargets,
  RELEASES,
  TARGETS,
  verifyNextVersion,
  type JsonObject,
  type JsonValue,
  type RoleName,
  type TargetsChange,
  type TrustedRepository,
  type TufErrorCode,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { expectCode } from '../support/expect-code.ts'
import { imageOf, NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { breakSignatures, editSigned, expire, replaceText, setMember } from '../support/swizzler.ts'
import { signWith, testKey } from '../support/test-keys.ts'

const expiresAt = new Date('2029-05-31T12:34:56.789Z')
const SIGNER = parseRoleName('targets/countersign')

function put(name: string, content: string): TargetsChange {
  return { kind: 'put', name: parseTag(name), ...imageOf(content) }
}

function drop(name: string): TargetsChange {
  return { kind: 'drop', name: parseTag(name) }
}

function build(): RepositoryBuilder {
  const builder = RepositoryBuilder.withSigner()
  return builder.put('targets/releases', '1.0', 'one').put('targets/releases', '1.1', 'two')
}

function edit(repository: TrustedRepository, changes: TargetsChange[], role: RoleName = RELEASES, version = 2) {
  return editTargets(repository, role, changes, { version, expiresAt })
}

function signed(unsigned: UnsignedMetadata | undefined, key = testKey('countersign')): Uint8Array {
  expect(unsigned).not.to.equal(undefined)
  return attachSignatures(unsigned!, [signWith(key, unsigned!.message)])
}

function entriesOf(unsigned: UnsignedMetadata | undefined): string[] {
  return [...(unsigned!.signed.get('targets') as JsonObject).keys()].sort()
}

describe('editTargets', () => {
  it('puts and drops entries, raises the version and sets whole seconds', () => {
    const repository = build().verify()
    const unsigned = edit(repository, [put('2.0', 'three'), drop('1.0')])
    expect(entriesOf(unsigned)).to.deep.equal(['1.1', '2.0'])
    expect(unsigned!.signed.get('expires')).to.equal('2029-05-31T12:34:56Z')
    expect(unsigned).to.include({ version: 2, role: RELEASES })
    expect(Buffer.from(unsigned!.message).toString()).to.equal(canonicalText(unsigned!.signed))
  })

  it('keeps every other entry as received, custom data and further hashes included', () => {
    const builder = build()
    const other = new Map<string, JsonValue>([
      [
        'custom',
        new Map<string, JsonValue>([
          ['b', [1, null]],
          ['a', 'x'],
        ]),
      ],
      [
        'hashes',
        new Map([
          ['sha256', Buffer.alloc(32).toString('base64')],
          ['blake2b', 'AAAA'],
        ]),
      ],
      ['length', 0],
    ])
    builder.role('targets/releases').targets.set('other', other)
    const unsigned = edit(builder.verify(), [put('1.0', 'new')])
    const entries = unsigned!.signed.get('targets') as JsonObject
    expect(canonicalText(entries.get('other')!)).to.equal(canonicalText(other))
  })

  it('replaces a moved entry whole, without its custom data and SHA-512', () => {
    const builder = build()
    editSigned((content) => {
      const entry = new Map((content.get('targets') as JsonObject).get('1.0') as JsonObject)
      entry.set('custom', 'signed by hand')
      ;(content.get('targets') as Map<string, JsonValue>).set('1.0', entry)
    })(builder, 'targets/releases')
    const entries = edit(builder.verify(), [put('1.0', 'new')])!.signed.get('targets') as JsonObject
    const { sha256, length } = imageOf('new')
    const digest = Buffer.from(sha256, 'hex').toString('base64')
    expect(canonicalText(entries.get('1.0')!)).to.equal(`{"hashes":{"sha256":"${digest}"},"length":${length}}`)
  })

  it('leaves the repository as it was', () => {
    const repository = build().verify()
    const before = canonicalText(repository.delegations.get(RELEASES)!.signed)
    edit(repository, [drop('1.0')])
    expect(canonicalText(repository.delegations.get(RELEASES)!.signed)).to.equal(before)
  })

  it('has no next version where nothing would change', () => {
    const repository = build().verify()
    expect(edit(repository, [put('1.0', 'one'), drop('absent')])).to.equal(undefined)
    expect(edit(repository, [])).to.equal(undefined)
    expect(edit(repository, [drop('1.0')], SIGNER)).to.equal(undefined)
  })

  it('starts from nothing where the role was never published', () => {
    const builder = build()
    builder.role('targets/countersign').published = false
    const repository = builder.verify()
    const unsigned = editTargets(repository, SIGNER, [put('1.0', 'one')], { version: 7, expiresAt })
    expect(entriesOf(unsigned)).to.deep.equal(['1.0'])
    expect(unsigned?.version).to.equal(7)
    expect(edit(repository, [drop('1.0')], SIGNER)).to.equal(undefined)
    verifyNextVersion(repository, SIGNER, signed(unsigned), [put('1.0', 'one')])
  })

  it('takes the same change twice for one', () => {
    expect(
      entriesOf(edit(build().verify(), [put('2.0', 'x'), put('2.0', 'x'), drop('1.0'), drop('1.0')])),
    ).to.deep.equal(['1.1', '2.0'])
  })

  it('drops a name outside the paths, which clients do not see anyway', () => {
    const builder = build()
    builder.role('targets/releases').paths = ['v']
    expect(entriesOf(edit(builder.verify(), [drop('1.0')]))).to.deep.equal(['1.1'])
  })

  it('carries tags that are names of JavaScript members, in the byte order of Notary', () => {
    const builder = build()
    for (const name of ['__proto__', '10', '9', 'constructor']) builder.put('targets/releases', name, name)
    const text = Buffer.from(edit(builder.verify(), [put('toString', 'x')])!.message).toString()
    const names = [...text.matchAll(/"([\w.]+)":\{"hashes"/g)].map(([, name]) => name)
    expect(names).to.deep.equal(['1.0', '1.1', '10', '9', '__proto__', 'constructor', 'toString'])
  })

  it('repairs a layout that is not normal: trap Q2 and pretty printing', () => {
    const builder = build()
    setMember('expires', '2029-01-01T00:00:00.000Z')(builder, 'targets/releases')
    replaceText('{"signed":', '{ "signed" : ')(builder, 'targets/releases')
    const repository = builder.verify()
    verifyNextVersion(repository, RELEASES, signed(edit(repository, [drop('1.0')])), [drop('1.0')])
  })

  it('writes for absent and null members what Go writes', () => {
    const builder = build()
    editSigned((content) => {
      content.set('delegations', null)
      content.set('targets', null)
    })(builder, 'targets/releases')
    const repository = builder.verify()
    const unsigned = edit(repository, [put('1.0', 'x')])
    expect(canonicalText(unsigned!.signed.get('delegations')!)).to.equal('{"keys":null,"roles":null}')
    verifyNextVersion(repository, RELEASES, signed(unsigned), [put('1.0', 'x')])
  })

  describe('refuses', () => {
    const odd = (name: string, value: JsonValue) => (builder: RepositoryBuilder) => {
      const entry = new Map<string, JsonValue>([
        ['hashes', new Map()],
        ['length', 1],
        [name, value],
      ])
      builder.role('targets/releases').targets.set('odd', entry)
    }
    const rows: readonly (readonly [string, TufErrorCode, (builder: RepositoryBuilder) => unknown, TargetsChange[]])[] =
      [
        [
          'a name outside the paths',
          'TARGET_OUTSIDE_PATHS',
          (b) => (b.role('targets/releases').paths = ['v']),
          [put('1', 'x')],
        ],
        [
          'an expired role',
          'ROLE_UNUSABLE',
          (b) => {
            expire(b, 'targets/releases')
          },
          [put('1', 'x')],
        ],
        [
          'a badly signed role',
          'ROLE_UNUSABLE',
          (b) => {
            breakSignatures(b, 'targets/releases')
          },
          [put('1', 'x')],
        ],
        ['changes that contradict each other', 'CHANGES_CONFLICT', () => undefined, [put('1', 'x'), put('1', 'y')]],
        ['a put and a drop of one name', 'CHANGES_CONFLICT', () => undefined, [put('1', 'x'), drop('1')]],
        [
          'an unknown member',
          'NORMAL_FORM_UNKNOWN_MEMBER',
          (b) => {
            setMember('spec_version', '1')(b, 'targets/releases')
          },
          [put('1', 'x')],
        ],
        ['an unknown member of an entry', 'NORMAL_FORM_UNKNOWN_MEMBER', odd('note', 'x'), [put('1', 'x')]],
        [
          'trap Q23: custom data that Notary cannot sign again',
          'NORMAL_FORM_CUSTOM',
          odd('custom', '<&>'),
          [put('1', 'x')],
        ],
        [
          'an entry without hashes',
          'NORMAL_FORM_MISSING_MEMBER',
          (b) => b.role('targets/releases').targets.set('odd', new Map([['length', 1]])),
          [put('1', 'x')],
        ],
        ['a length of zero', 'METADATA_FILE_META', () => undefined, [{ ...put('1', 'x'), length: 0 } as TargetsChange]],
        [
          'a length with a fraction',
          'METADATA_FILE_META',
          () => undefined,
          [{ ...put('1', 'x'), length: 1.5 } as TargetsChange],
        ],
        [
          'a digest in upper case',
          'DIGEST_INVALID',
          () => undefined,
          [{ ...put('1', 'x'), sha256: 'AB'.repeat(32) } as TargetsChange],
        ],
      ]
    for (const [what, code, damage, changes] of rows) {
      it(what, () => {
        const builder = build()
        damage(builder)
        const repository = builder.verify()
        expectCode(code, () => edit(repository, changes))
      })
    }

    it('a role that nobody delegates to, and roles that hold no targets', () => {
      const repository = build().verify()
      for (const role of ['targets/nobody', 'root', 'snapshot', 'timestamp']) {
        expectCode('ROLE_NOT_DELEGATED', () => edit(repository, [drop('1.0')], parseRoleName(role)))
      }
    })

    it('a repository that no verifier made, whatever its type', () => {
      const repository = build().verify()
      const alike = [Object.assign({}, repository), Object.create(repository)] as unknown as TrustedRepository[]
      for (const other of alike) expect(() => edit(other, [drop('1.0')])).to.throw(TypeError)
      for (const other of alike)
        expect(() => verifyNextVersion(other, RELEASES, new Uint8Array(), [])).to.throw(TypeError)
    })

    it('a version that is not higher, or not plausible', () => {
      const builder = build()
      builder.role('targets/releases').version = 5
      const repository = builder.verify()
      const at = (version: number) => () => edit(repository, [drop('1.0')], RELEASES, version)
      expectCode('VERSION_ROLLED_BACK', at(4))
      expectCode('VERSION_FORKED', at(5))
      expectCode('VERSION_IMPLAUSIBLE', at(2_000_000_001))
      for (const version of [0, -1, 6.5, Number.NaN]) expectCode('METADATA_VERSION', at(version))
      expect(at(6)()?.version).to.equal(6)
    })

    it('an expiry in the past, and one that is no date', () => {
      const repository = build().verify()
      const until = (date: Date) => () =>
        editTargets(repository, TARGETS, [put('1', 'x')], { version: 2, expiresAt: date })
      expectCode('ROLE_EXPIRED', until(new Date(NOW.getTime() - 1)))
      expectCode('METADATA_EXPIRES', until(new Date(Number.NaN)))
    })
  })

  it('changes ten thousand tags without quadratic work', () => {
    const builder = build()
    for (let count = 0; count < 10_000; count++) builder.put('targets/releases', `tag-${count}`, 'x')
    const repository = builder.verify()
    const changes = Array.from({ length: 1000 }, (_, count) => put(`tag-${count * 7}`, 'y'))
    const next = verifyNextVersion(repository, RELEASES, signed(edit(repository, changes)), changes)
    expect(next.metadata.targets.size).to.equal(10_002)
    expect(describeChange(repository.delegations.get(RELEASES)!.metadata, next.metadata).moved).to.have.length(1000)
  })

  it('makes files that parse as the role they are for', () => {
    const unsigned = edit(build().verify(), [put('1', 'x')])
    expect(parseTargets(signed(unsigned), RELEASES).metadata.version).to.equal(2)
  })
})
