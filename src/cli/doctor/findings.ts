// What the facts of a machine mean, and what to do about them. Pure; the IDs are API.
import type { MachineFacts, Reach, Unasked } from './facts.ts'

export type State = 'ok' | 'warning' | 'problem'

export interface Finding {
  readonly id: string
  readonly state: State
  /** One sentence. */
  readonly means: string
  /** One sentence; absent where nothing is to be done. */
  readonly next?: string
}

type Judge = (facts: MachineFacts) => readonly Finding[]

/** As package.json says. */
const MIN_NODE = { 20: 19, 22: 13 } as const
/** docker/cli pull request 6603: from here on the client verifies nothing. */
const FIRST_DOCKER_WITHOUT_TRUST = 29
/** Milliseconds. Above the first, ID tokens and short-lived metadata begin to fail; above the second they do fail. */
const CLOCK_WARNING = 60_000
const CLOCK_PROBLEM = 300_000
/** What strconv.ParseBool takes for false; docker takes everything else for true. docker/cli v28.2.2 cli/command/cli.go contentTrustEnabled */
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False'])

const JUDGES: readonly Judge[] = [
  nodeVersion,
  dockerClient,
  contentTrust,
  contentTrustServer,
  server,
  token,
  trustServer,
  registry,
  pins,
  secretVariables,
  keyFiles,
  clock,
]

/** In the order in which they are shown, each ID once. */
export function findingsOf(facts: MachineFacts): readonly Finding[] {
  return JUDGES.flatMap((judge) => judge(facts))
}

function nodeVersion({ node }: MachineFacts): readonly Finding[] {
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const least = major in MIN_NODE ? MIN_NODE[major as keyof typeof MIN_NODE] : undefined
  const isSupported = least === undefined ? major >= 24 : minor >= least
  if (isSupported) return [ok('node-version', `Node ${node} is supported.`)]
  return [
    problem(
      'node-version',
      `Node ${node} is not supported.`,
      'Install Node 20.19, 22.13 or 24, or later ones of them.',
    ),
  ]
}

function dockerClient({ docker }: MachineFacts): readonly Finding[] {
  const id = 'docker-client'
  if (docker === undefined) {
    return [
      warning(
        id,
        'No Docker client was found, which push and pull need.',
        'Install it where images are pushed or pulled.',
      ),
    ]
  }
  if (verifies(docker)) return [ok(id, `Docker ${docker} verifies signatures where DOCKER_CONTENT_TRUST=1 is set.`)]
  return [
    warning(
      id,
      `Docker ${docker} verifies no signatures, whatever is set: content trust ended with version 28.`,
      'Pull with docker countersign pull, which verifies on this machine.',
    ),
  ]
}

function contentTrust({ docker, contentTrust: value = '' }: MachineFacts): readonly Finding[] {
  const id = 'content-trust'
  if (value === '' || FALSE.has(value)) {
    return [ok(id, 'DOCKER_CONTENT_TRUST is off: docker pull itself verifies nothing, docker countersign pull does.')]
  }
  if (docker !== undefined && !verifies(docker)) {
    return [
      problem(
        id,
        `DOCKER_CONTENT_TRUST is set, and Docker ${docker} ignores it without a word: what looks verified is not.`,
        'Unset it, and pull with docker countersign pull.',
      ),
    ]
  }
  return [
    warning(
      id,
      'DOCKER_CONTENT_TRUST is on: docker pull verifies from the first root it sees, and docker push wants a signing key here, so it fails in managed repositories after the upload.',
      'Push with docker countersign push, and pull with docker countersign pull where pins are to count.',
    ),
  ]
}

function contentTrustServer({ contentTrustServer: value = '' }: MachineFacts): readonly Finding[] {
  const id = 'content-trust-server'
  if (value === '') {
    return [
      ok(
        id,
        "DOCKER_CONTENT_TRUST_SERVER is not set: each image's own registry host is asked, for Docker Hub notary.docker.io.",
      ),
    ]
  }
  const url = URL.parse(value)
  if (url !== null && (url.username !== '' || url.password !== '')) {
    return [
      problem(
        id,
        'DOCKER_CONTENT_TRUST_SERVER holds a user name or password, which every program of this user can read.',
        'Write it as https://notary.example.com, and log in with docker login.',
      ),
    ]
  }
  if (url?.protocol === 'https:')
    return [ok(id, `DOCKER_CONTENT_TRUST_SERVER sends every question about signatures to ${url.origin}.`)]
  return [
    problem(
      id,
      'DOCKER_CONTENT_TRUST_SERVER is no https:// address, so docker refuses every trusted command.',
      'Write it as https://notary.example.com.',
    ),
  ]
}

