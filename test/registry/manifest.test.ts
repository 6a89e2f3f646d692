import { expect } from 'chai'
import fc from 'fast-check'
import { CodedError } from '@countersign/tuf'
import { ACCEPTED_TYPES, MANIFEST_TYPES, readManifest } from '../../src/registry/manifest.ts'
import { expectCode } from '../support/expect-code.ts'

const { dockerManifest, dockerList, ociManifest, ociIndex } = MANIFEST_TYPES
const descriptor = { mediaType: 'application/octet-stream', digest: `sha256:${'0'.repeat(64)}`, size: 7 }
const MANIFEST = { schemaVersion: 2, config: descriptor, layers: [descriptor] }
const entry = (platform?: unknown) => ({ ...descriptor, ...(platform === undefined ? {} : { platform }) })
const INDEX = { schemaVersion: 2, manifests: [entry({ os: 'linux', architecture: 'amd64' })] }

function read(document: unknown, type: string) {
  return readManifest(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)), type)
}

describe('readManifest', () => {
  for (const [type, document] of [
    [dockerManifest, MANIFEST],
    [ociManifest, MANIFEST],
    [dockerList, INDEX],
    [ociIndex, INDEX],
  ] as const) {
    it(`reads ${type}, with its type inside and without`, () => {
      const platforms = document === INDEX ? ['linux/amd64'] : []
      expect(read(document, type)).to.deep.equal({ mediaType: type, platforms })
      expect(read({ ...document, mediaType: type }, type)).to.deep.equal({ mediaType: type, platforms })
    })
  }

  it('reads the type whatever its case and parameters', () => {
    expect(read(MANIFEST, ` ${ociManifest.toUpperCase()} ; charset=utf-8`).mediaType).to.equal(ociManifest)
  })

  it('asks for what it reads, and not for schema 1', () => {
    expect(ACCEPTED_TYPES.split(', ')).to.have.members([dockerManifest, dockerList, ociManifest, ociIndex])
  })

  it('lists platforms as Docker writes them, printable and not without end', () => {
    const manifests = [
      entry({ os: 'linux', architecture: 'arm64', variant: 'v8' }),
      entry(),
      entry({ os: 'windows', architecture: 'amd64', 'os.version': '10.0.17763.1' }),
      entry({ os: 'li\u001b[2Jnux', architecture: 'x'.repeat(100) }),
      7,
    ]
    expect(read({ ...INDEX, manifests }, ociIndex).platforms).to.deep.equal([
      'linux/arm64/v8',
      'unknown',
      'windows/amd64',
      `li?[2Jnux/${'x'.repeat(54)}`,
      'unknown',
    ])
    expect(read({ ...INDEX, manifests: Array(1000).fill(entry()) }, ociIndex).platforms).to.have.length(64)
  })

  it('reads what only a foreign tool would write', () => {
    const foreign = {
      ...MANIFEST,
      artifactType: 'application/vnd.example.model',
      subject: descriptor,
      annotations: { 'org.opencontainers.image.title': 'naïve "quotes" \\ 1.5 \u2028 ✓', '10': 'x', __proto__x: 'y' },
      layers: [{ ...descriptor, size: Number.MAX_SAFE_INTEGER }],
      'com.example.score': [0.97, -1, 1e21, 6.02e-23, -0.0],
    }
    expect(read(JSON.stringify(foreign, undefined, 3), ociManifest).mediaType).to.equal(ociManifest)
    const large = JSON.stringify(MANIFEST).replace('"size":7', '"size":9223372036854775807')
    expect(read(large, ociManifest).mediaType).to.equal(ociManifest)
  })

  const refused: readonly (readonly [string, string, unknown, string])[] = [
    ['schema 1 by its type', 'MANIFEST_SCHEMA1_REFUSED', {}, 'application/vnd.docker.distribution.manifest.v1+json'],
    [
      'signed schema 1 by its type',
      'MANIFEST_SCHEMA1_REFUSED',
      {},
      'application/vnd.docker.distribution.manifest.v1+prettyjws; charset=utf-8',
    ],
    [
      'schema 1 by its body, under the type of schema 2',
      'MANIFEST_SCHEMA1_REFUSED',
      { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [], signatures: [] },
      dockerManifest,
    ],
    ['no schemaVersion', 'MANIFEST_MALFORMED', { config: {}, layers: [] }, ociManifest],
    ['a schemaVersion that is text', 'MANIFEST_MALFORMED', { ...MANIFEST, schemaVersion: '2' }, ociManifest],
    ['a schemaVersion to come', 'MANIFEST_MALFORMED', { ...MANIFEST, schemaVersion: 3 }, ociManifest],
    [
      'a schemaVersion that is almost 2',
      'MANIFEST_MALFORMED',
      '{"schemaVersion":2.0,"config":{},"layers":[]}',
      ociManifest,
    ],
    ['no type', 'MANIFEST_TYPE_UNSUPPORTED', MANIFEST, ''],
    ['the type of any JSON', 'MANIFEST_TYPE_UNSUPPORTED', MANIFEST, 'application/json'],
    [
      'an OCI artifact manifest',
      'MANIFEST_TYPE_UNSUPPORTED',
      MANIFEST,
      'application/vnd.oci.artifact.manifest.v1+json',
    ],
    ['two types in one header', 'MANIFEST_TYPE_UNSUPPORTED', MANIFEST, `${ociManifest}, ${ociIndex}`],
    ['another type inside', 'MANIFEST_TYPE_CONTRADICTORY', { ...MANIFEST, mediaType: dockerManifest }, ociManifest],
    ['a type inside that is null', 'MANIFEST_TYPE_CONTRADICTORY', { ...MANIFEST, mediaType: null }, ociManifest],
    ['an index served as a manifest', 'MANIFEST_TYPE_CONTRADICTORY', INDEX, ociManifest],
    ['a manifest served as an index', 'MANIFEST_TYPE_CONTRADICTORY', MANIFEST, ociIndex],
    ['both at once, as a manifest', 'MANIFEST_TYPE_CONTRADICTORY', { ...MANIFEST, ...INDEX }, ociManifest],
    ['both at once, as an index', 'MANIFEST_TYPE_CONTRADICTORY', { ...MANIFEST, ...INDEX }, dockerList],
    ['an index with a config', 'MANIFEST_TYPE_CONTRADICTORY', { ...INDEX, config: descriptor }, ociIndex],
    ['an index with layers that are null', 'MANIFEST_TYPE_CONTRADICTORY', { ...INDEX, layers: null }, ociIndex],
    ['a manifest without layers', 'MANIFEST_TYPE_CONTRADICTORY', { schemaVersion: 2, config: {} }, ociManifest],
    [
      'a manifest with the layers of schema 1',
      'MANIFEST_TYPE_CONTRADICTORY',
      { ...MANIFEST, fsLayers: [] },
      ociManifest,
    ],
    ['an index whose list is an object', 'MANIFEST_MALFORMED', { ...INDEX, manifests: {} }, ociIndex],
    ['a list', 'MANIFEST_MALFORMED', [MANIFEST], ociManifest],
    ['a page', 'MANIFEST_MALFORMED', '<html>', ociManifest],
    ['nothing', 'MANIFEST_MALFORMED', '', ociManifest],
    ['JSON that is cut', 'MANIFEST_MALFORMED', JSON.stringify(MANIFEST).slice(0, -1), ociManifest],
    ['something after the JSON', 'MANIFEST_MALFORMED', `${JSON.stringify(MANIFEST)}{}`, ociManifest],
    ['deep nesting', 'MANIFEST_MALFORMED', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, ociManifest],
    [
      'deep nesting beside a fraction',
      'MANIFEST_MALFORMED',
      `{"b":1.5,"a":${'['.repeat(40)}${']'.repeat(40)}}`,
      ociManifest,
    ],
    ['a number that is none', 'MANIFEST_MALFORMED', '{"schemaVersion":2,"config":1.,"layers":[]}', ociManifest],
    [
      'a number with a leading zero',
      'MANIFEST_MALFORMED',
      '{"schemaVersion":02,"config":1.5,"layers":[]}',
      ociManifest,
    ],
    [
      'a member that stands twice',
      'MANIFEST_MALFORMED',
      '{"schemaVersion":2,"config":{},"layers":[],"layers":[]}',
      ociManifest,
    ],
    [
      'a member that stands twice, one of them spelled with an escape, beside a fraction',
      'MANIFEST_MALFORMED',
      '{"schemaVersion":2,"x":1.5,"config":{},"layers":[],"l\\u0061yers":[]}',
      ociManifest,
    ],
    ['a list hidden by its case', 'MANIFEST_MALFORMED', { ...MANIFEST, Manifests: [] }, ociManifest],
    ['a list hidden by a long s', 'MANIFEST_MALFORMED', { ...MANIFEST, 'manife\u017fts': [] }, ociManifest],
    ['a type hidden by its case', 'MANIFEST_MALFORMED', { ...MANIFEST, MEDIATYPE: ociIndex }, ociManifest],
  ]
  for (const [name, code, document, type] of refused) {
    it(`refuses ${name}`, () => {
      expectCode(code, () => read(document, type))
    })
  }

  it('refuses bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([
      Buffer.from('{"schemaVersion":2,"config":1.5,"layers":["'),
      Buffer.from([0xff, 0x22, 0x5d, 0x7d]),
    ])
    expectCode('MANIFEST_MALFORMED', () => readManifest(bytes, ociManifest))
  })

  it('survives megabytes of escapes', () => {
    const long = `{"schemaVersion":2,"config":{},"layers":[],"x":1.5,"y":"${'\\n'.repeat(2_000_000)}"}`
    try {
      expect(read(long, ociManifest).mediaType).to.equal(ociManifest)
    } catch (error) {
      expect((error as CodedError<string>).code).to.equal('MANIFEST_MALFORMED')
    }
  })

  it('either reads or refuses with a code of its own', () => {
    const types = fc.constantFrom(...Object.values(MANIFEST_TYPES))
    const names = fc.constantFrom('schemaVersion', 'mediaType', 'manifests', 'config', 'layers', 'fsLayers', 'Layers')
    const values = fc.oneof(fc.constantFrom<unknown>(1, 2, 1.5, null, [], {}), types, fc.jsonValue({ maxDepth: 3 }))
    const documents = fc.dictionary(names, values)
    fc.assert(
      fc.property(documents, types, (document, type) => {
        try {
          const { mediaType } = read(document, type)
          const isIndex = mediaType === dockerList || mediaType === ociIndex
          expect(Object.hasOwn(document, 'manifests')).to.equal(isIndex)
          expect(Object.hasOwn(document, 'layers')).to.equal(!isIndex)
        } catch (error) {
          if (!(error instanceof CodedError)) throw error
          expect(String(error.code)).to.match(/^MANIFEST_/)
        }
      }),
    )
  })
})
