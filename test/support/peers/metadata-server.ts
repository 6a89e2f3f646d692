// A trust server over TLS that serves whatever files a test puts there, true or forged: for showing the same state to a stock
// client and to us. Keeps no rules of its own.
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'

export interface MetadataServer {
  readonly url: string
  /** host:port */
  readonly host: string
  readonly ca: TestCa
  /** By GUN, and then by file name. */
  readonly repositories: Map<string, ReadonlyMap<string, Uint8Array>>
}

/** Runs until the scope closes. */
export async function startMetadataServer(scope: Scope, ca: TestCa): Promise<MetadataServer> {
  const repositories: MetadataServer['repositories'] = new Map()
  const { certificatePem, privateKeyPem } = ca.issue(['localhost', '127.0.0.1'])
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'https://localhost')
    const [, gun = '', fileName = ''] = /^\/v2\/(.+)\/_trust\/tuf\/(.+)$/.exec(pathname) ?? []
    const bytes = repositories.get(gun)?.get(fileName)
    if (pathname === '/v2/') response.end('{}')
    else if (bytes === undefined) response.writeHead(404).end('{"errors":[{"code":"METADATA_NOT_FOUND"}]}')
    else response.end(bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.add(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  )
  const host = `localhost:${(server.address() as AddressInfo).port}`
  return { url: `https://${host}`, host, ca, repositories }
}
