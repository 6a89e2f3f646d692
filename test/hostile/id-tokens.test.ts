// Tokens that were made to be believed. Each is refused with a code of its own, leaves no token of ours and no record, and is not spent.
import { createHmac, randomUUID } from 'node:crypto'
import { CodedError } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import type { OidcErrorCode } from '../../src/domain/oidc-errors.ts'
import { OIDC_ERROR_CODES } from '../../src/domain/oidc-errors.ts'
import { IdTokenVerifier } from '../../src/identity/verifier.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { createServices } from '../../src/service/create-services.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Crash } from '../support/fakes/faults.ts'
import { everybody } from '../support/fakes/world.ts'
import type { OidcIssuer } from '../support/oidc-issuer.ts'
import { AUDIENCE, githubClaims, gitlabClaims } from '../support/workload-claims.ts'
import { Scope } from '../support/scope.ts'
import { startWorkloads, type Workloads } from '../support/workloads.ts'

type Make = (o: Workloads) => Promise<string> | string

/** A token as GitHub makes it, with some claims replaced; undefined removes one. */
const github =
  (more: object): Make =>
  (o) =>
    o.github.sign(githubClaims(o.github.url, o.world.time.now(), more))
const gitlab =
  (more: object): Make =>
  (o) =>
    o.gitlab.sign(gitlabClaims(o.gitlab.url, o.world.time.now(), more))
/** A good token of GitHub under another header. */
const header =
  (more: Readonly<Record<string, unknown>>): Make =>
  (o) =>
    o.github.sign(githubClaims(o.github.url, o.world.time.now()), { header: more })
/** A good token of GitHub, changed after it was signed. */
const changed =
  (change: (parts: readonly [string, string, string]) => string): Make =>
  async (o) =>
    change((await good(o.github, o)).split('.') as unknown as [string, string, string])
/** Claims of GitHub as text, changed before they are signed. */
const written =
  (change: (json: string) => string): Make =>
  (o) =>
    o.github.sign(change(JSON.stringify(githubClaims(o.github.url, o.world.time.now()))))
/** A header of choice with a symmetric signature. */
const symmetric =
  (alg: 'HS256', secret: (issuer: OidcIssuer) => string): Make =>
  (o) => {
    const head = encode({ alg, typ: 'JWT', kid: o.github.keys.RS256.id })
    const body = encode(githubClaims(o.github.url, o.world.time.now()))
    const mac = createHmac('sha256', secret(o.github)).update(`${head}.${body}`).digest('base64url')
    return `${head}.${body}.${mac}`
  }

const good = (issuer: OidcIssuer, { world }: Workloads) => issuer.sign(githubClaims(issuer.url, world.time.now()))
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const seconds = ({ world }: Workloads, shift: number) => Math.floor(world.time.now().getTime() / 1000) + shift
const pem = ({ keys }: OidcIssuer) => keys.RS256.publicKey.export({ type: 'spki', format: 'pem' }).toString()

