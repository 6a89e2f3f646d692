// The key holder's own configuration: text and environment in, a checked value or all faults out. Reads no files.
import { resolve } from 'node:path'
import * as z from 'zod'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { readStrictYaml } from '../strict-yaml.ts'
import { MAX_TIME_LIMIT_SECONDS } from '../pkcs11/token.ts'
import { formatTokenUri, isSameToken, parseTokenUri } from '../pkcs11/uri.ts'
import { isOrigin } from './checkpoint.ts'
import type { UnlockSource } from './unlock.ts'

export interface KeyHolderConfig {
  /** State, log and keys; mode 0700. */
  readonly folder: string
  readonly serviceSocket: string
  readonly operatorSocket: string
  /** Absent: there is none. */
  readonly trustServerSocket?: string
  /** Mode of the service socket and the trust server's. The operator socket is always 0600. */
  readonly socketMode: number
  /** Absent: it starts sealed, and an operator unseals it. */
  readonly unlock?: UnlockSource
  /** The unlock key that a rewrap puts in its place; the file need not be there. Absent: there is none. */
  readonly nextUnlock?: UnlockSource
  /** The passphrase of backups. Absent: none are made. */
  readonly backupPassphraseFile?: string
  readonly limitsFile: string
  /** PKCS#11 tokens that keys can be in. Absent: none. */
  readonly tokens?: readonly TokenConfig[]
  /** First line of the audit log's checkpoints and name of its key. */
  readonly logOrigin: string
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
}

/** One PKCS#11 token. The module is foreign code: it is loaded from here and nowhere else. */
export interface TokenConfig {
  /** `pkcs11:token=LABEL`, with `;serial=...` where it is to be that one. */
  readonly uri: string
  readonly module: string
  readonly pinFile: string
  /** Variables of the process that has the module loaded. */
  readonly environment: Readonly<Record<string, string>>
  /** For one call of the module; 1 to 10. */
  readonly timeLimitSeconds: number
}

/** Variables are `KEY_HOLDER_` and the path in upper snake case, joined by `__`: KEY_HOLDER_UNLOCK__KEY_FILE. */
const PREFIX = 'KEY_HOLDER_'
/** What Kubernetes puts into every pod when a Service is called `key-holder`; not meant for us. */
const KUBERNETES = /^KEY_HOLDER_(SERVICE_HOST|SERVICE_PORT|PORT)(_.*)?$/

/** sockaddr_un has 108 bytes on Linux and 104 elsewhere, the last one zero. */
const MAX_SOCKET_PATH_BYTES = 103

const NO_UNLOCK_KEY = 'either keyFile or passphraseFile, or operator: true'

const path = z
  .string()
  .min(1)
  .max(4096)
  .transform((text) => resolve(text))
const socketPath = path.refine((text) => Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES, 'at most 103 bytes')

const token = z.strictObject({
  uri: z
    .string()
    .max(256)
    .transform((text, context) => {
      try {
        return formatTokenUri(parseTokenUri(text))
      } catch (error) {
        if (!(error instanceof KeyHolderError)) throw error
        context.addIssue(error.message)
        return z.NEVER
      }
    }),
  module: path,
  pinFile: path,
  environment: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(4096)).default({}),
  timeLimitSeconds: z.int().min(1).max(MAX_TIME_LIMIT_SECONDS).default(MAX_TIME_LIMIT_SECONDS),
})

const schema = z.strictObject({
  folder: path.default('/var/lib/countersign-key-holder'),
  serviceSocket: socketPath.default('/run/countersign/service.sock'),
  operatorSocket: socketPath.default('/run/countersign/operator.sock'),
  trustServerSocket: socketPath.optional(),
  socketMode: z
    .string('an octal number in quotes, as "0660"')
    .regex(/^0?[67][067]0$/, 'an octal number in quotes, for the owner and at most its group, as "0660"')
    .default('0660')
    .transform((text) => Number.parseInt(text, 8)),
  unlock: z
    .strictObject(
      {
        keyFile: path.optional(),
        passphraseFile: path.optional(),
        nextKeyFile: path.optional(),
        nextPassphraseFile: path.optional(),
        operator: z
          .union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], 'true or false')
          .default(false),
      },
      { error: ({ code }) => (code === 'invalid_type' ? NO_UNLOCK_KEY : undefined) },
    )
    .transform(({ keyFile, passphraseFile, nextKeyFile, nextPassphraseFile, operator }, context) => {
      const refuse = (why: string): never => {
        context.addIssue(why)
        return z.NEVER
      }
      const [current, ...others] = unlockSources(keyFile, passphraseFile)
      if ((current === undefined) !== operator || others.length > 0) return refuse(NO_UNLOCK_KEY)
      const [next, ...more] = unlockSources(nextKeyFile, nextPassphraseFile)
      if (more.length > 0) return refuse('either nextKeyFile or nextPassphraseFile, or none of them')
      // Whoever wrote the next key over the present one would have neither after a crash.
      if (next !== undefined && next.path === current?.path)
        return refuse('the next unlock key needs a file of its own')
      return { current, next }
    }),
  backup: z.strictObject({ passphraseFile: path.optional() }).prefault({}),
  limitsFile: path.default('/etc/countersign/limits.yaml'),
  tokens: z
    .array(token)
    .max(16)
    // Two entries for one token would try two PINs on it, and neither would know of the other's tries.
    .refine(
      (tokens) =>
        tokens.every(({ uri }, at) =>
          tokens.slice(at + 1).every((other) => !isSameToken(parseTokenUri(uri), parseTokenUri(other.uri))),
        ),
      'two entries may mean the same token: where labels are the same, each needs the serial number',
    )
    .optional(),
  logOrigin: z
    .string()
    .refine(isOrigin, 'up to 200 characters without space and plus')
    .default('countersign.local/audit'),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
})

