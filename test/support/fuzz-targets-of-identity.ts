// The parsers of workload identity: the token of an issuer, its claims, its keys, and the form that brings it.
import { generateKeyPairSync } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { isJsonObject, parseJson } from '@countersign/tuf'
import { workloadIssuer } from '../../src/config/identity-settings.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { readIdToken } from '../../src/domain/id-token.ts'
import { OidcError } from '../../src/domain/oidc-errors.ts'
import { identify } from '../../src/domain/workload-identity.ts'
import { readForm } from '../../src/http/body.ts'
import { tokenExchangeRoutes } from '../../src/http/token-exchange.ts'
import { readKeySet } from '../../src/identity/key-set.ts'
import type { FuzzTarget } from './fuzz-targets.ts'
import { githubClaims, gitlabClaims, identityConfig } from './workload-claims.ts'

const now = new Date('2026-05-01T12:00:00.000Z')
const urls = { github: 'https://a.example.com', gitlab: 'https://b.example.com', other: 'https://c.example.com' }
const parsed = parseConfig(identityConfig(urls))
const issuers = parsed.ok ? parsed.config.identity.issuers.map(workloadIssuer) : []

const claims = [githubClaims(urls.github, now), gitlabClaims(urls.gitlab, now)].map((one) => JSON.stringify(one))
const encode = (text: string) => Buffer.from(text).toString('base64url')
const header = encode(JSON.stringify({ alg: 'RS256', typ: 'JWT', kid: 'k' }))
const tokens = claims.map((one) => `${header}.${encode(one)}.${encode('signature')}`)

const keySet = JSON.stringify({
  keys: [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ].map(({ publicKey }, index) => ({ ...publicKey.export({ format: 'jwk' }), kid: String(index), use: 'sig' })),
})

const form = new URLSearchParams({
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token: tokens[0] ?? '',
  subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
}).toString()
const schema = tokenExchangeRoutes(undefined as never)[0]?.body

function formRequest(bytes: Buffer): IncomingMessage {
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(bytes.byteLength),
  }
  return Object.assign(Readable.from([bytes], { objectMode: false }), { headers, complete: true }) as never
}

/** The issuer by what its claims look like: the fuzzer changes both. */
function identified(bytes: Buffer): unknown {
  const value = parseJson(bytes, { maxBytes: 16 * 1024, maxDepth: 8 })
  const issuer = issuers.find((one) => isJsonObject(value) && value.get('iss') === one.issuer)
  if (issuer === undefined || !isJsonObject(value)) throw new OidcError('OIDC_ISSUER_UNKNOWN', 'Nobody.')
  return identify(issuer, value)
}

export const IDENTITY_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'tokens of issuers',
    samples: tokens.map((token) => Buffer.from(token)),
    parse: (bytes) => readIdToken(bytes.toString('latin1'), issuers, now),
  },
  { name: 'claims of workloads', samples: claims.map((one) => Buffer.from(one)), parse: identified },
  { name: 'key sets of issuers', samples: [Buffer.from(keySet)], parse: readKeySet },
  {
    name: 'forms of token exchanges',
    samples: [Buffer.from(form)],
    parse: (bytes) => (schema === undefined ? undefined : readForm(formRequest(bytes), schema, 1024 * 1024)),
  },
]
