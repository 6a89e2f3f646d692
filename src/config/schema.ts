// The shape of the daemon's configuration: every setting, its default, its bounds and its description. Pure.
// Parsed durations are milliseconds, parsed sizes are bytes. Unknown names are refused everywhere.
import * as z from 'zod'
import { configPath as path, MAX_SOCKET_PATH, pattern, registryHost, serverUrl, socketPath } from './fields.ts'
import { identitySettings } from './identity-settings.ts'
import { checkHttp, httpSettings, tlsSettings } from './http-settings.ts'
import { pushSettings } from './push-settings.ts'
import { renewalSettings } from './renewal-settings.ts'
import { duration, intervalOrNever, size } from './units.ts'
import { webhookSettings } from './webhook-settings.ts'

const credentials = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('anonymous') }).meta({ description: 'No credentials.' }),
    z
      .strictObject({
        kind: z.literal('file'),
        username: z.string().min(1).max(256).optional().meta({ description: 'The user name, or use usernameFile.' }),
        usernameFile: path.optional().meta({ description: 'A file that holds the user name.' }),
        passwordFile: path.meta({ description: 'A file, mode 0600, that holds the password or access token.' }),
      })
      .refine(
        (o) => (o.username === undefined) !== (o.usernameFile === undefined),
        'needs one of username, usernameFile',
      )
      .meta({ description: 'User name and password from files.' }),
    z
      .strictObject({
        kind: z.literal('docker-config'),
        file: path.optional().meta({ description: 'Default: $DOCKER_CONFIG/config.json, else ~/.docker/config.json.' }),
      })
      .meta({ description: "Docker's own credentials: auths, credsStore and credHelpers." }),
  ])
  .default({ kind: 'anonymous' })
  .meta({ description: 'The credentials sent to this server and its token realms, and to nobody else.' })

const remote = {
  caFile: path
    .optional()
    .meta({ description: 'CA certificates (PEM) that this server is checked with, in place of the system.' }),
  clientCertFile: path.optional().meta({ description: 'Client certificate (PEM) for mutual TLS.' }),
  clientKeyFile: path.optional().meta({ description: 'Private key (PEM, mode 0600) of the client certificate.' }),
  tokenRealms: z
    .array(serverUrl)
    .max(16)
    .default([])
    .meta({ description: 'Token servers that may see the credentials. A realm that is not listed is never asked.' }),
  credentials,
  timeouts: z
    .strictObject({
      connect: duration('100ms', '1m').default(5_000).meta({ description: 'Time to connect, TLS included.' }),
      headers: duration('100ms', '5m').default(10_000).meta({ description: 'Time until the answer begins.' }),
      total: duration('100ms', '15m').default(60_000).meta({ description: 'Time until the answer has ended.' }),
    })
    .prefault({})
    .meta({ description: 'How long an answer may take.' }),
}

const clientCertificate = {
  test: (o: { clientCertFile?: string | undefined; clientKeyFile?: string | undefined }) =>
    (o.clientCertFile === undefined) === (o.clientKeyFile === undefined),
  message: 'clientCertFile and clientKeyFile belong together',
}

export const trustServerSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be a name: a-z, 0-9 and -')
      .optional()
      .meta({ description: 'What `repo move --to` calls it. Default: its URL.' }),
    url: serverUrl.meta({ description: 'The Notary v1 server.' }),
    guns: z
      .array(pattern)
      .min(1)
      .max(256)
      .meta({ description: 'The repositories whose metadata stands there. The first server that matches is used.' }),
    ...remote,
  })
  .refine(clientCertificate.test, clientCertificate.message)

export const registrySchema = z
  .strictObject({
    host: registryHost.meta({ description: 'The host as it stands in image references; docker.io for Docker Hub.' }),
    url: serverUrl.optional().meta({ description: 'Where it is reached. Default: https://HOST.' }),
    ...remote,
    limits: z
      .strictObject({
        manifest: size('1KiB', '64MiB')
          .default(4 * 1024 ** 2)
          .meta({ description: 'The largest manifest or index that is read.' }),
      })
      .prefault({})
      .meta({ description: 'Limits on what is read.' }),
  })
  .refine(clientCertificate.test, clientCertificate.message)