const TABLE: readonly (readonly [name: string, code: OidcErrorCode, make: Make])[] = [
  // for whom
  ['another audience', 'OIDC_AUDIENCE_WRONG', github({ aud: 'https://other.example.com' })],
  ['the default audience of GitHub', 'OIDC_AUDIENCE_WRONG', github({ aud: 'https://github.com/team' })],
  ['an audience that begins like ours', 'OIDC_AUDIENCE_WRONG', github({ aud: `${AUDIENCE}/` })],
  ['a list of audiences with ours in it', 'OIDC_AUDIENCE_WRONG', github({ aud: [AUDIENCE, 'https://b.example.com'] })],
  ['our audience twice', 'OIDC_AUDIENCE_WRONG', github({ aud: [AUDIENCE, AUDIENCE] })],
  ['an empty list of audiences', 'OIDC_AUDIENCE_WRONG', github({ aud: [] })],
  ['no audience', 'OIDC_CLAIM_MISSING', github({ aud: undefined })],
  ['an audience that is a number', 'OIDC_CLAIM_INVALID', github({ aud: 7 })],
  // by whom
  [
    'another issuer with the same subject',
    'OIDC_ISSUER_UNKNOWN',
    (o) => o.github.sign(githubClaims('https://github.evil.example.com', o.world.time.now())),
  ],
  ['our issuer with a slash', 'OIDC_ISSUER_UNKNOWN', (o) => github({ iss: `${o.github.url}/` })(o)],
  ['no issuer', 'OIDC_CLAIM_MISSING', github({ iss: undefined })],
  ['a list of issuers', 'OIDC_CLAIM_INVALID', (o) => github({ iss: [o.github.url] })(o)],
  [
    'a key of another issuer that is configured, under its own name',
    'OIDC_KEY_UNKNOWN',
    (o) => o.gitlab.sign(githubClaims(o.github.url, o.world.time.now())),
  ],
  [
    'a key of another issuer that is configured, under the name of the right one',
    'OIDC_SIGNATURE_INVALID',
    (o) => o.gitlab.sign(githubClaims(o.github.url, o.world.time.now()), { header: { kid: o.github.keys.RS256.id } }),
  ],
  // when
  ['an expired one', 'OIDC_TOKEN_EXPIRED', (o) => github({ iat: seconds(o, -600), exp: seconds(o, -61) })(o)],
  ['one that is not valid yet', 'OIDC_TOKEN_NOT_YET_VALID', (o) => github({ nbf: seconds(o, 61) })(o)],
  [
    'one that was made in the future',
    'OIDC_TOKEN_NOT_YET_VALID',
    (o) => github({ iat: seconds(o, 61), nbf: undefined })(o),
  ],
  [
    'one that was made in the future, and says that it is valid now',
    'OIDC_TOKEN_NOT_YET_VALID',
    (o) => github({ iat: seconds(o, 61) })(o),
  ],
  [
    'one that is valid for ever',
    'OIDC_TOKEN_TOO_OLD',
    (o) => github({ iat: seconds(o, -3700), nbf: seconds(o, -3700), exp: 253_402_300_799 })(o),
  ],
  ['one without an end', 'OIDC_CLAIM_MISSING', github({ exp: undefined })],
  ['one without a beginning', 'OIDC_CLAIM_MISSING', github({ iat: undefined })],
  ['an end in text', 'OIDC_CLAIM_INVALID', (o) => github({ exp: String(seconds(o, 300)) })(o)],
  ['an end that is negative', 'OIDC_CLAIM_INVALID', github({ exp: -1 })],
  ['an end with a fraction', 'OIDC_TOKEN_MALFORMED', (o) => github({ exp: seconds(o, 300) + 0.5 })(o)],
  ['an end that overflows', 'OIDC_TOKEN_MALFORMED', github({ exp: 1e300 })],
  ['an end before its beginning', 'OIDC_CLAIM_INVALID', (o) => github({ exp: seconds(o, -30) })(o)],
  // how it is signed
  [
    'no signature, alg none',
    'OIDC_ALGORITHM_REFUSED',
    changed(([head, body]) => `${encode({ ...decode(head), alg: 'none' })}.${body}.`),
  ],
  [
    'no signature, alg nOnE',
    'OIDC_ALGORITHM_REFUSED',
    changed(([head, body]) => `${encode({ ...decode(head), alg: 'nOnE' })}.${body}.`),
  ],
  ['an HMAC with the public key', 'OIDC_ALGORITHM_REFUSED', symmetric('HS256', pem)],
  ['an HMAC with nothing', 'OIDC_ALGORITHM_REFUSED', symmetric('HS256', () => '')],
  [
    'RSA-PSS, which is not in the list',
    'OIDC_ALGORITHM_REFUSED',
    (o) =>
      new SignJWT(githubClaims(o.github.url, o.world.time.now()))
        .setProtectedHeader({ alg: 'PS256', kid: o.github.keys.RS256.id })
        .sign(o.github.keys.RS256.privateKey),
  ],
  [
    'EdDSA, where the issuer may not use it',
    'OIDC_ALGORITHM_REFUSED',
    (o) => o.github.sign(githubClaims(o.github.url, o.world.time.now()), { algorithm: 'EdDSA' }),
  ],
  [
    'ES256 over a key that is RSA',
    'OIDC_ALGORITHM_REFUSED',
    (o) =>
      o.github.sign(githubClaims(o.github.url, o.world.time.now()), {
        algorithm: 'ES256',
        header: { kid: o.github.keys.RS256.id },
      }),
  ],
  [
    'no algorithm',
    'OIDC_TOKEN_MALFORMED',
    changed(([head, ...rest]) => [encode({ ...decode(head), alg: undefined }), ...rest].join('.')),
  ],
  ['a signature that was cut off', 'OIDC_SIGNATURE_INVALID', changed(([head, body]) => `${head}.${body}.`)],
  [
    'a signature of zeros (ECDSA)',
    'OIDC_SIGNATURE_INVALID',
    async (o) => {
      const token = await o.github.sign(githubClaims(o.github.url, o.world.time.now()), { algorithm: 'ES256' })
      return `${token.split('.').slice(0, 2).join('.')}.${Buffer.alloc(64).toString('base64url')}`
    },
  ],
  [
    'claims that were changed',
    'OIDC_SIGNATURE_INVALID',
    changed(([head, body, signature]) => `${head}.${encode({ ...decode(body), sha: 'c'.repeat(40) })}.${signature}`),
  ],
  // which key
  ['a key that nobody knows', 'OIDC_KEY_UNKNOWN', header({ kid: randomUUID() })],
  ['a key name that is a path', 'OIDC_KEY_UNKNOWN', header({ kid: '../../../dev/null' })],
  ['a key name of Object', 'OIDC_KEY_UNKNOWN', header({ kid: '__proto__' })],
  ['no key name', 'OIDC_KEY_UNKNOWN', header({ kid: undefined })],
  [
    'a key name that is a number',
    'OIDC_TOKEN_MALFORMED',
    changed(([head, ...rest]) => [encode({ ...decode(head), kid: 1 }), ...rest].join('.')),
  ],
  ['a key name without end', 'OIDC_TOKEN_MALFORMED', header({ kid: 'k'.repeat(600) })],
  [
    'a key in its header (jwk)',
    'OIDC_HEADER_REFUSED',
    (o) => header({ jwk: o.github.keys.RS256.publicKey.export({ format: 'jwk' }) })(o),
  ],
  ['an address of keys in its header (jku)', 'OIDC_HEADER_REFUSED', header({ jku: 'https://evil.example.com/jwks' })],
  ['an address of certificates (x5u)', 'OIDC_HEADER_REFUSED', header({ x5u: 'https://evil.example.com/chain' })],
  ['certificates in its header (x5c)', 'OIDC_HEADER_REFUSED', header({ x5c: ['MIIB'] })],
  [
    'a critical extension (crit)',
    'OIDC_HEADER_REFUSED',
    changed(([head, ...rest]) => [encode({ ...decode(head), crit: ['exp'], exp: 1 }), ...rest].join('.')),
  ],
  [
    'a payload that is not encoded (b64)',
    'OIDC_HEADER_REFUSED',
    changed(([head, ...rest]) => [encode({ ...decode(head), b64: false, crit: ['b64'] }), ...rest].join('.')),
  ],
  ['an access token of the same issuer', 'OIDC_HEADER_REFUSED', header({ typ: 'at+jwt' })],
  ['a logout token of the same issuer', 'OIDC_HEADER_REFUSED', header({ typ: 'logout+jwt' })],
  // its form
  ['nothing', 'OIDC_TOKEN_MALFORMED', () => ''],
  ['two parts', 'OIDC_TOKEN_MALFORMED', changed(([head, body]) => `${head}.${body}`)],
  ['four parts', 'OIDC_TOKEN_MALFORMED', changed((parts) => `${parts.join('.')}.AAAA`)],
  ['five parts, as if encrypted', 'OIDC_TOKEN_MALFORMED', changed((parts) => `${parts.join('.')}.AAAA.AAAA`)],
  ['a dot at its end', 'OIDC_TOKEN_MALFORMED', changed((parts) => `${parts.join('.')}.`)],
  ['a dot at its beginning', 'OIDC_TOKEN_MALFORMED', changed((parts) => `.${parts.join('.')}`)],
  ['a space at its end', 'OIDC_TOKEN_MALFORMED', changed((parts) => `${parts.join('.')} `)],
  ['padding', 'OIDC_TOKEN_MALFORMED', changed(([head, body, signature]) => `${head}.${body}.${signature}==`)],
  [
    'a line break in it',
    'OIDC_TOKEN_MALFORMED',
    changed(([head, body, signature]) => `${head}.\n${body}.${signature}`),
  ],
  [
    'JSON in place of its compact form',
    'OIDC_TOKEN_MALFORMED',
    changed(([head, payload, signature]) => JSON.stringify({ protected: head, payload, signature })),
  ],
  ['more than sixteen kilobytes', 'OIDC_TOKEN_MALFORMED', github({ filler: 'x'.repeat(16 * 1024) })],
  [
    'lists in lists',
    'OIDC_TOKEN_MALFORMED',
    written((json) => json.replace('{', `{"deep":${'['.repeat(99)}${']'.repeat(99)},`)),
  ],
  ['a claim twice', 'OIDC_TOKEN_MALFORMED', written((json) => json.replace('{', '{"repository_id":"999",'))],
  [
    'a claim twice, once written otherwise',
    'OIDC_TOKEN_MALFORMED',
    written((json) => json.replace('{', '{"repository\\u005fid":"999",')),
  ],
  ['claims that are a list', 'OIDC_TOKEN_MALFORMED', written((json) => `[${json}]`)],
  ['claims with something after them', 'OIDC_TOKEN_MALFORMED', written((json) => `${json}{}`)],
  ['half a character in a claim', 'OIDC_TOKEN_MALFORMED', written((json) => json.replace('{', '{"x":"\\ud800",'))],
  // its claims
  ['no token id', 'OIDC_CLAIM_MISSING', github({ jti: undefined })],
  ['an empty token id', 'OIDC_CLAIM_MISSING', github({ jti: '' })],
  ['a token id without end', 'OIDC_CLAIM_INVALID', github({ jti: 'j'.repeat(2000) })],
  ['a token id that is a number', 'OIDC_CLAIM_INVALID', github({ jti: 7 })],
  ['a repository id that is a number', 'OIDC_CLAIM_INVALID', github({ repository_id: 1296269 })],
  ['a list of repository ids', 'OIDC_CLAIM_INVALID', github({ repository_id: ['1296269', '2'] })],
  ['a repository id with a zero before it', 'OIDC_CLAIM_INVALID', github({ repository_id: '01296269' })],
  ['a repository id with a line break', 'OIDC_CLAIM_INVALID', github({ repository_id: '1296269\n' })],
  ['a repository id of null', 'OIDC_CLAIM_INVALID', github({ repository_id: null })],
  ['no repository id', 'OIDC_CLAIM_MISSING', github({ repository_id: undefined })],
  ['no event', 'OIDC_CLAIM_MISSING', github({ event_name: undefined })],
  ['no actor', 'OIDC_CLAIM_MISSING', github({ actor_id: undefined })],
  ['a protected ref that is a truth value', 'OIDC_CLAIM_INVALID', github({ ref_protected: true })],
  ['a protected ref that is "yes"', 'OIDC_CLAIM_INVALID', github({ ref_protected: 'yes' })],
  ['an attempt of zero', 'OIDC_CLAIM_INVALID', github({ run_attempt: '0' })],
  ['an attempt that is a number', 'OIDC_CLAIM_INVALID', github({ run_attempt: 2 })],
  ['a kind of ref that nobody knows', 'OIDC_CLAIM_INVALID', gitlab({ ref_type: 'note' })],
  ['a runner that is a list, where a rule reads it', 'OIDC_CLAIM_INVALID', gitlab({ runner_id: [1] })],
  // whose
  ['a pull request of a fork', 'OIDC_EVENT_REFUSED', github({ event_name: 'pull_request', head_ref: 'fork' })],
  ['a pull request with the rights of its target', 'OIDC_EVENT_REFUSED', github({ event_name: 'pull_request_target' })],
  ['a comment on a pull request', 'OIDC_EVENT_REFUSED', github({ event_name: 'pull_request_review_comment' })],
  ['a merge request of a fork', 'OIDC_EVENT_REFUSED', gitlab({ pipeline_source: 'merge_request_event' })],
  [
    'a repository that took the name of another',
    'OIDC_IDENTITY_UNKNOWN',
    github({ repository_id: '31337', repository_owner_id: '31337' }),
  ],
  ['another repository of the same owner', 'OIDC_IDENTITY_UNKNOWN', github({ repository_id: '31337' })],
  ['a repository id that begins like ours', 'OIDC_IDENTITY_UNKNOWN', github({ repository_id: '12962690' })],
  ['another branch', 'OIDC_IDENTITY_UNKNOWN', github({ ref: 'refs/heads/main2' })],
  ['a branch called like a tag', 'OIDC_IDENTITY_UNKNOWN', github({ ref: 'refs/heads/refs/tags/v1' })],
  ['a star for a branch', 'OIDC_IDENTITY_UNKNOWN', github({ ref: '*' })],
  ['no branch', 'OIDC_IDENTITY_UNKNOWN', github({ ref: undefined })],
  ['a project that took the path of another', 'OIDC_IDENTITY_UNKNOWN', gitlab({ project_id: '21' })],
  ['a ref that is not protected', 'OIDC_IDENTITY_UNKNOWN', gitlab({ ref_protected: 'false' })],
  [
    'a person whose address nobody checked',
    'OIDC_IDENTITY_UNKNOWN',
    (o) => o.other.sign(person(o, { email_verified: false })),
  ],
  ['a name that makes no identity', 'OIDC_CLAIM_INVALID', (o) => o.other.sign(person(o, { sub: 's'.repeat(255) }))],
]

