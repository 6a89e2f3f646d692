// `identity`: the issuers whose tokens are exchanged, and the rules that turn claims into identities. Pure.
import * as z from 'zod'
import { isClaimPattern, isExact } from '../domain/claim-pattern.ts'
import { TOKEN_ALGORITHMS } from '../domain/id-token.ts'
import { parsePattern, type Pattern } from '../domain/pattern.ts'
import { GROUP_NAME } from '../domain/principal.ts'
import type { IdentityRule, WorkloadIssuer } from '../domain/workload-identity.ts'
import type { Provider } from '../domain/workload-origin.ts'
import { configPath as path, pattern, serverUrl } from './fields.ts'
import { duration } from './units.ts'

const MAX_RULES = 256
const claimName = z.string().regex(/^[A-Za-z0-9_:./-]{1,128}$/, 'must be the name of a claim')
const claimText = z.string().refine(isClaimPattern, 'must be 1 to 512 characters')

/** Checked of every token anyway, so that a rule over them binds nothing. */
const BOUND_ALWAYS = ['iss', 'aud', 'exp', 'nbf', 'iat', 'jti']

/** What a rule has to name exactly: numbers that are given once. Names can be given up and taken by somebody else. */
const BINDING: Readonly<Record<Provider, readonly string[]>> = {
  github: ['repository_id', 'repository_owner_id'],
  gitlab: ['project_id', 'namespace_id'],
  other: [],
}

/** The claims that an identity may be made of, and its kind; the first is taken where the rule names none. */
const KINDS: Readonly<Record<Exclude<Provider, 'other'>, Readonly<Record<string, string>>>> = {
  github: { repository_id: 'repository', repository_owner_id: 'owner', actor_id: 'user' },
  gitlab: { project_id: 'project', namespace_id: 'namespace', user_id: 'user' },
}

/** What an identity may be and do, whichever way it proves itself. */
const rights = {
  groups: z
    .array(z.string().regex(GROUP_NAME, 'must be the name of a group: a-z, 0-9, . _ and -'))
    .max(32)
    .default([])
    .meta({ description: 'Groups that policies know this identity by.' }),
  grants: z
    .array(
      z.strictObject({
        grant: z.enum(['operator', 'submit', 'read']).meta({ description: 'What it may do. Never admin.' }),
        repositories: z.array(pattern).min(1).max(50).meta({ description: 'On which repositories.' }),
      }),
    )
    .min(1)
    .max(50)
    .meta({ description: 'What this identity may do.' }),
}

const rule = z.strictObject({
  match: z
    .record(
      claimName,
      z.union([claimText, z.array(claimText).min(1).max(64)], 'must be text in quotes, or a list of such'),
    )
    .refine((match) => Object.keys(match).length >= 1 && Object.keys(match).length <= 32, 'must name 1 to 32 claims')
    .meta({
      description:
        'Claim -> the text that it must be, or a list of such; `*` matches any run of characters. All of them must match.',
    }),
  id: z
    .strictObject({
      claim: claimName
        .optional()
        .meta({ description: 'Default: repository_id (github), project_id (gitlab), sub (other).' }),
      kind: z
        .string()
        .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be a-z, 0-9 and -')
        .optional()
        .meta({ description: 'For provider other. Default: the name of the claim. user: a person.' }),
    })
    .prefault({})
    .meta({ description: 'The identity is ISSUER-NAME:KIND:VALUE, as github:repository:1234.' }),
  ...rights,
})

const certificate = z.strictObject({
  san: z
    .string()
    .regex(/^(dns|uri):[\x21\x23-\x2b\x2d-\x7e]{1,240}$/, 'must be dns:NAME or uri:URI, without wildcards of TLS')
    .refine((text) => !text.includes('*'), 'must be one name, exactly')
    .meta({ description: 'One subject alternative name. The identity is certificate:SAN.' }),
  ...rights,
})