/** Names that may stand in a document or the environment, as paths. */
const SETTINGS: readonly (readonly string[])[] = [
  ...['folder', 'serviceSocket', 'operatorSocket', 'trustServerSocket', 'socketMode', 'limitsFile', 'logOrigin'].map(
    (name) => [name],
  ),
  ['unlock', 'keyFile'],
  ['unlock', 'passphraseFile'],
  ['unlock', 'nextKeyFile'],
  ['unlock', 'nextPassphraseFile'],
  ['unlock', 'operator'],
  ['backup', 'passphraseFile'],
  ['log', 'level'],
]

/**
 * The configuration from YAML text and the environment, which wins.
 * @throws KeyHolderError KEY_HOLDER_CONFIG_INVALID with all faults in `faults`
 */
export function parseKeyHolderConfig(
  text: string,
  env: Readonly<Record<string, string | undefined>> = {},
): KeyHolderConfig {
  const document = readDocument(text)
  const unknown = Object.keys(env).filter(
    (name) =>
      name.startsWith(PREFIX) && !KUBERNETES.test(name) && !SETTINGS.some((setting) => variableOf(setting) === name),
  )
  for (const setting of SETTINGS) {
    const value = env[variableOf(setting)]
    if (value !== undefined) put(document, setting, value)
  }
  const missing = withCredentials(document, env['CREDENTIALS_DIRECTORY'] ?? '')
  const parsed = schema.safeParse(document)
  const faults = [
    ...unknown.map((name) => `environment ${name}: names no setting`),
    ...missing.map((name) => `${name}: CREDENTIALS_DIRECTORY is not set; the systemd unit needs LoadCredential=`),
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.') || '(document)'}: ${issue.message}`),
  ]
  if (!parsed.success || faults.length > 0) {
    throw new KeyHolderError('KEY_HOLDER_CONFIG_INVALID', `The configuration is not valid: ${faults.join('; ')}.`, {
      faults: faults.join('; '),
    })
  }
  const { unlock, backup, log, trustServerSocket, tokens, ...rest } = parsed.data
  return {
    ...rest,
    ...(trustServerSocket !== undefined && { trustServerSocket }),
    ...(tokens !== undefined && { tokens }),
    ...(unlock.current !== undefined && { unlock: unlock.current }),
    ...(unlock.next !== undefined && { nextUnlock: unlock.next }),
    ...(backup.passphraseFile !== undefined && { backupPassphraseFile: backup.passphraseFile }),
    logLevel: log.level,
  }
}

/** What systemd hands in: `$CREDENTIALS_DIRECTORY/unlock.key` (systemd.exec(5), CREDENTIALS). */
const CREDENTIAL = /^\$CREDENTIALS_DIRECTORY\/(?=[^/]+$)/

/** Puts the folder in its place. @returns the settings for which there is none */
function withCredentials(document: Record<string, unknown>, folder: string): string[] {
  const missing: string[] = []
  const placed = (value: unknown, setting: string): unknown => {
    if (typeof value !== 'string' || !CREDENTIAL.test(value)) return value
    if (folder === '') missing.push(setting)
    return value.replace(CREDENTIAL, () => `${folder}/`)
  }
  for (const group of ['unlock', 'backup']) {
    const settings = document[group]
    if (typeof settings !== 'object' || settings === null) continue
    document[group] = Object.fromEntries(
      Object.entries(settings).map(([name, value]: [string, unknown]) => [name, placed(value, `${group}.${name}`)]),
    )
  }
  const { tokens } = document
  if (Array.isArray(tokens)) {
    document['tokens'] = tokens.map((token: unknown, at) =>
      typeof token === 'object' && token !== null && 'pinFile' in token
        ? { ...token, pinFile: placed(token.pinFile, `tokens.${at}.pinFile`) }
        : token,
    )
  }
  return missing
}

function unlockSources(keyFile: string | undefined, passphraseFile: string | undefined): UnlockSource[] {
  return [
    ...(keyFile === undefined ? [] : [{ kind: 'key-file', path: keyFile } as const]),
    ...(passphraseFile === undefined ? [] : [{ kind: 'passphrase-file', path: passphraseFile } as const]),
  ]
}

function readDocument(text: string): Record<string, unknown> {
  const read = readStrictYaml(text)
  if (!read.ok) {
    const faults = read.faults.map(({ line, code }) => `line ${line ?? '?'}: ${code}`).join('; ')
    throw new KeyHolderError('KEY_HOLDER_CONFIG_INVALID', `The configuration is not YAML as expected: ${faults}.`, {
      faults,
    })
  }
  const document = read.value
  if (document === null) return {}
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new KeyHolderError('KEY_HOLDER_CONFIG_INVALID', 'The configuration is not a list of settings.')
  }
  return { ...document }
}

function variableOf(setting: readonly string[]): string {
  return PREFIX + setting.map((part) => part.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase()).join('__')
}

/** Of the two kinds of an unlock key, the other one. */
const OTHER_KIND: Readonly<Record<string, string>> = {
  keyFile: 'passphraseFile',
  passphraseFile: 'keyFile',
  nextKeyFile: 'nextPassphraseFile',
  nextPassphraseFile: 'nextKeyFile',
}

/** Sets one of SETTINGS; a variable for one kind of unlock key replaces the other kind. */
function put(document: Record<string, unknown>, [first = '', second]: readonly string[], value: string): void {
  if (second === undefined) {
    document[first] = value
    return
  }
  const before = document[first]
  const replaced = OTHER_KIND[second]
  const kept = Object.entries(typeof before === 'object' && before !== null ? before : {})
  document[first] = { ...Object.fromEntries(kept.filter(([name]) => name !== replaced)), [second]: value }
}
