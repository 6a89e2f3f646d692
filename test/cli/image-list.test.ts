// What `--from` reads: which images a Compose file, the metadata file of a build and a list mean, and which of them are refused.
import { expect } from 'chai'
import { Readable } from 'node:stream'
import { listImages } from '../../src/cli/image-list/list.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const read = async (text: string): Promise<readonly string[]> => {
  const terminal = { stdin: Readable.from([Buffer.from(text)]) } as unknown as Terminal
  return (await listImages(terminal, [], '-')).map((reference) => reference.text)
}
const HOST = 'registry.example.com'
const digest = (letter: string): string => `sha256:${letter.repeat(64)}`

describe('--from', () => {
  it('a list: one image per line, whatever it is called', async () => {
    expect(await read(`\uFEFF# release\n${HOST}/services:1\r\n\n  services:2\n`)).to.deep.equal([
      `${HOST}/services:1`,
      'docker.io/library/services:2',
    ])
  })

  describe('a Compose file', () => {
    it('the image of each service, each once, in the order of the file', async () => {
      const text = `name: shop\nservices:\n  web:\n    image: ${HOST}/web:1\n    depends_on: [db]\n  worker:\n    image: "${HOST}/web:1"\n  db: { image: '${HOST}/db:2' }\n  built: { build: . }\nvolumes: { data: {} }\n`
      expect(await read(text)).to.deep.equal([`${HOST}/web:1`, `${HOST}/db:2`])
    })

    it('follows anchors, aliases and merges, and what is written beside a merge comes first', async () => {
      const text = `
x-image: &image ${HOST}/api:1
x-base: &base
  image: ${HOST}/base:1
  restart: always
x-more: &more { <<: *base, environment: { A: b } }
services:
  alias: { image: *image }
  merged: { <<: *more }
  first: { <<: [ { image: ${HOST}/one:1 }, *base ] }
  own: { <<: *more, image: ${HOST}/own:1 }
  whole: *more
`
      expect(await read(text)).to.deep.equal(['api', 'base', 'one', 'own'].map((name) => `${HOST}/${name}:1`))
    })

    it('what docker compose config prints as JSON', async () => {
      const config = { name: 'shop', services: { web: { image: `${HOST}/web:1`, command: null } } }
      expect(await read(JSON.stringify(config))).to.deep.equal([`${HOST}/web:1`])
      expect(await read(JSON.stringify(config, null, 2))).to.deep.equal([`${HOST}/web:1`])
    })

    const unresolved: Readonly<Record<string, string>> = {
      'a variable': 'services:\n  web: { image: "registry.example.com/web:${TAG:-1}" }\n',
      'a service that extends another one': 'services:\n  web: { extends: { file: a.yaml, service: b } }\n',
      'an include': 'include: [other.yaml]\nservices:\n  web: { image: a:1 }\n',
    }
    for (const [name, text] of Object.entries(unresolved)) {
      it(`${name}: IMAGE_LIST_UNRESOLVED`, () => expectCodeAsync('IMAGE_LIST_UNRESOLVED', () => read(text)))
    }

    const malformed: Readonly<Record<string, string>> = {
      'broken YAML': 'services: {\n',
      'no mapping of services': 'services:\n  - web\n',
      'a service that is none': 'services:\n  web: a:1\n',
      'an image that is a number': 'services:\n  web: { image: 7 }\n',
      'an alias without an anchor': 'services:\n  web: *nowhere\n',
      'a tag of its own, which changes what is merged': 'services:\n  web: { image: !reset null }\n',
      'a merge of itself': 'services:\n  web: &a { <<: *a }\n',
      // Ten merges of ten each, seven deep: nobody waits for them.
      'merges that multiply': `${Array.from(
        { length: 8 },
        (_, n) =>
          `x${n}: &m${n} { <<: [${
            n === 0
              ? '{}'
              : Array(10)
                  .fill(`*m${n - 1}`)
                  .join(', ')
          }] }`,
      ).join('\n')}\nservices:\n  web: *m7\n`,
    }
    for (const [name, text] of Object.entries(malformed)) {
      it(`${name}: IMAGE_LIST_MALFORMED`, () => expectCodeAsync('IMAGE_LIST_MALFORMED', () => read(text)))
    }

    it('no image at all: IMAGE_LIST_EMPTY', () =>
      expectCodeAsync('IMAGE_LIST_EMPTY', () => read('services:\n  a: { build: . }\n')))
  })

  describe('the metadata file of a build', () => {
    const target = (letter: string, name?: string) => ({
      'buildx.build.ref': `builder/builder0/${letter}`,
      'containerimage.descriptor': {
        mediaType: 'application/vnd.oci.image.index.v1+json',
        digest: digest(letter),
        size: 1,
      },
      'containerimage.digest': digest(letter),
      ...(name !== undefined && { 'image.name': name }),
    })

    it('of bake: every name of every target, at the digest that was pushed', async () => {
      const file = {
        'buildx.build.warnings': [],
        api: target('a', `${HOST}/api:1,${HOST}/api:latest`),
        services: target('b', `docker.io/team/services:1`),
        assets: { 'buildx.build.ref': 'builder/builder0/c' },
      }
      expect(await read(JSON.stringify(file, null, 2))).to.deep.equal([
        `${HOST}/api:1@${digest('a')}`,
        `${HOST}/api:latest@${digest('a')}`,
        `docker.io/team/services:1@${digest('b')}`,
      ])
    })

    it('of one build', async () => {
      expect(await read(JSON.stringify(target('a', `${HOST}/api:1`)))).to.deep.equal([`${HOST}/api:1@${digest('a')}`])
    })

    const malformed: Readonly<Record<string, string>> = {
      'no JSON': '{ "api": ',
      'a target that is none': '{ "api": [] , "web": 1 }',
      'a digest without a name, as several nodes leave it': JSON.stringify({ api: target('a') }),
      'a name without a digest': JSON.stringify({ api: { 'image.name': `${HOST}/api:1` } }),
      'a digest that is none': JSON.stringify({
        api: { ...target('a', `${HOST}/api:1`), 'containerimage.digest': 'sha256:a' },
      }),
    }
    for (const [name, text] of Object.entries(malformed)) {
      it(`${name}: IMAGE_LIST_MALFORMED`, () => expectCodeAsync('IMAGE_LIST_MALFORMED', () => read(text)))
    }

    it('a name that is none: IMAGE_REFERENCE_INVALID', () =>
      expectCodeAsync('IMAGE_REFERENCE_INVALID', () => read(JSON.stringify({ api: target('a', 'https://x/y') }))))
  })
})
