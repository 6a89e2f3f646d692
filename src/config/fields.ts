// Kinds of settings that more than one configuration has. Pure.
import * as z from 'zod'

export const configPath = z.string().min(1).max(4096)
export const pattern = z
  .string()
  .regex(/^[a-z0-9.*:/_-]{1,255}$/, 'must be a pattern over GUNs, as registry.example.com/team/*')
  .meta({ description: '`*` matches any run of characters; nothing else is special.' })

/** The host of a registry as it stands in image references. */
export const registryHost = z
  .string()
  .max(260)
  .regex(
    /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)(:[1-9][0-9]{0,4})?$/,
    'must be a host, with a port where it is not the usual one',
  )

/** True for a host name or address that never leaves this machine. */
export function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  return bare === 'localhost' || bare === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(bare)
}

/** An https URL, or http to this machine; without user, query or fragment. */
export const serverUrl = z.string().max(2048).superRefine(checkUrl)

function checkUrl(text: string, context: z.RefinementCtx): void {
  const url = URL.parse(text)
  const problem =
    url === null || !['https:', 'http:'].includes(url.protocol)
      ? 'must be a URL that begins with https://'
      : url.username !== '' || url.password !== ''
        ? 'must not hold a user or password: use credentials'
        : url.search !== '' || url.hash !== ''
          ? 'must not hold a query or fragment'
          : url.protocol === 'http:' && !isLoopback(url.hostname)
            ? 'must begin with https://; http:// is accepted for this machine only'
            : undefined
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
}

export const listenAddress = z
  .string()
  .max(260)
  .regex(/^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+):[0-9]{1,5}$/, 'must be HOST:PORT, as 127.0.0.1:8750 or [::1]:8750')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'has no valid port')

/** The longest path of a Unix socket on every system, in bytes; Linux would take four more. */
export const MAX_SOCKET_PATH = 103

export const socketPath = configPath.refine(
  (text) => Buffer.byteLength(text) <= MAX_SOCKET_PATH,
  `must be at most ${MAX_SOCKET_PATH} bytes long`,
)
