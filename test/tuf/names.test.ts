// GUNs, role names, tags, and the spellings of hex, base64 and digests.
import { expect } from 'chai'
import {
  base64OfHexDigest,
  decodeBase64,
  decodeHex,
  encodeBase64,
  hexOfBase64Digest,
  isDelegationRole,
  matchesHashes,
  parentRole,
  parseGun,
  parseRoleName,
  parseTag,
  RELEASES,
  ROOT,
  sha256Hex,
  TARGETS,
} from '@countersign/tuf'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expectCode } from './expect-code.ts'

describe('parseGun', () => {
  for (const gun of [
    'docker.io/library/alpine',
    'localhost:5055/proto/demo',
    'registry.example.test/demo/app',
    'g/x',
    '127.0.0.1:5000/a',
    '[::1]:5000/a',
    'Registry.Example.COM/team/app',
    'r.example/a.b_c__d---e/f',
    `r.example/${'a'.repeat(245)}`,
  ]) {
    it(`takes ${gun.slice(0, 40)}`, () => {
      expect(parseGun(gun)).to.equal(gun)
    })
  }
  const refused: Record<string, string> = {
    nothing: '',
    'a name without host': 'alpine',
    'an empty component': 'r.example//a',
    'a slash at the end': 'r.example/a/',
    'upper case in the path': 'r.example/A',
    'a parent component': 'r.example/../a',
    'a tag': 'r.example/a:1',
    'a pattern': 'r.example/*',
    'a line break': 'r.example/a\n',
    'a percent sign': 'r.example/%2e',
    'a scheme': 'https://r.example/a',
    '256 characters': `r.example/${'a'.repeat(246)}`,
  }
  for (const [name, gun] of Object.entries(refused)) {
    it(`refuses ${name}`, () => expectCode('GUN_INVALID', () => parseGun(gun)))
  }
})

describe('parseRoleName', () => {
  const longest = `targets/${'a'.repeat(247)}`

  for (const role of ['root', 'targets', 'snapshot', 'timestamp', 'targets/releases', 'targets/a/b-c/d_0', longest]) {
    it(`takes ${role.slice(0, 30)}`, () => {
      expect(parseRoleName(role)).to.equal(role)
    })
  }
  for (const role of [
    '',
    'Root',
    'mirrors',
    'targets/',
    '/targets',
    'targets//a',
    'targets/A',
    'targets/.',
    'targets/../root',
    'targets/a/',
    'targets/a b',
    'targets/a\n',
    'root/a',
    'targetsx/a',
    `${longest}a`,
  ]) {
    it(`refuses ${JSON.stringify(role.slice(0, 30))}`, () => expectCode('ROLE_NAME_INVALID', () => parseRoleName(role)))
  }

  it('knows delegations and their parents', () => {
    expect(isDelegationRole(TARGETS)).to.equal(false)
    expect(isDelegationRole(RELEASES)).to.equal(true)
    expect(parentRole(ROOT)).to.equal(undefined)
    expect(parentRole(RELEASES)).to.equal('targets')
    expect(parentRole(parseRoleName('targets/a/b'))).to.equal('targets/a')
  })
})

describe('parseTag', () => {
  for (const tag of ['1.0', 'latest', '_x', '__proto__', 'constructor', '10', 'A-b.c_d', 'a'.repeat(128)]) {
    it(`takes ${tag.slice(0, 20)}`, () => {
      expect(parseTag(tag)).to.equal(tag)
    })
  }
  for (const tag of ['', '-a', '.a', 'a/b', 'a:b', 'a b', 'é', 'a\n', 'a'.repeat(129)]) {
    it(`refuses ${JSON.stringify(tag.slice(0, 20))}`, () => expectCode('TAG_INVALID', () => parseTag(tag)))
  }
})

describe('encodings', () => {
  it('base64 is read back as it was written, and has one spelling', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const text = encodeBase64(bytes)
        expect(Buffer.from(decodeBase64(text))).to.deep.equal(Buffer.from(bytes))
        for (const other of [`${text}\n`, ` ${text}`, text.replace('=', ''), `${text}====`]) {
          if (other !== text) expectCode('ENCODING_BASE64', () => decodeBase64(other))
        }
      }),
    )
  })
  it('base64 with stray bits is refused', () => {
    for (const text of ['AB==', 'AAB=', 'A===', 'A', 'AA', '-_==']) {
      expectCode('ENCODING_BASE64', () => decodeBase64(text))
    }
  })
  it('hex is lower-case and even', () => {
    expect(Buffer.from(decodeHex('00ff'))).to.deep.equal(Buffer.from([0, 255]))
    for (const text of ['0', 'FF', 'zz', '0x00', '00\n']) expectCode('ENCODING_HEX', () => decodeHex(text))
  })
})

describe('digests', () => {
  const bytes = Buffer.from('manifest')
  const sha256 = createHash('sha256').update(bytes).digest('base64')
  const sha512 = createHash('sha512').update(bytes).digest('base64')
  const other = createHash('sha512').update('other').digest('base64')

  it('go from hex to base64 and back', () => {
    expect(base64OfHexDigest(sha256Hex(bytes))).to.equal(sha256)
    expect(hexOfBase64Digest(sha256)).to.equal(sha256Hex(bytes))
    expectCode('DIGEST_INVALID', () => base64OfHexDigest('ab'))
    expectCode('DIGEST_INVALID', () => hexOfBase64Digest(sha512))
  })
  it('match where all that can be computed are equal', () => {
    expect(matchesHashes(bytes, new Map([['sha256', sha256]]))).to.equal(true)
    expect(matchesHashes(bytes, new Map([['sha512', sha512]]))).to.equal(true)
    expect(
      matchesHashes(
        bytes,
        new Map([
          ['md5', 'AAAA'],
          ['sha256', sha256],
        ]),
      ),
    ).to.equal(true)
  })
  it('do not match where one differs, or none can be computed', () => {
    expect(
      matchesHashes(
        bytes,
        new Map([
          ['sha256', sha256],
          ['sha512', other],
        ]),
      ),
    ).to.equal(false)
    expect(matchesHashes(bytes, new Map([['sha256', other]]))).to.equal(false)
    expect(matchesHashes(bytes, new Map([['md5', 'AAAA']]))).to.equal(false)
    expect(matchesHashes(bytes, new Map())).to.equal(false)
  })
})
