import { expect } from 'chai'
import { silentLog } from '../../src/log.ts'
import { buildApplication } from '../../src/http/application.ts'
import { codesOf, type OpenApiDocument, openApiDocument } from '../../src/http/openapi.ts'
import { isPublicCode, PROBLEMS } from '../../src/http/problem.ts'
import { type Fixture, startFixture } from './fixture.ts'

describe('the OpenAPI document', () => {
  let fixture: Fixture
  let document: OpenApiDocument
  let served: unknown

  before(async () => {
    fixture = await startFixture()
    served = (await fixture.ask({ path: '/v1/openapi.json', token: null })).json
    document = openApiDocument(fixture.routes, { version: '0.0.0', serverUrl: '/' })
  })
  after(async () => {
    await fixture.stop()
  })

  it('is what the server serves', () => {
    expect(served).to.deep.equal(JSON.parse(JSON.stringify(document)))
  })

  it('has every route of the router, and no other', () => {
    const { router } = buildApplication({
      routes: fixture.routes,
      tokens: { authenticate: () => undefined },
      metrics: fixture.metrics,
      log: silentLog,
      maxBodyBytes: 1024,
      stopping: new AbortController().signal,
      certificates: [],
      now: () => new Date(),
      isTls: false,
    })
    const routed = router.stack.flatMap((layer) =>
      layer.methods
        .filter((method) => method !== 'HEAD')
        .map((method) => `${method} ${String(layer.path).replace(/:([a-z]+)/g, '{$1}')}`),
    )
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(documented).to.have.members(routed)
    expect(new Set(routed).size).to.equal(routed.length)
  })

  it('names every operation once', () => {
    const ids = fixture.routes.map(({ operationId }) => operationId)
    expect(new Set(ids).size).to.equal(ids.length)
  })

  it('names the refusals of every operation by status', () => {
    for (const route of fixture.routes) {
      const path = route.path.replace(/:([a-z]+)/g, '{$1}')
      const operation = document.paths[path]?.[route.method.toLowerCase()]
      for (const code of codesOf(route)) {
        expect(isPublicCode(code)).to.equal(true)
        expect(operation?.responses).to.have.nested.property(`${PROBLEMS[code].status}.description`).that.includes(code)
      }
    }
  })

  it('refers only to what it holds', () => {
    const text = JSON.stringify(document)
    const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]!)
    expect(references).to.include('#/components/schemas/Problem')
    for (const reference of references) {
      const name = /^#\/components\/schemas\/([A-Za-z]+)$/.exec(reference)?.[1]
      expect(document, reference).to.have.nested.property(`components.schemas.${name ?? ''}`)
    }
  })

  it('describes every parameter that stands in a path', () => {
    for (const [path, operations] of Object.entries(document.paths)) {
      const named = [...path.matchAll(/\{([a-z]+)\}/g)].map((match) => match[1])
      for (const operation of Object.values(operations)) {
        const parameters = operation['parameters'] as { name: string; in: string; required: boolean }[]
        const described = parameters.filter((one) => one.in === 'path' && one.required).map(({ name }) => name)
        expect(described, path).to.have.members(named)
      }
    }
  })
})