function server({ server: reach }: MachineFacts): readonly Finding[] {
  const id = 'server'
  if ('isReached' in reach) {
    if (!reach.isReached) return [unreached(id, 'The Countersign server', reach)]
    if (reach.status < 300) return [ok(id, `The Countersign server ${reach.address} answers.`)]
    return [
      problem(
        id,
        `${reach.address} answers with status ${reach.status}, which a Countersign server does not.`,
        'Check --server and COUNTERSIGN_SERVER, and what stands in front of the server.',
      ),
    ]
  }
  if (reach.code === 'SERVER_NOT_CONFIGURED') {
    return [
      warning(
        id,
        'No Countersign server is configured, so nothing can be signed from here.',
        'Set COUNTERSIGN_SERVER, or server in the client configuration file.',
      ),
    ]
  }
  return [problem(id, `${reach.code}: ${reach.reason}`, 'Correct what the sentence names.')]
}

function token({ token: facts, server: reach }: MachineFacts): readonly Finding[] {
  const id = 'token'
  if ('code' in reach && reach.code === 'SERVER_NOT_CONFIGURED') return []
  const { kind, code = '', reason = '', isAccepted } = facts
  if (kind === 'certificate') return [ok(id, 'A client certificate stands in the place of a token.')]
  if (kind === 'workload') return [ok(id, "The pipeline's own ID token is used, and none is kept.")]
  if (kind === 'unusable') {
    const next =
      code === 'SECRET_FILE_EXPOSED'
        ? 'Give the file to its user alone: chmod 600.'
        : 'Get a token from the operator, and name its file with COUNTERSIGN_TOKEN_FILE.'
    return [problem(id, `No token can be used: ${reason}`, next)]
  }
  if (isAccepted === false)
    return [
      problem(
        id,
        'The server does not take the token: it was revoked, has expired, or is of another server.',
        'Get a new one from the operator.',
      ),
    ]
  if (isAccepted === undefined)
    return [
      warning(id, 'There is a token; whether the server takes it could not be asked.', 'See to the server first.'),
    ]
  return [ok(id, 'There is a token, and the server takes it.')]
}

function trustServer({ trustServer: reach }: MachineFacts): readonly Finding[] {
  const id = 'trust-server'
  if ('isReached' in reach) {
    if (reach.isReached) return [ok(id, `The trust server ${reach.address} answers.`)]
    return [
      unreached(
        id,
        'The trust server',
        reach,
        'For a private authority put its certificate into ~/.docker/tls/HOST/ca.crt.',
      ),
    ]
  }
  if (reach.code === 'NOT_NAMED')
    return [ok(id, 'No trust server was asked, since neither an image nor DOCKER_CONTENT_TRUST_SERVER names one.')]
  return [problem(id, `${reach.code}: ${reach.reason}`, 'Correct the address of the trust server.')]
}

function registry({ registry: reach }: MachineFacts): readonly Finding[] {
  if (reach === undefined) return []
  if (!('isReached' in reach))
    return [problem('registry', `${reach.code}: ${reach.reason}`, 'Correct what the sentence names.')]
  if (reach.isReached) return [ok('registry', `The registry ${reach.address} answers.`)]
  const next = "For a private authority: docker's engine has it in /etc/docker/certs.d/HOST/ca.crt."
  return [unreached('registry', 'The registry', reach, next)]
}