const issuer = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be a-z, 0-9 and -')
      .meta({ description: 'Begins the identities of this issuer. Never give it to another issuer later.' }),
    issuer: serverUrl.meta({ description: 'The claim iss, exactly.' }),
    audience: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible characters')
      .meta({
        description: 'The claim aud, exactly: the address of this server, or a name that is used nowhere else.',
      }),
    provider: z.enum(['github', 'gitlab', 'other']).meta({ description: 'Whose claims they are.' }),
    algorithms: z
      .array(z.enum(TOKEN_ALGORITHMS))
      .min(1)
      .max(TOKEN_ALGORITHMS.length)
      .default(['RS256', 'ES256'])
      .meta({ description: 'The algorithms that its tokens may be signed with.' }),
    jwksUrl: serverUrl
      .optional()
      .meta({ description: 'Where its keys are. Default: as ISSUER/.well-known/openid-configuration says.' }),
    jwksFile: path.optional().meta({ description: 'Its keys as a file (JWKS), for networks that do not reach it.' }),
    caFile: path
      .optional()
      .meta({ description: 'CA certificates (PEM) that it is checked with, in place of the system.' }),
    clockSkew: duration('0s', '5m').default(60_000).meta({ description: 'How far the clocks may be apart.' }),
    maxAge: duration('1m', '1d').default(3_600_000).meta({ description: 'How long ago its token may have been made.' }),
    tokenLifetime: duration('1m', '24h')
      .default(3_600_000)
      .meta({ description: 'How long our token is valid. Requests go on without it.' }),
    exchangesPerMinute: z.int().min(1).max(600).default(60).meta({ description: 'Tokens exchanged within a minute.' }),
    actorClaim: claimName
      .optional()
      .meta({ description: 'For provider other: the claim that names the person behind a workload.' }),
    login: z
      .strictObject({
        clientId: z
          .string()
          .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible characters')
          .meta({ description: 'The client at the provider: public, with the device flow. It must be the audience.' }),
        scopes: z
          .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/, 'must be a scope'))
          .min(1)
          .max(16)
          .default(['openid'])
          .meta({ description: 'What is asked for.' }),
      })
      .optional()
      .meta({ description: 'For provider other, and one issuer alone: people sign in here (countersign login).' }),
    identities: z
      .array(rule)
      .min(1)
      .max(MAX_RULES)
      .meta({ description: 'Rules in order; the first that matches counts. None matches: refused.' }),
  })
  .superRefine((o, context) => {
    for (const { at, message } of faultsOf(o)) context.addIssue({ code: 'custom', path: [...at], message })
  })

export const identitySettings = z.strictObject({
  issuers: z
    .array(issuer)
    .max(32)
    .default([])
    .superRefine((issuers, context) => {
      for (const member of ['name', 'issuer'] as const) {
        issuers.forEach((one, index) => {
          if (issuers.findIndex((other) => other[member] === one[member]) === index) return
          context.addIssue({ code: 'custom', path: [index, member], message: 'stands in the list twice' })
        })
      }
    })
    .superRefine((issuers, context) => {
      const first = issuers.findIndex(({ login }) => login !== undefined)
      issuers.forEach(({ login }, index) => {
        if (login === undefined || index === first) return
        context.addIssue({ code: 'custom', path: [index, 'login'], message: 'stands at another issuer already' })
      })
    })
    .meta({ description: 'Whose tokens are exchanged for ours (POST /v1/token-exchange).' }),
  certificates: z
    .array(certificate)
    .max(1024)
    .default([])
    .refine((rules) => new Set(rules.map(({ san }) => san)).size === rules.length, 'names a certificate twice')
    .meta({ description: 'Machines that prove themselves by a client certificate, without a token.' }),
})

export type IssuerConfig = Readonly<z.output<typeof issuer>>
type RuleConfig = IssuerConfig['identities'][number]

/** As the HTTP server reads them. */
export function certificateRules(rules: z.output<typeof identitySettings>['certificates']) {
  return rules.map(({ san, groups, grants }) => ({ san, groups, grants: grants.map(grantOf) }))
}

/** As the domain reads it. */
export function workloadIssuer(config: IssuerConfig): WorkloadIssuer {
  return {
    name: config.name,
    issuer: config.issuer,
    audience: config.audience,
    provider: config.provider,
    algorithms: config.algorithms,
    clockSkewMs: config.clockSkew,
    maxAgeMs: config.maxAge,
    tokenLifetimeMs: config.tokenLifetime,
    exchangesPerMinute: config.exchangesPerMinute,
    ...(config.actorClaim !== undefined && { actorClaim: config.actorClaim }),
    identities: config.identities.map((one): IdentityRule => ({
      match: new Map(Object.entries(one.match).map(([claim, texts]) => [claim, patternsOf(texts)])),
      id: idOf(config.provider, one.id),
      groups: one.groups,
      grants: one.grants.map(grantOf),
    })),
  }
}

