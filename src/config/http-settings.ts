// What both HTTP servers, the daemon's and the trust server's, let an operator set. Pure.
import * as z from 'zod'
import { configPath, isLoopback, listenAddress, serverUrl } from './fields.ts'
import { duration } from './units.ts'

export interface HttpDefaults {
  readonly listen: string
  /** In milliseconds. */
  readonly requestTimeout: number
  /** What a request is: `the request`, `an upload`. */
  readonly request: string
}

/** Members of `http.tls`. */
export const tlsSettings = {
  certFile: configPath.meta({ description: 'Certificate chain (PEM).' }),
  keyFile: configPath.meta({ description: 'Private key (PEM, mode 0600).' }),
}

/** Members of `http` besides `tls`. Use it with `checkHttp`. */
export function httpSettings({ listen, requestTimeout, request }: HttpDefaults) {
  return {
    listen: listenAddress.default(listen).meta({ description: 'Address and port. Without tls only this machine.' }),
    publicUrl: serverUrl
      .transform((url) => url.replace(/\/+$/, ''))
      .optional()
      .meta({ description: 'How clients reach this server.' }),
    headersTimeout: duration('1s', '1m').default(10_000).meta({ description: 'Time until the headers have arrived.' }),
    requestTimeout: duration('1s', '10m')
      .default(requestTimeout)
      .meta({ description: `Time until ${request} has arrived.` }),
    shutdownTimeout: duration('1s', '5m')
      .default(20_000)
      .meta({ description: 'Time for requests at hand when stopping.' }),
    maxConnections: z.int().min(1).max(100_000).default(1_000).meta({ description: 'Connections at the same time.' }),
  }
}

/** For `superRefine` of `http`. */
export function checkHttp(
  o: { readonly listen: string; readonly tls?: object | undefined; headersTimeout: number; requestTimeout: number },
  context: z.RefinementCtx,
): void {
  const fault = (path: string, message: string) => {
    context.addIssue({ code: 'custom', path: [path], message })
  }
  if (o.headersTimeout > o.requestTimeout) fault('headersTimeout', 'must not be longer than requestTimeout')
  if (o.tls === undefined && !isLoopback(o.listen.slice(0, o.listen.lastIndexOf(':')))) {
    fault('listen', 'is reachable from other machines, so it needs http.tls')
  }
}