function decode(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
}

function person(o: Workloads, more: object = {}): Record<string, unknown> {
  const { iss, aud, jti, iat, exp } = githubClaims(o.other.url, o.world.time.now())
  return { iss, aud, jti, iat, exp, sub: 'alice', email_verified: true, team: 'signers', ...more }
}

describe('attack: Forged CI identity', function () {
  this.timeout(20_000)
  const scope = new Scope()
  let o: Workloads

  before(async () => {
    o = await startWorkloads(scope)
  })
  after(() => scope.close())
  beforeEach(() => {
    // The pause between two questions to an issuer, and room in the minute.
    o.world.time.advance(60_000)
  })

  const exchange = (token: string) => o.world.services.exchange.exchange(token)
  const tokens = () => o.world.dependencies.tokens.listExchanged().length

  it('is not what a good token is taken for', async () => {
    const { secret, token } = await exchange(await good(o.github, o))
    expect(token.workload?.id).to.equal('github:repository:1296269')
    expect(o.world.services.tokens.authenticate(secret)?.id).to.equal('github:repository:1296269')
  })

  for (const [name, code, make] of TABLE) {
    it(`${name}: ${code}`, async () => {
      const [before, records] = [tokens(), o.world.keyHolder.records.length]
      const refused = await expectCodeAsync(code, async () => exchange(await make(o)))
      expect(JSON.stringify(refused.facts)).not.to.include('evil')
      expect(o.world.observer.refusals.at(-1)?.code).to.equal(code)
      expect([tokens(), o.world.keyHolder.records.length]).to.deep.equal([before, records])
    })
  }

  it('a token that was exchanged: OIDC_TOKEN_SPENT, also after a restart', async () => {
    const token = await good(o.github, o)
    await exchange(token)
    await expectCodeAsync('OIDC_TOKEN_SPENT', () => exchange(token))
    await o.world.restart()
    await expectCodeAsync('OIDC_TOKEN_SPENT', () => exchange(token))
  })

  it('a token of the same id with other claims: OIDC_TOKEN_SPENT', async () => {
    const jti = randomUUID()
    await exchange(await github({ jti })(o))
    await expectCodeAsync('OIDC_TOKEN_SPENT', async () => exchange(await github({ jti, sha: 'd'.repeat(40) })(o)))
  })

  it('a token that is exchanged ten times at once: one comes through', async () => {
    const token = await good(o.github, o)
    const before = tokens()
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => exchange(token)))
    const codes = results.flatMap((one) => (one.status === 'rejected' ? [(one.reason as CodedError<string>).code] : []))
    expect(codes).to.deep.equal(Array<string>(9).fill('OIDC_TOKEN_SPENT'))
    expect(tokens()).to.equal(before + 1)
  })

  it('tokens with a hundred unknown keys: the issuer is asked once', async () => {
    const before = o.github.keyFetches
    for (let count = 0; count < 100; count++) {
      await expectCodeAsync('OIDC_KEY_UNKNOWN', async () => exchange(await header({ kid: randomUUID() })(o)))
    }
    expect(o.github.keyFetches - before).to.be.at.most(1)
    await exchange(await good(o.github, o))
  })

  it('more tokens than a minute may have: OIDC_RATE_EXCEEDED, and those of other issuers go on', async () => {
    const results = await Promise.allSettled(Array.from({ length: 25 }, async () => exchange(await good(o.github, o))))
    const codes = results.flatMap((one) => (one.status === 'rejected' ? [(one.reason as CodedError<string>).code] : []))
    expect(codes).to.deep.equal(Array<string>(5).fill('OIDC_RATE_EXCEEDED'))
    await exchange(await gitlab({})(o))
    o.world.time.advance(60_000)
    await exchange(await good(o.github, o))
  })

  it('strangers do not use up the minute of those who are known', async () => {
    for (let count = 0; count < 30; count++) {
      await expectCodeAsync('OIDC_IDENTITY_UNKNOWN', async () => exchange(await github({ repository_id: '5' })(o)))
    }
    await exchange(await good(o.github, o))
  })

  it('any good token with one other character is refused', async () => {
    const token = await good(o.github, o)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ {"'
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...alphabet.split(/(?:)/)), async (at, character) => {
        fc.pre(token[at] !== character)
        const other = token.slice(0, at) + character + token.slice(at + 1)
        const refused = await exchange(other).then(
          () => 'taken',
          (error: unknown) => (error instanceof CodedError ? String(error.code) : 'no code'),
        )
        expect(OIDC_ERROR_CODES).to.include(refused)
      }),
      { numRuns: 300 },
    )
    await exchange(token)
  })
})

