// A plain web server over TLS: files of one folder, `index.html` for a folder, 404 for the rest. Knows nothing of Notary.
import { readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'

export interface StaticServer {
  readonly url: string
  /** host:port */
  readonly host: string
  readonly ca: TestCa
  /** Paths that were asked for and are not there. */
  readonly missing: readonly string[]
}

/** Serves `folder` until the scope closes. */
export async function startStaticServer(scope: Scope, ca: TestCa, folder: string): Promise<StaticServer> {
  const missing: string[] = []
  const { certificatePem, privateKeyPem } = ca.issue(['localhost', '127.0.0.1'])
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'https://localhost')
    const bytes = ['GET', 'HEAD'].includes(request.method ?? '') ? read(join(folder, pathname)) : undefined
    if (bytes === undefined) missing.push(pathname)
    response.writeHead(bytes === undefined ? 404 : 200).end(bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.add(() => {
    server.closeAllConnections()
    server.close()
  })
  const host = `localhost:${(server.address() as AddressInfo).port}`
  return { url: `https://${host}`, host, ca, missing }
}

function read(path: string): Buffer | undefined {
  const file = path.endsWith('/') ? join(path, 'index.html') : path
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(file) : undefined
}
