// The simulated registry on a socket, and the answers that no registry should give. OCI distribution-spec v1.1, Pulling manifests.
import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { FakeRegistry } from './fakes/registry.ts'
import type { Scope } from './scope.ts'
import { startScriptedServer, type Heard, type ScriptedServer } from './scripted-server.ts'

export interface RegistryOverHttp extends ScriptedServer {
  /** Answers instead of the registry where it returns true. */
  interfere: ((heard: Heard, response: ServerResponse) => boolean) | undefined
}

/** Until the scope closes. `host` is what stands in image references. */
export async function serveRegistry(scope: Scope, registry: FakeRegistry, host: string): Promise<RegistryOverHttp> {
  const listening = await startScriptedServer(scope, (heard, response) => {
    if (over.interfere?.(heard, response) === true) return
    const [, repository = '', reference = ''] = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(heard.url) ?? []
    registry.asked.push(`${host}/${repository}:${reference}`)
    const separator = reference.includes(':') ? '@' : ':'
    const manifest = registry.manifest(`${host}/${repository}`, separator + reference)
    if (heard.url === '/v2/') response.end('{}')
    else if (manifest === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
    } else {
      const { bytes, mediaType } = manifest
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      response.writeHead(200, { 'content-type': mediaType, 'docker-content-digest': digest }).end(bytes)
    }
  })
  const over: RegistryOverHttp = { url: listening.url, heard: listening.heard, interfere: undefined }
  return over
}
