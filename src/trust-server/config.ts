// The trust server's own configuration: text and environment in, a checked value or all faults out. Reads no files.
import * as z from 'zod'
import type { Environment } from '../config/environment.ts'
import { ConfigError } from '../config/errors.ts'
import { parseSettings, type SettingsKind } from '../config/parse.ts'
import { configPath, pattern, serverUrl, socketPath } from '../config/fields.ts'
import { checkHttp, httpSettings, tlsSettings } from '../config/http-settings.ts'
import { duration, size } from '../config/units.ts'
import { ACTIONS } from './caller.ts'

const day = 86_400_000

const client = {
  repositories: z
    .array(pattern)
    .min(1)
    .max(256)
    .meta({ description: 'Repositories; `*` matches any run of characters.' }),
  actions: z
    .array(z.enum(ACTIONS))
    .min(1)
    .max(3)
    .default(['pull', 'push'])
    .meta({ description: 'pull: read. push: publish. *: also rotate keys and delete.' }),
}

const token = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9._@-]{1,64}$/)
    .meta({ description: 'For the logs.' }),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of the token in 64 lower-case hex digits')
    .meta({ description: 'SHA-256 of the token, in hex. The token itself stands nowhere.' }),
  expiresAt: z.iso.datetime().optional().meta({ description: 'When it ends, as 2027-01-31T00:00:00Z.' }),
  ...client,
})

const certificate = z.strictObject({
  commonName: z.string().min(1).max(64).meta({ description: 'Common name of the client certificate.' }),
  ...client,
})

const tokenServer = z.strictObject({
  realm: serverUrl.meta({ description: 'Where clients get tokens.' }),
  service: z.string().min(1).max(256).meta({ description: 'The audience of tokens.' }),
  issuer: z.string().min(1).max(256).meta({ description: 'Who must have issued them.' }),
  rootCertBundle: configPath.meta({ description: 'Certificates (PEM) that tokens must be signed under.' }),
})

