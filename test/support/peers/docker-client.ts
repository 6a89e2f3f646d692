// The stock Docker client, as a user of its own: own configuration folder, own trust cache, own passphrases.
import { chmodSync, mkdirSync, copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand, runToSuccess, startProcess, type CommandResult, type RunningProcess } from '../processes.ts'
import type { Scope } from '../scope.ts'
import type { TestCertificate } from '../tls.ts'
import type { DockerEngine } from './docker-engine.ts'
import type { Credentials } from './docker-registry.ts'
import type { NotaryServer } from './notary-server.ts'
import { trustingDockerClients } from './require-peers.ts'

export interface DockerClientOptions {
  readonly notary: Pick<NotaryServer, 'url' | 'host' | 'ca'>
  /** Absent: only what needs no engine, such as `docker trust inspect`. */
  readonly engine?: DockerEngine
  /** Path of the client; the newest with content trust where absent. */
  readonly program?: string
  /** By registry host. */
  readonly logins?: Readonly<Record<string, Credentials>>
  /** By registry host: what `docker login` keeps in place of a password, for registries that give one out. */
  readonly identityTokens?: Readonly<Record<string, string>>
  /** For the trust server. */
  readonly certificate?: TestCertificate
  /** Further variables, such as a plugin needs. */
  readonly environment?: Readonly<Record<string, string>>
}

/** What `docker trust inspect` prints for one image (docker/cli 28.2.2). */
export interface TrustInspection {
  readonly Name: string
  readonly SignedTags: readonly {
    readonly SignedTag: string
    readonly Digest: string
    readonly Signers: readonly string[]
  }[]
  readonly Signers: readonly { readonly Name: string; readonly Keys: readonly { readonly ID: string }[] }[]
  readonly AdministrativeKeys: readonly { readonly Name: string; readonly Keys: readonly { readonly ID: string }[] }[]
}

export class DockerClient {
  readonly program: string
  /** Its DOCKER_CONFIG. */
  readonly folder: string
  readonly #env: Readonly<Record<string, string>>

  constructor(scope: Scope, options: DockerClientOptions) {
    const program = options.program ?? trustingDockerClients()[0]?.path
    if (program === undefined) throw new Error('No docker client with content trust is installed.')
    this.program = program
    this.folder = scope.folder('docker')
    const { notary, engine, logins = {}, identityTokens = {}, certificate, environment = {} } = options
    const tls = join(this.folder, 'tls', notary.host)
    mkdirSync(tls, { recursive: true })
    writeFileSync(join(tls, 'ca.crt'), notary.ca.certificatePem)
    if (certificate !== undefined) {
      writeFileSync(join(tls, 'client.cert'), certificate.certificatePem)
      writeFileSync(join(tls, 'client.key'), certificate.privateKeyPem, { mode: 0o600 })
    }
    const auths: (readonly [string, object])[] = Object.entries(logins).map(([host, { username, password }]) => [
      host,
      { auth: Buffer.from(`${username}:${password}`).toString('base64') },
    ])
    for (const [host, identitytoken] of Object.entries(identityTokens)) auths.push([host, { identitytoken }])
    writeFileSync(join(this.folder, 'config.json'), JSON.stringify({ auths: Object.fromEntries(auths) as unknown }))
    chmodSync(join(this.folder, 'config.json'), 0o600)
    this.#env = {
      DOCKER_CONFIG: this.folder,
      DOCKER_CONTENT_TRUST_SERVER: notary.url,
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'test root passphrase',
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'test repository passphrase',
      ...(engine === undefined ? {} : { DOCKER_HOST: engine.address }),
      ...environment,
    }
  }

  /** Runs `docker ARGS` without content trust. */
  run(args: readonly string[], o: { input?: Uint8Array; timeoutMs?: number } = {}): Promise<CommandResult> {
    return runCommand(this.program, args, { env: { ...this.#env, DOCKER_CONTENT_TRUST: '0' }, ...o })
  }

  /** Like `run`, for steps that must succeed. @throws Error */
  must(args: readonly string[], o: { input?: Uint8Array; timeoutMs?: number } = {}): Promise<CommandResult> {
    return runToSuccess(this.program, args, { env: { ...this.#env, DOCKER_CONTENT_TRUST: '0' }, ...o })
  }

  /** Copies a program of one file as the plugin `docker NAME`. */
  addPlugin(name: string, program: string): void {
    const plugins = join(this.folder, 'cli-plugins')
    mkdirSync(plugins, { recursive: true })
    copyFileSync(program, join(plugins, `docker-${name}`))
  }

  /** Begins `docker ARGS`, for tests that do not wait for its end. */
  begin(scope: Scope, args: readonly string[]): RunningProcess {
    return startProcess(scope, this.program, args, { env: { ...this.#env, DOCKER_CONTENT_TRUST: '1' } })
  }

  /** Runs `docker ARGS` with DOCKER_CONTENT_TRUST=1. */
  trusted(args: readonly string[]): Promise<CommandResult> {
    return runCommand(this.program, args, { env: { ...this.#env, DOCKER_CONTENT_TRUST: '1' } })
  }

  /** What a consumer does. Forgets the local image first, so that the pull is real. */
  async trustedPull(reference: string): Promise<CommandResult> {
    await this.run(['image', 'rm', '--force', reference])
    return this.trusted(['pull', reference])
  }

  /** `docker trust inspect`, decoded. @throws Error where the client refuses the repository */
  async inspectTrust(reference: string): Promise<TrustInspection> {
    const { stdout } = await runToSuccess(this.program, ['trust', 'inspect', reference], { env: this.#env })
    const [first] = JSON.parse(stdout) as TrustInspection[]
    if (first === undefined) throw new Error(`docker trust inspect ${reference}: empty answer`)
    return first
  }
}
