import { expect } from 'chai'
import fc from 'fast-check'
import { parseImageReference, requireTag } from '../../src/domain/image-reference.ts'
import { expectCode } from '../support/expect-code.ts'

const digest = 'b'.repeat(64)
const long = (count: number): string => 'a'.repeat(count)

/** [text, registry, repository, tag, has digest]; after distribution/reference v0.6.0 normalize_test.go and reference_test.go. */
const valid: readonly [string, string, string, string | undefined, boolean][] = [
  ['alpine', 'docker.io', 'library/alpine', undefined, false],
  ['alpine:3.20', 'docker.io', 'library/alpine', '3.20', false],
  ['library/alpine:3.20', 'docker.io', 'library/alpine', '3.20', false],
  ['docker.io/alpine:3.20', 'docker.io', 'library/alpine', '3.20', false],
  ['docker.io/library/alpine', 'docker.io', 'library/alpine', undefined, false],
  ['index.docker.io/alpine', 'docker.io', 'library/alpine', undefined, false],
  ['index.docker.io/library/alpine:1', 'docker.io', 'library/alpine', '1', false],
  ['team/app', 'docker.io', 'team/app', undefined, false],
  ['docker.io/team/app:1', 'docker.io', 'team/app', '1', false],
  ['localhost/app', 'localhost', 'app', undefined, false],
  ['localhost', 'docker.io', 'library/localhost', undefined, false],
  ['localhost:5000/app:1', 'localhost:5000', 'app', '1', false],
  ['localhost:5000', 'docker.io', 'library/localhost', '5000', false],
  ['registry.example.com/team/app:1.4', 'registry.example.com', 'team/app', '1.4', false],
  ['registry.example.com:5000/team/app:1.4', 'registry.example.com:5000', 'team/app', '1.4', false],
  ['registry.example.com:5000/team/app', 'registry.example.com:5000', 'team/app', undefined, false],
  ['registry.example.com', 'docker.io', 'library/registry.example.com', undefined, false],
  ['127.0.0.1:5000/app:x', '127.0.0.1:5000', 'app', 'x', false],
  ['[2001:db8::1]:5000/app:x', '[2001:db8::1]:5000', 'app', 'x', false],
  ['[::1]/app', '[::1]', 'app', undefined, false],
  ['EXAMPLE/app', 'EXAMPLE', 'app', undefined, false],
  ['xn--7o8h.com/app:1', 'xn--7o8h.com', 'app', '1', false],
  ['registry.example.com/a/b/c/d/e:1', 'registry.example.com', 'a/b/c/d/e', '1', false],
  [
    'registry.example.com/foo__bar/foo--bar/foo.bar/foo---bar',
    'registry.example.com',
    'foo__bar/foo--bar/foo.bar/foo---bar',
    undefined,
    false,
  ],
  [`app@sha256:${digest}`, 'docker.io', 'library/app', undefined, true],
  [`registry.example.com:5000/app:1@sha256:${digest}`, 'registry.example.com:5000', 'app', '1', true],
  ['app:__proto__', 'docker.io', 'library/app', '__proto__', false],
  ['app:UPPER_1.2-3', 'docker.io', 'library/app', 'UPPER_1.2-3', false],
  [`app:${long(128)}`, 'docker.io', 'library/app', long(128), false],
  [`${digest}:1`.slice(1), 'docker.io', `library/${digest.slice(1)}`, '1', false],
]

