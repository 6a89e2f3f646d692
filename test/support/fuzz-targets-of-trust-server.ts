// The parsers of the trust server, which the public reaches.
import { sign } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { CodedError, parseRoleName } from '@countersign/tuf'
import { encodeMultipart } from '../../src/notary/multipart.ts'
import { parseTrustServerConfig } from '../../src/trust-server/config.ts'
import { basicPassword, CredentialList } from '../../src/trust-server/credential-list.ts'
import { RegistryTokens } from '../../src/trust-server/registry-tokens.ts'
import { routeOf } from '../../src/trust-server/route.ts'
import { readOlderRoots } from '../../src/trust-server/older-roots.ts'
import { readUpload } from '../../src/trust-server/upload.ts'
import type { FuzzTarget } from './fuzz-targets.ts'
import { testCa } from './test-ca.ts'
import { testKey } from './test-keys.ts'

const GUN = 'registry.example.com:5000/team/app'
const BOUNDARY = 'ab'.repeat(16)
const UPLOAD_LIMITS = { fileBytes: 64 * 1024, bodyBytes: 256 * 1024, parts: 8 }

const CA = testCa('token server')
const CA_KEY = testKey('ca token server').privateKey
const NOW = new Date('2026-06-01T00:00:00Z')
const tokens = new RegistryTokens(
  { realm: 'https://auth.example.com/token', service: 's', issuer: 'i', rootCertificatesPem: CA },
  () => NOW,
)
const HEADER = { typ: 'JWT', alg: 'ES256', x5c: [CA.replaceAll(/-----[A-Z ]+-----|\s/g, '')] }
const CLAIMS = {
  iss: 'i',
  aud: 's',
  sub: 'u',
  exp: NOW.getTime() / 1000 + 300,
  access: [{ type: 'repository', name: GUN, actions: ['pull', 'push'] }],
}

function segment(text: string): string {
  return Buffer.from(text).toString('base64url')
}

/** A token with that header, signed by the key that is trusted. */
function signed(header: string): string {
  const input = `${segment(header)}.${segment(JSON.stringify(CLAIMS))}`
  const signature = sign('sha256', Buffer.from(input), { key: CA_KEY, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

function upload(boundary: string, bytes: Buffer): IncomingMessage {
  const stream = Readable.from([bytes.subarray(0, bytes.byteLength >> 1), bytes.subarray(bytes.byteLength >> 1)], {
    objectMode: false,
  })
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` }
  return Object.assign(stream, { headers, complete: true }) as unknown as IncomingMessage
}

const files = new Map([
  [parseRoleName('targets/releases'), Buffer.from('{"signed":{"_type":"Targets","version":2},"signatures":[]}')],
  [parseRoleName('root'), Buffer.from('{"signed":{"_type":"Root","version":1},"signatures":[]}')],
])
const LEASE = { grow: () => undefined, release: () => undefined }

export const TRUST_SERVER_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'uploads',
    samples: [encodeMultipart(files, BOUNDARY)],
    parse: (bytes) => readUpload(upload(BOUNDARY, bytes), UPLOAD_LIMITS, LEASE),
  },
  {
    name: 'bodies with older roots',
    samples: [Buffer.from(JSON.stringify({ roots: ['e30=', 'AA=='] }))],
    parse: (bytes) => readOlderRoots(upload('', bytes), UPLOAD_LIMITS, LEASE),
  },
  {
    name: 'types of uploads',
    samples: [Buffer.from(BOUNDARY), Buffer.from(`"${BOUNDARY}"; charset=utf-8`), Buffer.from(`${BOUNDARY};a*=b''c`)],
    parse: (bytes) =>
      readUpload(upload(bytes.toString('latin1'), encodeMultipart(files, BOUNDARY)), UPLOAD_LIMITS, LEASE),
  },
  {
    name: 'paths of the trust server',
    samples: [
      `/v2/${GUN}/_trust/tuf/targets/releases.${'ab'.repeat(32)}.json`,
      `/v2/${GUN}/_trust/tuf/3.root.json`,
      `/v2/${GUN}/_trust/tuf/timestamp.key`,
      '/v2/a%2Fb/_trust/changefeed',
    ].map((path) => Buffer.from(path)),
    parse: (bytes) => {
      const kinds = ['GET', 'POST', 'DELETE'].map((method) => routeOf(method, bytes.toString('latin1')).kind)
      if (kinds.every((kind) => kind === 'unknown')) refuse()
    },
  },
  {
    name: 'headers of registry tokens',
    samples: [HEADER, { alg: 'RS256', kid: 'AAAA:BBBB' }, { ...HEADER, jwk: { kty: 'EC' }, crit: ['b64'] }].map(
      (header) => Buffer.from(JSON.stringify(header)),
    ),
    parse: async (bytes) => {
      if ((await tokens.verify(signed(bytes.toString()))) === undefined) refuse()
    },
  },
  {
    name: 'Basic authorization',
    samples: [Buffer.from(`Basic ${Buffer.from(`u:cs_${'a'.repeat(43)}`).toString('base64')}`)],
    parse: (bytes) => {
      const password = basicPassword(bytes.toString('latin1'))
      if (password === undefined) refuse()
      new CredentialList({ tokens: [], certificates: [], now: () => NOW }).bySecret(password)
    },
  },
  {
    name: 'configuration of the trust server',
    samples: [
      'dataFolder: /d\nhttp: { listen: "127.0.0.1:4443", publicUrl: "https://t.example.com/" }\n',
      `access:\n  tokens:\n    - { name: a, sha256: "${'ab'.repeat(32)}", repositories: ["*"], expiresAt: "2027-01-31T00:00:00Z" }\n`,
      'limits: { fileBytes: 1MiB, parts: 3 }\nlog: { level: info }\n',
    ].map((text) => Buffer.from(text)),
    parse: (bytes) => parseTrustServerConfig(bytes.toString()),
  },
]

/** For parsers that answer with undefined. */
function refuse(): never {
  throw new CodedError('REFUSED', 'Not taken.')
}
