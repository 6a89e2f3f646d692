// The same Idempotency-Key sent again to the running daemon, over HTTP: what a client does that lost the answer.
import { expect } from 'chai'
import type { SigningRequestJson } from '../support/countersign.ts'
import { KillablePair, type Answer } from '../support/killable-pair.ts'
import { Scope } from '../support/scope.ts'

describe('a submission that is sent again', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const gun = 'registry.example.com/team/app'
  let pair: KillablePair

  before(async () => {
    pair = await KillablePair.start(scope)
    await pair.call('POST', 'repositories', { gun, root: { kind: 'online' } })
    pair.registry.pushManifest(gun, '1.0', 'a')
    pair.registry.pushManifest(gun, '1.1', 'b')
  })
  after(() => scope.close())

  function submit(tag: string, key: string, more: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    return pair.call('POST', 'signing-requests', { images: [`${gun}:${tag}`], ...more }, key)
  }
  const idOf = ({ body }: Answer): string => (body as SigningRequestJson).id

  it('with the same body: the same request and 200, while it runs, after its end, and after a restart', async () => {
    const first = await submit('1.0', 'build-1')
    expect(first.status).to.equal(201)
    const again = await submit('1.0', 'build-1')
    expect([again.status, idOf(again)]).to.deep.equal([200, idOf(first)])
    expect((await pair.finished(idOf(first))).status).to.equal('published')
    await pair.process('daemon').kill()
    await pair.startAgain('daemon')
    const later = await submit('1.0', 'build-1')
    expect([later.status, idOf(later)]).to.deep.equal([200, idOf(first)])
    const { body } = await pair.call('GET', 'signing-requests?limit=10')
    expect((body as { requests: readonly SigningRequestJson[] }).requests.map(({ id }) => id)).to.deep.equal([
      idOf(first),
    ])
  })

  it('twice at the same moment: one request', async () => {
    const both = await Promise.all([submit('1.1', 'build-2'), submit('1.1', 'build-2')])
    expect(both.map(({ status }) => status).sort()).to.deep.equal([200, 201])
    expect(new Set(both.map(idOf)).size).to.equal(1)
  })

  it('with another body: 422 with its code, and nothing is stored', async () => {
    await submit('1.0', 'build-3')
    const before = await pair.call('GET', 'signing-requests?limit=10')
    for (const other of [submit('1.1', 'build-3'), submit('1.0', 'build-3', { kind: 'unsign' })]) {
      const { status, body } = await other
      expect([status, (body as { code?: string }).code]).to.deep.equal([422, 'IDEMPOTENCY_KEY_REUSED'])
    }
    expect(idsOf(await pair.call('GET', 'signing-requests?limit=10'))).to.deep.equal(idsOf(before))
  })
})

function idsOf({ body }: Answer): string[] {
  return (body as { requests: readonly SigningRequestJson[] }).requests.map(({ id }) => id)
}