describe('a token that was exchanged', () => {
  const scope = new Scope()
  let o: Workloads

  before(async () => {
    o = await startWorkloads(scope)
  })
  after(() => scope.close())
  beforeEach(() => {
    o.world.time.advance(3_600_000)
  })
  const exchange = async () => o.world.services.exchange.exchange(await good(o.github, o))
  const list = () => o.world.services.tokens.list(everybody, 'exchanged')

  it('is listed when it is asked for, can be revoked, and is forgotten at its end', async () => {
    const { token, secret } = await exchange()
    expect(o.world.services.tokens.list(everybody)).to.deep.equal([])
    expect(list().map(({ id }) => id)).to.include(token.id)
    await o.world.services.tokens.revoke(everybody, token.id)
    expect(o.world.services.tokens.authenticate(secret)).to.equal(undefined)
    o.world.time.advance(3_600_000)
    await exchange()
    expect(list().map(({ id }) => id)).not.to.include(token.id)
  })

  it('ends after its hour, lives on through a restart, and cannot be rotated', async () => {
    const { token, secret } = await exchange()
    await o.world.restart()
    o.world.time.advance(3_600_000 - 1)
    expect(o.world.services.tokens.authenticate(secret)?.origin?.repositoryId).to.equal('1296269')
    await expectCodeAsync('TOKEN_NOT_ROTATABLE', () => o.world.services.tokens.rotate(everybody, token.id, 0))
    const own = o.world.services.tokens.authenticate(secret) ?? everybody
    await expectCodeAsync('NOT_PERMITTED', () => o.world.services.tokens.rotate(own, token.id, 0))
    o.world.time.advance(1)
    expect(o.world.services.tokens.authenticate(secret)).to.equal(undefined)
  })

  it('is taken no longer once its issuer is not configured', async () => {
    const { secret } = await exchange()
    const { tokens } = createServices({
      ...o.world.dependencies,
      verifier: new IdTokenVerifier([], o.world.dependencies.clock),
    })
    expect(tokens.authenticate(secret)).to.equal(undefined)
    expect(o.world.services.tokens.authenticate(secret)).not.to.equal(undefined)
  })

  it('is not made where the record cannot be written; then the token of the issuer is not spent', async () => {
    const token = await good(o.github, o)
    const before = list().length
    o.world.faults.plan({
      method: 'keyHolder.appendRecord',
      call: 1,
      moment: 'before',
      error: () => new KeyHolderError('AUDIT_LOG_UNWRITABLE', 'full'),
    })
    await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => o.world.services.exchange.exchange(token))
    expect(list()).to.have.length(before)
    await o.world.services.exchange.exchange(token)
  })

  it('whose record is written before a crash is not there after it; the token of the issuer is good for another try', async () => {
    const token = await good(o.github, o)
    const made = () => list().filter(({ createdAt }) => createdAt.getTime() === o.world.time.now().getTime()).length
    const error = () => new Crash('after the record')
    o.world.faults.plan({ method: 'keyHolder.appendRecord', call: 1, moment: 'after', error })
    await o.world.services.exchange.exchange(token).then(
      () => expect.fail('the crash did not come'),
      (thrown: unknown) => expect(thrown).to.be.instanceOf(Crash),
    )
    await o.world.restart()
    expect(made()).to.equal(0)
    await o.world.services.exchange.exchange(token)
    expect(made()).to.equal(1)
    const records = o.world.keyHolder.records.filter(({ kind }) => kind === 'token-exchanged')
    expect(new Set(records.slice(-2).map(({ facts }) => facts['subjectSha256'])).size, 'both are in the log').to.equal(
      1,
    )
  })

  it('whose store fails is not there, and nothing is spent', async () => {
    const token = await good(o.github, o)
    o.world.faults.plan({ method: 'tokens.exchange', call: 1, moment: 'before', error: () => new Error('disk full') })
    await o.world.services.exchange.exchange(token).then(
      () => expect.fail('it was stored'),
      (thrown: unknown) => expect(thrown).to.be.instanceOf(Error),
    )
    o.world.faults.plan(undefined)
    await o.world.services.exchange.exchange(token)
    await expectCodeAsync('OIDC_TOKEN_SPENT', () => o.world.services.exchange.exchange(token))
  })
})

