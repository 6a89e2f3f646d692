import { expect } from 'chai'
import { MANIFEST_TYPES, readManifest } from '../../src/registry/manifest.ts'
import { expectCode } from '../support/expect-code.ts'

const { dockerManifest, dockerList, ociManifest, ociIndex } = MANIFEST_TYPES
const SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+json'

const image = { schemaVersion: 2, config: {}, layers: [] }
const index = { schemaVersion: 2, manifests: [] }

function read(body: unknown, contentType: string) {
  return readManifest(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), contentType)
}

describe('readManifest', () => {
  for (const [type, body] of [
    [dockerManifest, image],
    [ociManifest, image],
    [dockerList, index],
    [ociIndex, index],
  ] as const) {
    it(`reads ${type}, with and without its own mediaType`, () => {
      expect(read({ ...body, mediaType: type }, type)).to.deep.equal({ mediaType: type, platforms: [] })
      expect(read(body, `${type}; charset=utf-8`).mediaType).to.equal(type)
    })
  }

  it('lists the platforms of an index', () => {
    const manifests = [
      { platform: { os: 'linux', architecture: 'amd64' } },
      { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
    ]
    expect(read({ ...index, manifests }, ociIndex).platforms).to.deep.equal(['linux/amd64', 'linux/arm64/v8'])
  })

  const refused: readonly (readonly [string, string, unknown, string])[] = [
    ['schema 1 by its type', 'MANIFEST_SCHEMA1_REFUSED', { schemaVersion: 1 }, SCHEMA1],
    ['signed schema 1 by its type', 'MANIFEST_SCHEMA1_REFUSED', '', SCHEMA1.replace('json', 'prettyjws')],
    ['schema 1 in disguise', 'MANIFEST_SCHEMA1_REFUSED', { ...image, schemaVersion: 1 }, dockerManifest],
    ['no schema version', 'MANIFEST_MALFORMED', { config: {}, layers: [] }, ociManifest],
    ['a schema version in text', 'MANIFEST_MALFORMED', { ...image, schemaVersion: '2' }, ociManifest],
    ['an unknown type', 'MANIFEST_TYPE_UNSUPPORTED', image, 'application/vnd.example+json'],
    ['plain JSON', 'MANIFEST_TYPE_UNSUPPORTED', image, 'application/json'],
    ['no type', 'MANIFEST_TYPE_UNSUPPORTED', image, ''],
    ['a body of another type', 'MANIFEST_TYPE_CONTRADICTORY', { ...image, mediaType: ociManifest }, dockerManifest],
    ['an index in a manifest', 'MANIFEST_TYPE_CONTRADICTORY', { ...image, manifests: [] }, ociManifest],
    ['layers in an index', 'MANIFEST_TYPE_CONTRADICTORY', { ...index, layers: [] }, ociIndex],
    ['an index served as a manifest', 'MANIFEST_TYPE_CONTRADICTORY', index, ociManifest],
    ['a manifest served as an index', 'MANIFEST_TYPE_CONTRADICTORY', image, ociIndex],
    ['two values for one name', 'MANIFEST_MALFORMED', '{"schemaVersion":2,"schemaVersion":2}', ociManifest],
    ['bytes after the document', 'MANIFEST_MALFORMED', `${JSON.stringify(image)}x`, ociManifest],
    ['a document too deep', 'MANIFEST_MALFORMED', '['.repeat(100) + ']'.repeat(100), ociManifest],
    ['a list', 'MANIFEST_MALFORMED', [], ociManifest],
    ['nothing', 'MANIFEST_MALFORMED', '', ociManifest],
  ]
  for (const [name, code, body, type] of refused) {
    it(`refuses ${name}`, () => {
      expectCode(code, () => read(body, type))
    })
  }
})
