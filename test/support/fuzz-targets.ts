// Every parser that reads what others wrote, with real samples of what it reads.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { generateKeyPairSync } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import {
  certificatePem,
  canonicalText,
  CodedError,
  encodeCanonical,
  keyObjectOf,
  METADATA_LIMITS,
  parseCertificates,
  parseExpires,
  parseGun,
  parseJson,
  parsePrivateKeyFile,
  parsePublicKey,
  parseRoleName,
  parseRoot,
  parseSnapshot,
  parseTag,
  parseTargets,
  parseTimestamp,
  parseTufKeyId,
  TARGETS,
  verifyNormalFormFile,
} from '@countersign/tuf'
import * as z from 'zod'
import { parseServerAddress } from '../../src/cli/client-config.ts'
import { parseClientConfig } from '../../src/cli/client-config-file.ts'
import { listImages } from '../../src/cli/image-list/list.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { ConfigError } from '../../src/config/errors.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { parseImageReference } from '../../src/domain/image-reference.ts'
import { matchesPattern, parsePattern, patternCovers } from '../../src/domain/pattern.ts'
import { PUSH_SOURCE_KINDS, pushedImage, type PushSource } from '../../src/domain/push-event.ts'
import { readBody, readBodyOf } from '../../src/http/body.ts'
import { readPushes } from '../../src/http/push-payloads.ts'
import { signingRequestRoutes } from '../../src/http/signing-requests.ts'
import { judgeBundle } from '../../src/key-holder/audit-diagnosis.ts'
import { damaged } from '../../src/key-holder/audit-faults.ts'
import { signCheckpoint, verifyCheckpoint } from '../../src/key-holder/checkpoint.ts'
import { bundleBody, readBundle, signBundle } from '../../src/key-holder/pin-bundle.ts'
import { encodeVerifierKey } from '../../src/key-holder/signed-note.ts'
import { parseKeyHolderConfig } from '../../src/key-holder/config.ts'
import { parseLimits } from '../../src/key-holder/limits.ts'
import { leafHash } from '../../src/key-holder/merkle.ts'
import { encodeBundle, parseBundle } from '../../src/key-holder/tiles.ts'
import { decodeAnswer, decodeRequest, encodeFrame, FrameSplitter } from '../../src/key-holder-protocol/frames.ts'
import { isOperationName, OPERATIONS } from '../../src/key-holder-protocol/operations.ts'
import { parseChallenge } from '../../src/net/challenge.ts'
import { parseHelperAnswer } from '../../src/net/credential-helper.ts'
import { credentialsFrom, parseDockerConfig } from '../../src/net/docker-config.ts'
import type { HttpClient } from '../../src/net/http-client.ts'
import { TokenCache } from '../../src/net/token-auth.ts'
import { parseFeed } from '../../src/notary/change-feed.ts'
import { parseServerError } from '../../src/notary/server-error.ts'
import { MANIFEST_TYPES, readManifest } from '../../src/registry/manifest.ts'
import { AZURE, DISTRIBUTION, DOCKER_HUB, HARBOR } from '../http/push-examples.ts'
import { initialization } from './key-holder.ts'
import { IDENTITY_TARGETS } from './fuzz-targets-of-identity.ts'
import { TRUST_SERVER_TARGETS } from './fuzz-targets-of-trust-server.ts'
import { testCertificateKey } from './test-keys.ts'

export interface FuzzTarget {
  readonly name: string
  readonly samples: readonly Buffer[]
  /** Resolves, or throws a CodedError; anything else is a defect. */
  readonly parse: (bytes: Buffer) => unknown
}

const top = resolve(import.meta.dirname, '../..')
const vectors = join(top, 'test/vectors')
/** Larger samples only slow the cases down. */
const MAX_SAMPLE_BYTES = 16 * 1024