describe('what the claims of a workload become', () => {
  const scope = new Scope()
  let o: Workloads

  before(async () => {
    o = await startWorkloads(scope)
  })
  after(() => scope.close())

  async function identified(make: Make) {
    const { secret } = await o.world.services.exchange.exchange(await make(o))
    return o.world.services.tokens.authenticate(secret)
  }

  it('GitHub: identity, groups, actor and where it runs', async () => {
    expect(await identified(github({}))).to.deep.equal({
      id: 'github:repository:1296269',
      name: 'team/app',
      grants: [{ grant: 'submit', repositories: ['registry.example.com/team/*'] }],
      groups: ['releases'],
      actor: 'github:user:583231',
      origin: {
        provider: 'github',
        issuer: o.github.url,
        repository: 'team/app',
        repositoryId: '1296269',
        ownerId: '4711',
        ref: 'refs/heads/main',
        isRefProtected: true,
        workflow: 'team/ci/.github/workflows/sign.yml@refs/heads/main',
        event: 'push',
        environment: 'production',
        runner: 'hosted',
        attempt: 1,
        commit: 'a'.repeat(40),
        run: `${o.github.url}/team/app/actions/runs/9000000001`,
      },
    })
  })

  it('a re-run, another runner and a ref without protection reach the policy as they are', async () => {
    const found = await identified(
      github({ run_attempt: '3', runner_environment: 'self-hosted', ref_protected: 'false', environment: undefined }),
    )
    expect(found?.origin).to.include({ attempt: 3, runner: 'self-hosted', isRefProtected: false })
    expect(found?.origin).not.to.have.property('environment')
  })

  it('an event that strangers can bring about, where a rule names it', async () => {
    const found = await identified(github({ event_name: 'pull_request', base_ref: 'main' }))
    expect(found?.id).to.equal('github:owner:4711')
    expect(found?.grants.map(({ grant }) => grant)).to.deep.equal(['read'])
  })

  it('GitLab: likewise, and a branch never looks like a full ref', async () => {
    const found = await identified(gitlab({ ref: 'refs/heads/main', ref_type: 'branch' }))
    expect(found).to.deep.include({ id: 'gitlab:project:20', name: 'team/app', actor: 'gitlab:user:1' })
    expect(found?.origin).to.deep.equal({
      provider: 'gitlab',
      issuer: o.gitlab.url,
      repository: 'team/app',
      repositoryId: '20',
      ownerId: '72',
      ref: 'refs/heads/refs/heads/main',
      isRefProtected: true,
      workflow: 'gitlab.example.com/team/app//.gitlab-ci.yml@refs/tags/v1.4',
      event: 'push',
      runner: 'self-hosted',
      commit: 'b'.repeat(40),
      run: `${o.gitlab.url}/team/app/-/jobs/302`,
    })
  })

  it('a person of another provider has the identity that a workload names as its actor', async () => {
    const found = await identified((all) => all.other.sign(person(all, { preferred_username: 'alice' })))
    expect(found).to.deep.include({ id: 'people:user:alice', actor: 'people:user:alice', name: 'alice' })
    expect(found?.groups).to.deep.equal(['approvers'])
  })

  it('a token that the provider itself made is taken, by the newer name of its algorithm, too', async () => {
    o.world.time.advance(Date.now() - o.world.time.now().getTime())
    const more = { email_verified: true, team: 'signers' }
    expect((await identified((all) => all.other.issue('bob', more)))?.id).to.equal('people:user:bob')
    const signed = (all: Workloads) =>
      all.other.sign(person(all, { sub: 'carol' }), { algorithm: 'EdDSA', header: { alg: 'Ed25519' } })
    expect((await identified(signed))?.id).to.equal('people:user:carol')
  })

  it('the audit log has who, from where, and never the token', async () => {
    const token = await github({})(o)
    const { secret } = await o.world.services.exchange.exchange(token)
    const record = o.world.keyHolder.records.at(-1)
    expect(record?.kind).to.equal('token-exchanged')
    expect(record?.facts).to.include({
      by: 'github:repository:1296269',
      actor: 'github:user:583231',
      groups: 'releases',
      repositoryId: '1296269',
      attempt: 1,
      isRefProtected: true,
    })
    const kept = JSON.stringify([
      o.world.keyHolder.records,
      o.world.database.sqlite.prepare('SELECT * FROM tokens').all(),
    ])
    for (const text of [secret, token, token.split('.')[2] ?? '']) expect(kept).not.to.include(text)
  })
})