function grantOf({ grant, repositories }: RuleConfig['grants'][number]) {
  return { grant, repositories: repositories.map(parsePattern) }
}

interface Fault {
  readonly at: readonly (string | number)[]
  readonly message: string
}

function faultsOf(o: IssuerConfig): Fault[] {
  const owner = { 'token.actions.githubusercontent.com': 'github', 'gitlab.com': 'gitlab' }[
    URL.parse(o.issuer)?.host ?? ''
  ]
  const isActorKnown = o.provider === 'other' || o.actorClaim === undefined
  return [
    ...(owner !== undefined && owner !== o.provider
      ? [{ at: ['provider'], message: `must be ${owner} for this issuer` }]
      : []),
    ...(o.provider === 'github' && /^https:\/\/github\.com\//i.test(o.audience)
      ? [{ at: ['audience'], message: "is GitHub's default, which every other service gets, too: choose your own" }]
      : []),
    ...(o.jwksUrl !== undefined && o.jwksFile !== undefined
      ? [{ at: ['jwksFile'], message: 'excludes jwksUrl: name one of them' }]
      : []),
    ...(o.login !== undefined && o.provider !== 'other'
      ? [{ at: ['login'], message: 'is for provider other: this one has pipelines, no people' }]
      : []),
    ...(o.login !== undefined && o.login.clientId !== o.audience
      ? [{ at: ['login', 'clientId'], message: 'must be the audience: ID tokens are made for their client' }]
      : []),
    ...(isActorKnown ? [] : [{ at: ['actorClaim'], message: 'is for provider other: this one has its own' }]),
    ...o.identities.flatMap((one, index) =>
      ruleFaults(o, one).map(({ at, message }) => ({ at: ['identities', index, ...at], message })),
    ),
    ...kindFaults(o),
  ]
}

function ruleFaults({ provider }: IssuerConfig, { match, id }: RuleConfig): Fault[] {
  const useless = Object.keys(match).filter((claim) => BOUND_ALWAYS.includes(claim))
  const exact = Object.entries(match)
    .filter(([, texts]) => patternsOf(texts).every(isExact))
    .map(([claim]) => claim)
  const binding = BINDING[provider]
  const isBound = binding.length === 0 ? exact.length > 0 : binding.some((claim) => exact.includes(claim))
  const kinds = provider === 'other' ? undefined : KINDS[provider]
  return [
    ...useless.map((claim) => ({ at: ['match', claim], message: 'is checked of every token already' })),
    ...(isBound
      ? []
      : [
          {
            at: ['match'],
            message:
              binding.length === 0
                ? 'must name at least one claim exactly, without *'
                : `must name ${binding.join(' or ')} exactly, without *: names can be taken by others`,
          },
        ]),
    ...(kinds !== undefined && id.claim !== undefined && !(id.claim in kinds)
      ? [{ at: ['id', 'claim'], message: `must be one of ${Object.keys(kinds).join(', ')}` }]
      : []),
    ...(kinds !== undefined && id.kind !== undefined
      ? [{ at: ['id', 'kind'], message: 'is for provider other: here it follows from the claim' }]
      : []),
  ]
}

/** One kind, one claim: or two different claims could make the same identity. */
function kindFaults({ provider, actorClaim, identities }: IssuerConfig): Fault[] {
  if (provider !== 'other') return []
  const claimOf = new Map(actorClaim === undefined ? [] : [['user', actorClaim]])
  return identities.flatMap(({ id }, index) => {
    const { kind, claim } = idOf(provider, id)
    const known = claimOf.get(kind) ?? claim
    claimOf.set(kind, known)
    if (known === claim) return []
    return [{ at: ['identities', index, 'id'], message: `has the kind ${kind}, which is made of another claim above` }]
  })
}

function idOf(provider: Provider, { claim, kind }: RuleConfig['id']): IdentityRule['id'] {
  if (provider === 'other') {
    const named = claim ?? 'sub'
    return {
      claim: named,
      kind:
        kind ??
        named
          .toLowerCase()
          .replace(/[^a-z0-9]+/g, '-')
          .slice(0, 32),
    }
  }
  const named = claim ?? Object.keys(KINDS[provider])[0] ?? ''
  return { claim: named, kind: KINDS[provider][named] ?? '' }
}

function patternsOf(texts: RuleConfig['match'][string]): readonly Pattern[] {
  return typeof texts === 'string' ? [texts] : texts
}