function pins({ pins: facts, now }: MachineFacts): readonly Finding[] {
  const id = 'pins'
  const { gun, pinned, expiresAt, memory, fault } = facts
  if (fault !== undefined)
    return [problem(id, fault.reason, 'Remove the file, and import the bundle again: countersign pin import.')]
  const next = 'Get a bundle from the operator: countersign pin import FILE --key FINGERPRINT.'
  if (gun === undefined) {
    if (pinned > 0)
      return [ok(id, `This machine has pins of ${pinned === 1 ? 'one repository' : `${pinned} repositories`}.`)]
    return [
      warning(id, 'This machine has no pins: what it verifies begins with trust on first use, or with --pin.', next),
    ]
  }
  if (pinned > 0) {
    if (expiresAt === undefined || Date.parse(expiresAt) > now.getTime())
      return [ok(id, `The root of ${gun} is pinned.`)]
    return [
      warning(
        id,
        `The root of ${gun} is pinned, by a bundle that has expired on ${expiresAt}.`,
        'Get a new bundle from the operator: countersign pin import.',
      ),
    ]
  }
  if (memory === 'pinned') return [ok(id, `The root of ${gun} is remembered from a pin that was named once.`)]
  if (memory === 'first-use')
    return [warning(id, `The root of ${gun} is the first one that came: nobody said that it is right.`, next)]
  return [warning(id, `Nothing says which root of ${gun} is the right one.`, next)]
}

function secretVariables({ secretVariables: names }: MachineFacts): readonly Finding[] {
  const id = 'left-over-secrets'
  if (names.length === 0) return [ok(id, 'No passphrases of signing keys are in the environment.')]
  return [
    warning(
      id,
      `Passphrases of signing keys are in the environment, which nothing here needs: ${names.join(', ')}.`,
      'Take them out of the profile or pipeline that sets them.',
    ),
  ]
}

function keyFiles({ keyFiles: paths }: MachineFacts): readonly Finding[] {
  const id = 'left-over-keys'
  if (paths.length === 0) return [ok(id, 'No signing keys of docker or notary are on this machine.')]
  const shown = paths.slice(0, 5).join(', ')
  const more = paths.length > 5 ? ` and ${paths.length - 5} more` : ''
  return [
    warning(
      id,
      `Private keys of docker or notary are on this machine: ${shown}${more}.`,
      'Bring those of managed repositories to the key holder (countersign key import), and remove the files when its report says so.',
    ),
  ]
}

function clock({ server: first, trustServer: second, registry: third }: MachineFacts): readonly Finding[] {
  const id = 'clock'
  const reached = [first, second, third].flatMap((reach) => (reach === undefined ? [] : offsetsOf(reach)))
  // The one that agrees most: servers have wrong clocks, too.
  const [nearest] = reached.sort((one, other) => Math.abs(one.offset) - Math.abs(other.offset))
  if (nearest === undefined) return [ok(id, 'The clock could not be compared: no server was reached.')]
  const seconds = Math.round(Math.abs(nearest.offset) / 1000)
  const words = `This clock is ${seconds} s ${nearest.offset > 0 ? 'behind' : 'ahead of'} that of ${nearest.address}`
  const next = 'Have the clock set by NTP.'
  if (seconds * 1000 >= CLOCK_PROBLEM)
    return [problem(id, `${words}: good metadata looks expired, or old metadata good.`, next)]
  if (seconds * 1000 >= CLOCK_WARNING) return [warning(id, `${words}: ID tokens may be refused.`, next)]
  return [ok(id, `This clock agrees with that of ${nearest.address}.`)]
}

function offsetsOf(reach: Reach | Unasked): readonly { readonly address: string; readonly offset: number }[] {
  const isKnown = 'isReached' in reach && reach.isReached && reach.clockOffset !== undefined
  return isKnown ? [{ address: reach.address, offset: reach.clockOffset }] : []
}

function unreached(
  id: string,
  who: string,
  { address, code, reason }: Extract<Reach, { isReached: false }>,
  forTls = 'For a private authority give --ca-file FILE.',
): Finding {
  if (code === 'NET_TLS')
    return problem(id, `${who} ${address} has no certificate that this machine trusts: ${reason}.`, forTls)
  const next =
    code === 'NET_DNS'
      ? 'Check the name and the DNS of this machine.'
      : 'Check the address, the way there, and that the server runs.'
  return problem(id, `${who} ${address} cannot be reached: ${reason}.`, next)
}

function verifies(docker: string): boolean {
  return Number.parseInt(docker, 10) < FIRST_DOCKER_WITHOUT_TRUST
}

function ok(id: string, means: string): Finding {
  return { id, state: 'ok', means }
}

function warning(id: string, means: string, next: string): Finding {
  return { id, state: 'warning', means, next }
}

function problem(id: string, means: string, next: string): Finding {
  return { id, state: 'problem', means, next }
}