const http = z
  .strictObject({
    ...httpSettings({ listen: '127.0.0.1:8750', requestTimeout: 30_000, request: 'the request' }),
    tls: z
      .strictObject({
        ...tlsSettings,
        clientCaFile: path
          .optional()
          .meta({ description: 'Authorities (PEM) of client certificates: identity.certificates.' }),
      })
      .optional()
      .meta({ description: 'TLS 1.2 or newer. Needed wherever clients are not on this machine.' }),
    maxHeaderSize: size('4KiB', '64KiB')
      .default(16 * 1024)
      .meta({ description: 'Request line and headers together.' }),
  })
  .superRefine(checkHttp)

const userId = z.int().min(1).max(4_294_967_294)

const ownUser = {
  test: (o: { uid?: number | undefined; gid?: number | undefined }) => (o.uid === undefined) === (o.gid === undefined),
  message: 'uid and gid belong together',
}

const keyHolder = z.strictObject({
  serviceSocket: socketPath.optional().meta({
    description:
      "The key holder's service socket. Default where it is supervised: key-holder/run/service.sock in the data folder.",
  }),
  timeout: duration('1s', '10m').default(60_000).meta({ description: 'Time for one operation of the key holder.' }),
  supervise: z
    .strictObject({
      configFile: path.optional().meta({
        description: 'Configuration of the key holder. Default: made at first start, in key-holder in the data folder.',
      }),
      uid: userId.optional().meta({ description: 'A user id of its own for the key holder. Needs root.' }),
      gid: userId.optional().meta({ description: 'A group id for the key holder. Needs root.' }),
    })
    .refine(ownUser.test, ownUser.message)
    .optional()
    .meta({
      description: 'Start the key holder as a child of `serve`. This is so, too, where no serviceSocket is named.',
    }),
})

