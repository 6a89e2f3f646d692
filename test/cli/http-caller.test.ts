// The client of the command line: every wait has an end, connections are used again, and nobody is believed because the environment says so.
import { createServer as createTcpServer, type Server, type AddressInfo } from 'node:net'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { expect } from 'chai'
import { HttpCaller } from '../../src/cli/http-caller.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { createTestCa } from '../support/tls.ts'

describe('the HTTP client of the command line', () => {
  const scope = new Scope()
  const call = { method: 'GET', headers: {}, headersMs: 60, signal: new AbortController().signal }
  after(() => scope.close())

  function callerOf(): HttpCaller {
    const caller = new HttpCaller({ ca: undefined, certificate: undefined, connectMs: 60, idleMs: 60 })
    scope.add(() => {
      caller.close()
    })
    return caller
  }

  async function listening(server: Server): Promise<number> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    scope.add(() => {
      server.close()
    })
    return (server.address() as AddressInfo).port
  }

  async function serving(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<URL> {
    const server = createServer(answer)
    scope.add(() => {
      server.closeAllConnections()
    })
    return new URL(`http://127.0.0.1:${await listening(server)}/`)
  }

  /** The code with which it ends, or the body. */
  async function endOf(url: URL, caller = callerOf()): Promise<string> {
    try {
      const chunks: Buffer[] = []
      for await (const chunk of (await caller.send(url, call)) as AsyncIterable<Buffer>) chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    } catch (error) {
      return String((error as { code?: unknown }).code)
    }
  }

  it('waits no longer than it was told: for a connection, for an answer, for the rest of it', async () => {
    const sockets = createTcpServer((socket) => {
      scope.add(() => {
        socket.destroy()
      })
    })
    expect(await endOf(new URL(`https://127.0.0.1:${await listening(sockets)}/`))).to.equal('CONNECT_TIMEOUT')
    expect(await endOf(await serving(() => undefined))).to.equal('HEADERS_TIMEOUT')
    expect(await endOf(await serving((_request, response) => response.write('half')))).to.equal('BODY_TIMEOUT')
  })

  it('uses a connection again', async () => {
    const ports = new Set<number | undefined>()
    const url = await serving(({ socket }, response) => {
      ports.add(socket.remotePort)
      response.end('whole')
    })
    const caller = callerOf()
    expect([await endOf(url, caller), await endOf(url, caller), ports.size]).to.deep.equal(['whole', 'whole', 1])
  })

  it('checks certificates, whatever the environment says', async () => {
    const { url } = await startScriptedServer(scope, (_heard, response) => response.end('whole'), createTestCa())
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      expect(await endOf(new URL(url))).to.match(/SELF_SIGNED|UNABLE_TO/)
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    }
  })
})