const invalid: Readonly<Record<string, string>> = {
  empty: '',
  'a space': ' alpine',
  'a newline at the end': 'alpine:1\n',
  'an image ID': digest,
  'only a tag': ':justtag',
  'only a digest': `@sha256:${digest}`,
  'an empty tag': 'app:',
  'a tag with a slash': 'app:a/b',
  'a tag of 129 characters': `app:${long(129)}`,
  'a tag that starts with a hyphen': 'app:-x',
  'two tags': 'app:1:2',
  'a short digest': 'app@sha256:abcd',
  'an upper-case digest': `app@sha256:${'B'.repeat(64)}`,
  'a digest of 65 digits': `app@sha256:${digest}b`,
  'a digest without algorithm': `app@${digest}`,
  'two digests': `app@sha256:${digest}@sha256:${digest}`,
  'the digest before the tag': `app@sha256:${digest}:1`,
  'an upper-case repository': 'registry.example.com/Uppercase:1',
  'an upper-case short name': 'Alpine',
  'an empty component': 'registry.example.com//app',
  'a slash at the end': 'registry.example.com/app/',
  'a slash at the start': '/app',
  'a dot component': 'registry.example.com/./app',
  'a parent component': 'registry.example.com/../app',
  'three underscores': 'registry.example.com/a___b',
  'mixed separators': 'registry.example.com/a-.b',
  'a component that ends with a hyphen': 'registry.example.com/app-',
  'a scheme': 'https://registry.example.com/app',
  'user information': 'user:secret@registry.example.com/app',
  'a query': 'registry.example.com/app?x=1',
  'a host that starts with a hyphen': '-registry.example.com/app',
  'a host that ends with a hyphen': 'registry.example-.com/app',
  'an empty host label': 'registry..example.com/app',
  'an underscore in the host': 'registry_1.example.com/app',
  'an empty port': 'registry.example.com:/app',
  'a port that is a word': 'registry.example.com:http/app',
  'a port above 65535': 'registry.example.com:65536/app',
  'port zero': 'registry.example.com:0/app',
  'an unclosed IPv6 address': '[::1/app',
  'letters beyond ASCII': 'registry.example.com/äpp',
  'a NUL': 'registry.example.com/app\0',
  'a name of 256 characters': `registry.example.com/${long(256 - 'registry.example.com/'.length)}`,
  'far too long': `${'a/'.repeat(5000)}a`,
}

describe('parseImageReference', () => {
  for (const [text, registry, repository, tag, hasDigest] of valid) {
    it(`reads ${text.slice(0, 80)}`, () => {
      const image = parseImageReference(text)
      expect(image).to.deep.include({ registry, repository, gun: `${registry}/${repository}` })
      expect(image.tag).to.equal(tag)
      expect(image.digest).to.equal(hasDigest ? digest : undefined)
      expect('tag' in image).to.equal(tag !== undefined)
    })
  }

  for (const [name, text] of Object.entries(invalid)) {
    it(`refuses ${name}`, () => {
      expectCode('IMAGE_REFERENCE_INVALID', () => parseImageReference(text))
    })
  }

  it('takes a name of 255 characters', () => {
    const prefix = 'registry.example.com/'
    expect(parseImageReference(prefix + long(255 - prefix.length)).gun).to.have.length(255)
  })

  it('says that a sha512 digest is not supported', () => {
    expectCode('IMAGE_DIGEST_UNSUPPORTED', () => parseImageReference(`app@sha512:${'a'.repeat(128)}`))
  })

  it('writes a text that means the same', () => {
    const word = fc.stringMatching(/^[a-z0-9]{1,8}$/)
    const name = fc.array(word, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
    const host = fc.constantFrom('', 'docker.io/', 'index.docker.io/', 'localhost/', 'r.example:5000/')
    const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined })
    fc.assert(
      fc.property(host, name, tag, fc.boolean(), (h, n, t, hasDigest) => {
        const text = h + n + (t === undefined ? '' : `:${t}`) + (hasDigest ? `@sha256:${digest}` : '')
        const image = parseImageReference(text)
        expect(parseImageReference(image.text)).to.deep.equal(image)
        expect(image.tag).to.equal(t)
      }),
    )
  })

  it('answers every text with a reference or a coded refusal', () => {
    const alphabet = fc.constantFrom(...'aB0.-_:/@[]*% \nä'.split(''), 'sha256:', digest, 'localhost', 'docker.io')
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 30 }), (parts) => {
        const text = parts.join('')
        try {
          const image = parseImageReference(text)
          expect(parseImageReference(image.text)).to.deep.equal(image)
          expect(image.gun).to.match(/^[-A-Za-z0-9._:[\]]+\/[-a-z0-9._/]+$/)
        } catch (error) {
          expect(error).to.have.property('code').that.is.oneOf(['IMAGE_REFERENCE_INVALID', 'IMAGE_DIGEST_UNSUPPORTED'])
        }
      }),
    )
  })
})

describe('requireTag', () => {
  it('returns a reference with a written tag', () => {
    expect(requireTag(parseImageReference('alpine:3.20')).tag).to.equal('3.20')
  })

  for (const text of ['alpine', `alpine@sha256:${digest}`]) {
    it(`refuses ${text.slice(0, 20)}`, () => {
      expectCode('IMAGE_TAG_MISSING', () => requireTag(parseImageReference(text)))
    })
  }
})