/** The whole configuration, as text or environment may give it. */
export const configSchema = z
  .strictObject({
    dataFolder: path.default('./countersign-data').meta({ description: "The daemon's folder: countersign.db." }),
    http: http.prefault({}).meta({ description: 'The HTTP API.' }),
    keyHolder: keyHolder.prefault({}).meta({ description: 'The process that holds the keys.' }),
    signerName: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'must be a signer name: a-z, 0-9, _ and -')
      .default('countersign')
      .meta({ description: 'The delegation of this service: targets/NAME.' }),
    trustServers: z.array(trustServerSchema).max(64).default([]).meta({
      description:
        'Which Notary server holds the metadata of which repositories. None: `serve` starts one beside its own key holder.',
    }),
    embeddedTrustServer: z
      .strictObject({
        uid: userId.optional().meta({ description: 'A user id of its own for the trust server. Needs root.' }),
        gid: userId.optional().meta({ description: 'A group id for the trust server. Needs root.' }),
        guns: z.array(pattern).max(256).default([]).meta({
          description:
            'Repositories that may move into it (`repo move --to embedded`) while trustServers names others; then it is started beside them.',
        }),
      })
      .refine(ownUser.test, ownUser.message)
      .prefault({})
      .meta({
        description:
          'The trust server that `serve` starts where trustServers names none, or where guns names repositories.',
      }),
    registries: z.array(registrySchema).max(256).default([]).meta({
      description:
        'The registries that images are resolved in. None: those of the registered repositories, without credentials.',
    }),
    requests: z
      .strictObject({
        wait: duration('1s', '5m')
          .default(60_000)
          .meta({ description: 'The longest time that an answer is held back (wait=).' }),
        attempts: z
          .int()
          .min(1)
          .max(20)
          .default(5)
          .meta({ description: 'Tries in a row before a request waits for a server that is out of reach.' }),
        patience: duration('1m', '30d')
          .default(86_400_000)
          .meta({ description: 'How long a request waits for a server or the key holder; then it fails.' }),
        contention: duration('1m', '1d')
          .default(900_000)
          .meta({ description: 'How long a request is tried again while others publish first; then it fails.' }),
      })
      .prefault({})
      .meta({ description: 'Signing requests.' }),
    policies: z
      .strictObject({
        folder: path.optional().meta({
          description:
            'Signing policies, a file for each project (docs/policies.md). None: whoever holds the grant submit may sign.',
        }),
      })
      .prefault({})
      .meta({ description: 'Who may sign what, when, and with whose approval.' }),
    identity: identitySettings
      .prefault({})
      .meta({ description: 'Workload identity: tokens of other issuers, exchanged for short-lived ones of ours.' }),
    renewal: renewalSettings,
    watch: z
      .strictObject({
        every: intervalOrNever('5s', '1d').default(60_000).meta({
          description: 'How often it is looked for what somebody else published; 5s or more. 0s: never.',
        }),
        fullEvery: duration('5s', '1d').default(900_000).meta({
          description:
            'How often all repositories are looked at where the change feed of a trust server says which ones changed; elsewhere all are looked at each time.',
        }),
      })
      .prefault({})
      .meta({ description: 'Finding what others publish.' }),
    drift: z
      .strictObject({
        every: intervalOrNever('1s', '30d').default(86_400_000).meta({
          description: 'How often the registry is asked what each signed tag stands for. 0s: never.',
        }),
        requestsPerMinute: z.int().min(1).max(600).default(30).meta({
          description: 'Questions to all registries together, at an even pace.',
        }),
        grace: duration('0s', '1d').default(600_000).meta({
          description:
            'How long a tag may stand for something else before that is told: its signature may be on the way.',
        }),
      })
      .prefault({})
      .meta({ description: 'Finding signed tags that stand in the registry for something else.' }),
    signOnPush: pushSettings,
    webhooks: webhookSettings,
    metrics: z
      .strictObject({
        open: z
          .boolean()
          .default(false)
          .meta({ description: 'Serve /metrics to everybody. Otherwise only to this machine, or with a read grant.' }),
      })
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
    limits: z
      .strictObject({
        bodyBytes: size('1KiB', '16MiB')
          .default(1024 ** 2)
          .meta({ description: 'The largest request body.' }),
        imagesPerRequest: z.int().min(1).max(1_000).default(100).meta({ description: 'Images in one request.' }),
      })
      .prefault({})
      .meta({ description: 'Limits on what clients send.' }),
  })
  .superRefine(({ http: { tls }, identity: { certificates } }, context) => {
    if (certificates.length === 0 || tls?.clientCaFile !== undefined) return
    context.addIssue({ code: 'custom', path: ['identity', 'certificates'], message: 'needs http.tls.clientCaFile' })
  })
  .superRefine(({ trustServers }, context) => {
    // `embedded` is the one that `serve` starts.
    const seen = new Set<string>(['embedded'])
    trustServers.forEach(({ name, url }, index) => {
      if (name !== undefined && seen.has(name)) {
        context.addIssue({
          code: 'custom',
          path: ['trustServers', index, 'name'],
          message: 'is the name of another one',
        })
      }
      seen.add(name ?? url)
    })
  })
  .superRefine((config, context) => {
    const seen = new Set<string>()
    config.registries.forEach(({ host: name }, index) => {
      const key = name.toLowerCase()
      if (seen.has(key)) {
        context.addIssue({ code: 'custom', path: ['registries', index, 'host'], message: 'stands in the list twice' })
      }
      seen.add(key)
    })
  })
  .transform((config, context) => {
    const { serviceSocket, supervise, ...rest } = config.keyHolder
    const isSupervised = supervise !== undefined || serviceSocket === undefined
    const socket = serviceSocket ?? `${config.dataFolder}/key-holder/run/service.sock`
    if (Buffer.byteLength(socket) > MAX_SOCKET_PATH) {
      context.addIssue({
        code: 'custom',
        path: ['dataFolder'],
        message: `is too long for the socket in it (${MAX_SOCKET_PATH} bytes): name keyHolder.serviceSocket`,
      })
    }
    const keyHolder = { ...rest, serviceSocket: socket, ...(isSupervised && { supervise: supervise ?? {} }) }
    return { ...config, keyHolder }
  })

/** The checked configuration with every default filled in. Durations are milliseconds, sizes are bytes. */
export type Config = Readonly<z.output<typeof configSchema>>
export type TrustServerConfig = Config['trustServers'][number]
export type RegistryConfig = Config['registries'][number]
export type CredentialsConfig = TrustServerConfig['credentials']
export type WebhookEndpointConfig = Config['webhooks']['endpoints'][number]
export type KeyHolderSupervision = NonNullable<Config['keyHolder']['supervise']>