export const trustServerSchema = z
  .strictObject({
    dataFolder: configPath
      .default('/var/lib/countersign-trust-server')
      .meta({ description: 'The folder of its database.' }),
    keyHolderSocket: socketPath
      .default('/run/countersign-trust/server.sock')
      .meta({ description: "The key holder's trust-server socket." }),
    keyHolderTimeout: duration('1s', '10m').default(60_000).meta({ description: 'Time for one operation of it.' }),
    http: z
      .strictObject({
        ...httpSettings({ listen: '127.0.0.1:4443', requestTimeout: 60_000, request: 'an upload' }),
        tls: z
          .strictObject({
            ...tlsSettings,
            clientCaFile: configPath.optional().meta({ description: 'Authorities (PEM) of client certificates.' }),
          })
          .optional()
          .meta({ description: 'Stock docker speaks to a trust server over https only.' }),
      })
      .superRefine(checkHttp)
      .prefault({})
      .meta({ description: 'The protocol over HTTP.' }),
    access: z
      .strictObject({
        reads: z.enum(['open', 'token']).default('open').meta({ description: 'open: everybody may read.' }),
        tokens: z.array(token).max(1024).default([]).meta({ description: 'Countersign tokens that may do more.' }),
        clientCertificates: z
          .array(certificate)
          .max(1024)
          .default([])
          .meta({ description: 'Client certificates that may do more.' }),
        tokenServer: tokenServer
          .optional()
          .meta({ description: "The registry's token server, in place of our own realm /token." }),
      })
      .prefault({})
      .meta({ description: 'Who may do what.' }),
    renewal: z
      .strictObject({
        timestampBefore: duration('1h', '13d')
          .default(3 * day)
          .meta({
            description: 'Timestamps with less than this left are signed again, once half of their life is over.',
          }),
        snapshotBefore: duration('1h', '1000d')
          .default(200 * day)
          .meta({ description: 'Snapshots, likewise; clients warn from 6 months on.' }),
        every: duration('1s', '1d').default(60_000).meta({ description: 'How often that is looked for.' }),
      })
      .prefault({})
      .meta({ description: 'Signing again before expiry.' }),
    retention: z
      .strictObject({
        versions: z
          .int()
          .min(1)
          .max(1_000_000)
          .optional()
          .meta({ description: 'Versions of each role that stay; roots always do.' }),
        age: duration('1d', '3650d')
          .optional()
          .meta({ description: 'How long a version stays after it was replaced.' }),
        every: duration('1s', '1d').default(3_600_000).meta({ description: 'How often that is looked for.' }),
      })
      .prefault({})
      .meta({ description: 'Which old versions may go. With neither versions nor age, none.' }),
    caching: z
      .strictObject({
        current: duration('0ms', '30d').default(300_000).meta({ description: 'How long caches keep current files.' }),
        fixed: duration('0ms', '365d')
          .default(30 * day)
          .meta({ description: 'How long they keep files named by hash or version.' }),
      })
      .prefault({})
      .meta({ description: 'Cache-Control of answers.' }),
    limits: z
      .strictObject({
        fileBytes: size('64KiB', '64MiB')
          .default(32 * 1024 ** 2)
          .meta({ description: 'The largest file of an update.' }),
        updateBytes: size('64KiB', '120MiB')
          .default(64 * 1024 ** 2)
          .meta({ description: 'The largest update.' }),
        parts: z.int().min(1).max(500).default(128).meta({ description: 'Files in one update.' }),
        memory: size('1MiB', '4GiB')
          .default(256 * 1024 ** 2)
          .meta({ description: 'What all uploads together may hold.' }),
      })
      .prefault({})
      .meta({ description: 'Limits on what clients send.' }),
    metrics: z
      .strictObject({ open: z.boolean().default(false).meta({ description: 'Serve /metrics to everybody.' }) })
      .prefault({})
      .meta({ description: 'Prometheus metrics.' }),
    log: z
      .strictObject({
        level: z
          .enum(['debug', 'info', 'warn', 'error'])
          .default('info')
          .meta({ description: 'The least important lines that are written.' }),
      })
      .prefault({})
      .meta({ description: 'The log: JSON lines on standard output.' }),
  })
  .superRefine(({ http, access, limits }, context) => {
    const fault = (path: string[], message: string) => {
      context.addIssue({ code: 'custom', path, message })
    }
    if (limits.updateBytes > limits.memory) fault(['limits', 'updateBytes'], 'must not be larger than memory')
    if (access.clientCertificates.length > 0 && http.tls?.clientCaFile === undefined) {
      fault(['access', 'clientCertificates'], 'needs http.tls.clientCaFile')
    }
  })

export type TrustServerConfig = Readonly<z.output<typeof trustServerSchema>>

/** Variables are `TRUST_SERVER_` and the path in upper snake case, joined by `__`: TRUST_SERVER_HTTP__LISTEN. */
export const TRUST_SERVER_SETTINGS: SettingsKind<TrustServerConfig> = {
  schema: trustServerSchema,
  prefix: 'TRUST_SERVER_',
  reserved: new Set(),
  // What Kubernetes puts into every pod when a Service is called `trust-server`; not meant for us.
  foreign: /^TRUST_SERVER_(SERVICE_HOST|SERVICE_PORT|PORT)(_.*)?$/,
}

/** @throws ConfigError CONFIG_INVALID with all faults */
export function parseTrustServerConfig(text: string, env: Environment = {}): TrustServerConfig {
  const parsed = parseSettings(TRUST_SERVER_SETTINGS, text, env)
  if (parsed.ok) return parsed.config
  const lines = parsed.faults.map(({ path, message }) => `  ${path === '' ? 'the configuration' : path} ${message}`)
  throw new ConfigError('CONFIG_INVALID', ['This is no valid configuration:', ...lines].join('\n'), parsed.faults)
}