function filesBelow(folder: string, pattern: RegExp): Buffer[] {
  return readdirSync(join(vectors, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .map((name) => join(vectors, folder, name))
    .filter((path) => statSync(path).isFile() && statSync(path).size <= MAX_SAMPLE_BYTES)
    .map((path) => readFileSync(path))
}

function texts(...samples: readonly string[]): Buffer[] {
  return samples.map((sample) => Buffer.from(sample))
}

const metadata = {
  root: filesBelow('notary-v1', /root\.json$/),
  targets: filesBelow('notary-v1', /targets.*\.json$/),
  snapshot: filesBelow('notary-v1', /snapshot\.json$/),
  timestamp: filesBelow('notary-v1', /timestamp\.json$/),
}
const publicKeys = metadata.root.flatMap((bytes) => {
  const root = JSON.parse(bytes.toString()) as { signed: { keys: Record<string, unknown> } }
  return Object.values(root.signed.keys).map((key) => Buffer.from(JSON.stringify(key)))
})
const GUN = 'registry.example.com/team/app'
const frames = [
  encodeFrame({ id: 1, operation: 'status', request: {}, attachments: new Map() }),
  encodeFrame({ id: 2, operation: 'initialize-repository', request: initialization(GUN), attachments: new Map() }),
  encodeFrame({
    id: 3,
    operation: 'observe-repository',
    request: { gun: GUN, files: ['timestamp.json'] },
    attachments: new Map([['timestamp.json', Buffer.from('{}')]]),
  }),
  encodeFrame({ id: 4, error: { code: 'FRAME_MALFORMED', message: 'x', facts: { a: 1 } }, attachments: new Map() }),
]
const logKeys = generateKeyPairSync('ed25519')
const logOrigin = 'test.example.com/audit'
const logged = ['{"kind":"a"}', '{"kind":"b","gun":"c"}', '{"kind":"c"}'].map((entry) => Buffer.from(entry))
/** What is left over of a whole bundle is nothing, and stands at its end. */
const loggedHashes = [...logged, Buffer.alloc(0)].map(leafHash)
const pinned = testCertificateKey('pinned', { commonName: GUN }).publicKey
const pinBundle = signBundle(
  bundleBody({
    serial: 1,
    madeAt: '2026-01-01T00:00:00.000Z',
    publicKey: encodeVerifierKey(logOrigin, logKeys.publicKey),
    repositories: [
      {
        gun: GUN,
        root: { version: 1, sha256: 'a'.repeat(64), threshold: 1 },
        certificates: [{ keyId: pinned.tufKeyId, pem: certificatePem(pinned) }],
      },
    ],
  }),
  logOrigin,
  logKeys.privateKey,
)
const checkpoint = signCheckpoint({ origin: logOrigin, size: 5, rootHash: Buffer.alloc(32, 1) }, logKeys.privateKey)

const submission = signingRequestRoutes({ requests: undefined as never, maxWaitMs: 1000, maxImages: 20 })
  .map(({ body }) => body)
  .find((schema) => schema !== undefined)

const pushSources = PUSH_SOURCE_KINDS.map((kind) => ({
  name: 'main',
  kind,
  registry: 'registry.example.com',
  repositories: [{ gun: parsePattern('*'), tags: ['*'] }],
  eventsPerMinute: 1,
}))

function printed(value: unknown): string {
  return JSON.stringify(value)
}

/** What is no delivery of one kind may be one of the next. */
function pushesOf(source: PushSource, body: unknown): void {
  try {
    for (const claim of readPushes(source.kind, body).claims) pushedImage(source, claim)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
  }
}

function request(bytes: Buffer): IncomingMessage {
  const stream = Readable.from([bytes], { objectMode: false })
  const headers = { 'content-type': 'application/json', 'content-length': String(bytes.byteLength) }
  return Object.assign(stream, { headers, complete: true }) as unknown as IncomingMessage
}

/** Asks a token server that answers with these bytes. */
async function askForToken(body: Buffer): Promise<string> {
  const client = { request: () => Promise.resolve({ status: 200, headers: new Map(), body }) }
  const tokens = new TokenCache(
    () => client as unknown as HttpClient,
    () => 0,
  )
  const realm = new URL('https://auth.example.com/token')
  return tokens.token('key', () => Promise.resolve({ realm, scope: 'repository:a:pull' }))
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  { name: 'root metadata', samples: metadata.root, parse: parseRoot },
  {
    name: 'targets metadata',
    samples: metadata.targets,
    parse: (bytes) => {
      verifyNormalFormFile(parseTargets(bytes, TARGETS))
    },
  },
  { name: 'snapshot metadata', samples: metadata.snapshot, parse: parseSnapshot },
  { name: 'timestamp metadata', samples: metadata.timestamp, parse: parseTimestamp },
  {
    name: 'canonical JSON',
    samples: [
      ...metadata.timestamp,
      ...metadata.snapshot,
      ...texts('{"b":[1,-2,null,true],"a":{"\\u00e9":"\\"\\\\"}}', '[{"__proto__":{}},{"10":1,"9":2}]'),
    ],
    parse: (bytes) => {
      const text = canonicalText(parseJson(bytes, METADATA_LIMITS))
      const again = encodeCanonical(parseJson(Buffer.from(text), METADATA_LIMITS))
      if (Buffer.compare(again, Buffer.from(text)) !== 0) throw new Error('The canonical form has two forms.')
    },
  },
  {
    name: 'public keys',
    samples: publicKeys,
    parse: (bytes) => keyObjectOf(parsePublicKey(parseJson(bytes, METADATA_LIMITS))),
  },
  {
    name: 'key files and PKCS#8',
    samples: filesBelow('notary-v1', /\.(key|pem|pub)$/),
    parse: (bytes) => parsePrivateKeyFile(bytes),
  },
  {
    name: 'key files under a passphrase',
    samples: filesBelow('notary-v1/private-key-formats', /(pbes2|proc-type|aes128|sha256|bundle).*\.(key|pem)$/),
    parse: (bytes) => parsePrivateKeyFile(bytes, () => Buffer.from('pw-1234')),
  },
  {
    name: 'PEM and X.509',
    samples: filesBelow('', /\.pem$/),
    parse: (bytes) => parseCertificates(bytes.toString('latin1')),
  },
  {
    name: 'image references',
    samples: texts(
      'registry.example.com:5000/team/app:1.4',
      `registry.example.com/team/app:1.4@sha256:${'ab'.repeat(32)}`,
      'alpine',
      'docker.io/library/alpine:3',
      '[::1]:5000/a__b/c-d:v1',
    ),
    parse: (bytes) => parseImageReference(bytes.toString()),
  },
  {
    name: 'names of repositories, roles, tags and keys, expiries',
    samples: texts(
      GUN,
      'targets/releases',
      '1.4',
      'ab'.repeat(32),
      '2036-11-20T15:59:11.09753774Z',
      '2026-01-01T00:00:00-05:00',
    ),
    parse: (bytes) => {
      const text = bytes.toString()
      // Each is tried; the first refusal must not hide the others.
      const failures = [parseGun, parseRoleName, parseTag, parseTufKeyId, parseExpires].flatMap((parse) => {
        try {
          parse(text)
          return []
        } catch (error) {
          return [error]
        }
      })
      const [first] = failures.filter((error) => !isTyped(error)).concat(failures)
      if (first !== undefined) throw first as Error
    },
  },
  {
    name: 'patterns',
    samples: texts('registry.example.com/team/*', '*', 'v*', 'registry.example.com/*/app-*', '**', 'a*b*c*d'),
    parse: (bytes) => {
      const pattern = parsePattern(bytes.toString())
      matchesPattern(pattern, `${GUN}/${bytes.toString('latin1')}`)
      patternCovers(pattern, parsePattern('registry.example.com/*'))
    },
  },
  {
    name: 'API bodies',
    samples: texts(
      JSON.stringify({ kind: 'sign', images: [`${GUN}:1`, `${GUN}:2@sha256:${'a'.repeat(64)}`], description: 'why' }),
      '{"images":["alpine:3"],"policy":"p"}',
    ),
    parse: (bytes) => readBody(request(bytes), submission ?? z.never(), 1024 * 1024),
  },
  {
    name: 'events of registries',
    samples: texts(
      ...[...Object.values(DISTRIBUTION), ...Object.values(HARBOR), ...Object.values(AZURE), DOCKER_HUB].map(printed),
    ),
    parse: async (bytes) => {
      const body = await readBodyOf('events', request(bytes), z.unknown(), 1024 * 1024)
      for (const source of pushSources) pushesOf(source, body)
    },
  },
  {
    name: 'socket frames',
    samples: frames,
    parse: (bytes) => {
      const splitter = new FrameSplitter(1024 * 1024)
      const half = bytes.byteLength >> 1
      const bodies = [...splitter.push(bytes.subarray(0, half)), ...splitter.push(bytes.subarray(half))]
      for (const body of [...bodies, bytes.subarray(4)]) {
        const { operation, request: content } = decodeRequest(body)
        if (isOperationName(operation)) OPERATIONS[operation].request.safeParse(content)
        decodeAnswer(body)
      }
    },
  },
  {
    name: 'answers on the socket',
    samples: frames.map((frame) => frame.subarray(4)),
    parse: decodeAnswer,
  },
  {
    name: 'configuration of the daemon',
    samples: texts(
      'dataFolder: /var/lib/countersign\nhttp:\n  listen: 127.0.0.1:8080\nlog: { level: info }\n',
      'trustServers:\n  - url: https://notary.example.com\n    guns: ["*"]\n    timeouts: { connect: 5s }\n',
      'registries:\n  - host: a.example.com\n    credentials: { kind: anonymous }\n    limits: { manifest: 4MiB }\n',
      'a: &a [1, 2]\nb: *a\n',
    ),
    parse: (bytes) => {
      const parsed = parseConfig(bytes.toString())
      if (!parsed.ok) throw new ConfigError('CONFIG_INVALID', 'refused', parsed.faults)
    },
  },
  {
    name: 'configuration of the key holder',
    samples: texts(
      'folder: /k\nserviceSocket: /r/s.sock\noperatorSocket: /k/o.sock\nunlock: { keyFile: /u }\nlimitsFile: /l\nlogOrigin: a.example.com/audit\n',
      'socketMode: "0660"\nlog:\n  level: debug\n',
    ),
    parse: (bytes) => parseKeyHolderConfig(bytes.toString()),
  },
  {
    name: 'limits file',
    samples: texts(
      'repositories:\n  - gun: "registry.example.com/team/*"\n    initialize: true\n    lockedTags: ["v*"]\nrecordsPerHour: 10\n',
      'repositories:\n  - { gun: "*", maxEntries: 3, versionsPerHour: 6, entriesPerHour: 6, tags: ["rc-*"] }\n',
    ),
    parse: parseLimits,
  },
  {
    name: 'Docker’s config.json',
    samples: texts(
      '{"auths":{"registry.example.com":{"auth":"dXNlcjpwYXNz"}}}',
      '{"auths":{"https://registry.example.com/v1/":{"username":"u","password":"p"}},"HttpHeaders":{}}',
      '{"auths":{"registry.example.com":{"identitytoken":"t"}}}',
    ),
    parse: (bytes) => credentialsFrom(parseDockerConfig(bytes.toString()), 'registry.example.com'),
  },
  {
    name: 'WWW-Authenticate challenges',
    samples: texts(
      'Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:a:pull"',
      'Basic realm="x"',
      'Bearer realm=https://a/b , service = "a\\"b"',
    ),
    parse: (bytes) => parseChallenge(bytes.toString('latin1')),
  },
  {
    name: 'manifests',
    samples: texts(
      `{"schemaVersion":2,"mediaType":"${MANIFEST_TYPES.ociManifest}","config":{},"layers":[]}`,
      `{"schemaVersion":2,"mediaType":"${MANIFEST_TYPES.ociManifest}","manifests":[{"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}]}`,
    ),
    parse: (bytes) => readManifest(bytes, MANIFEST_TYPES.ociManifest),
  },
  {
    name: 'indexes',
    samples: texts(
      `{"schemaVersion":2,"mediaType":"${MANIFEST_TYPES.ociIndex}","manifests":[{"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}]}`,
      `{"schemaVersion":2,"manifests":[]}`,
    ),
    parse: (bytes) => readManifest(bytes, MANIFEST_TYPES.ociIndex),
  },
  {
    name: 'error documents of trust servers',
    samples: texts(
      '{"errors":[{"code":"INVALID_UPDATE","message":"m","detail":{"Name":"ErrBadTargets","Error":{"Msg":"x"}}}]}',
      '{"errors":[{"code":"UNKNOWN","message":"m","detail":{"Role":"targets/releases"}}]}\n',
    ),
    parse: parseServerError,
  },
  {
    name: 'change feeds',
    samples: texts(
      `{"count":1,"records":[{"ID":"88","CreatedAt":"2026-11-23T15:34:03Z","GUN":"${GUN}","Version":14,"SHA256":"${'a'.repeat(64)}","Category":"update"}]}`,
      '{"count":0,"records":null}',
    ),
    parse: (bytes) => parseFeed(bytes, { scope: 'server', after: 7, records: 500 }),
  },
  {
    name: 'lists of images',
    samples: texts(
      `# images\n${GUN}:1\n\n${GUN}:2@sha256:${'a'.repeat(64)}\r\nalpine:3\n`,
      `x-base: &base { image: ${GUN}:1 }\nservices:\n  web: { <<: [*base, {}] }\n  db: *base\n`,
      `{"services":{"web":{"image":"${GUN}:1"}}}`,
      `{"web":{"image.name":"${GUN}:1,${GUN}:2","containerimage.digest":"sha256:${'a'.repeat(64)}"},"buildx.build.warnings":[]}`,
    ),
    parse: (bytes) => listImages({ stdin: Readable.from([bytes]) } as unknown as Terminal, [], '-'),
  },
  {
    name: 'checkpoints',
    samples: texts(checkpoint),
    parse: (bytes) => verifyCheckpoint(bytes.toString(), encodeVerifierKey(logOrigin, logKeys.publicKey)),
  },
  {
    name: 'bundles of pins',
    samples: texts(pinBundle),
    parse: (bytes) => {
      const read = readBundle(bytes.toString(), () => true)
      if (typeof read === 'string') throw new CodedError('PIN_BUNDLE_INVALID', read)
    },
  },
  {
    name: 'bundles of the audit log',
    samples: [encodeBundle(logged)],
    parse: (bytes) => {
      const { entries, rest } = parseBundle(bytes)
      const verdict = judgeBundle([...entries, rest].map(leafHash), loggedHashes)
      if (verdict !== undefined) throw damaged(verdict.fault, 'a bundle', { index: verdict.at })
    },
  },
  {
    name: 'answers of token servers',
    samples: texts(
      '{"token":"eyJhbGciOiJFUzI1NiJ9.e30.AAAA","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}',
      '{"access_token":"abc","token":"","expires_in":null}',
    ),
    parse: askForToken,
  },
  {
    name: 'answers of credential helpers',
    samples: texts(
      '{"ServerURL":"https://index.docker.io/v1/","Username":"u","Secret":"s"}',
      '{"Username":"<token>","Secret":"t"}\n',
    ),
    parse: parseHelperAnswer,
  },
  {
    name: 'configuration of the command line',
    samples: texts(
      'server: https://countersign.example.com/\ntokenFile: token\ncaFile: /etc/ssl/ca.pem\n',
      'server: "http://127.0.0.1:8080"\n',
      '{ "server": "http://[::1]:8080/base" }\n',
    ),
    parse: (bytes) => {
      const { path, server } = parseClientConfig(bytes.toString(), '/home/u/.config/countersign/config.yaml')
      parseServerAddress(server, path)
    },
  },
  ...IDENTITY_TARGETS,
  ...TRUST_SERVER_TARGETS,
]

export function isTyped(error: unknown): boolean {
  return error instanceof CodedError
}
