// `prune`: what is shown, what is sent, and what is refused before anything is sent.
import { expect } from 'chai'
import { FakeApi, type Script } from './support/fake-api.ts'
import { DIGEST, GUN, published, request } from './support/resources.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const MADE_AT = '2026-01-01T00:00:00.000Z'
const entry = (tag: string) => ({ tag, digest: DIGEST, reason: 'gone' })
const page = (tags: readonly string[], more: object = {}) => ({
  gun: GUN,
  madeAt: MADE_AT,
  signed: 5,
  stays: 1,
  entries: tags.map(entry),
  kept: [],
  ...more,
})
const done = request('published', [published({ tag: 'a' }), published({ tag: 'b' })])

describe('cli prune', () => {
  let api: FakeApi
  let place: Workplace

  beforeEach(async () => {
    // Two pages, and a request that has ended.
    const script: Script = ({ method, query }) => {
      if (method === 'POST') return { status: 201, body: done }
      return { body: query.has('cursor') ? page(['b']) : page(['a'], { nextCursor: 'a' }) }
    }
    api = await new FakeApi(script).start()
    place = new Workplace(api.url)
  })
  afterEach(async () => {
    await api.stop()
    place.remove()
  })
  const prune = (...argv: string[]): Promise<Ran> => place.run(['prune', GUN, ...argv])
  const posted = () => api.requests.filter(({ method }) => method === 'POST')

  it('shows all pages, and changes nothing', async () => {
    const ran = await prune('--gone', '--older-than', '90d', '--keep-last', '3')
    expect([ran.exit, ran.codes()]).to.deep.equal([0, []])
    expect(ran.stdout, ran.stdout + ran.stderr)
      .to.contain('2 of 5 signed tags')
      .and.to.contain('Nothing was changed')
    const rules = 'gone=true&olderThan=90d&keepLast=3'
    expect(api.requests.map(({ query }) => query.toString())).to.deep.equal([rules, `${rules}&cursor=a`])
  })

  it('--yes unsigns what was found', async () => {
    const ran = await prune('--gone', '--yes', '--description', 'old')
    expect(ran.exit, ran.stderr).to.equal(0)
    const entries = ['a', 'b'].map((tag) => ({ tag, digest: DIGEST, reason: 'gone' }))
    expect(posted().map(({ body }) => body)).to.deep.equal([{ madeAt: MADE_AT, entries, description: 'old' }])
    expect(posted()[0]?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/prunings`)
  })

  it('--apply unsigns what a plan names, and looks at nothing else', async () => {
    const { stdout } = await prune('--gone', '--json')
    const ran = await prune('--apply', place.file('plan.json', stdout))
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(api.requests).to.have.length(3)
    expect(posted()[0]?.body).to.deep.equal({ madeAt: MADE_AT, entries: ['a', 'b'].map(entry) })
  })

  it('pages that go in a circle: SERVER_ANSWER_MALFORMED', async () => {
    await api.stop()
    api = await new FakeApi(() => ({ body: page([], { nextCursor: 'a' }) })).start()
    place = new Workplace(api.url)
    expect((await prune('--gone')).codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
  })

  it('leaves at least one signed tag, unless --all is said', async () => {
    const plan = place.file('plan.json', JSON.stringify({ ...page(['a', 'b']), signed: 2 }))
    const refused = await prune('--apply', plan)
    expect([refused.exit, refused.codes(), posted()]).to.deep.equal([1, ['PRUNE_LEAVES_NOTHING'], []])
    expect((await prune('--apply', plan, '--all')).exit).to.equal(0)
    expect(posted()[0]?.body).to.have.property('all', true)
  })

  it('a tag of which nothing is known is none that is left: PRUNE_LEAVES_NOTHING', async () => {
    const kept = [{ tag: 'e', code: 'REGISTRY_UNAUTHORIZED', detail: 'no' }]
    const plan = place.file('plan.json', JSON.stringify({ ...page(['a', 'b', 'c', 'd']), stays: 0, kept }))
    expect([(await prune('--apply', plan)).codes(), posted()]).to.deep.equal([['PRUNE_LEAVES_NOTHING'], []])
  })

  it('of more than one publication takes, all pages are looked at until one shows a tag that stays', async () => {
    const pageOf = (number: number, stays: number, isLast: boolean) =>
      page(
        Array.from({ length: 4000 }, (_, index) => `t${number}-${index}`),
        { signed: 12_000, stays, ...(!isLast && { nextCursor: `c${number}` }) },
      )
    for (const [stays, isRefused] of [
      [0, true],
      [1, false],
    ] as const) {
      await api.stop()
      api = await new FakeApi(({ method, query }) => {
        if (method === 'POST') return { status: 201, body: done }
        const number = Number(query.get('cursor')?.slice(1) ?? 0) + 1
        return { body: pageOf(number, number === 3 ? stays : 0, number === 3) }
      }).start()
      place = new Workplace(api.url)
      expect((await prune('--gone', '--yes')).codes().includes('PRUNE_LEAVES_NOTHING')).to.equal(isRefused)
      expect(api.requests.filter(({ method }) => method === 'GET')).to.have.length(3)
      expect(posted()).to.have.length(stays)
    }
  })

  it('a plan of another repository, or none: PRUNE_PLAN_INVALID', async () => {
    for (const text of [JSON.stringify({ ...page(['a']), gun: 'registry.example.com/other' }), '{}', 'no']) {
      const ran = await prune('--apply', place.file('plan.json', text))
      expect([ran.exit, ran.codes()]).to.deep.equal([2, ['PRUNE_PLAN_INVALID']])
    }
  })

  const misused: Readonly<Record<string, readonly string[]>> = {
    'no rule': [],
    'a plan and a rule': ['--apply', 'plan.json', '--gone'],
    'a plan and --yes': ['--apply', 'plan.json', '--yes'],
    'last ones of nothing': ['--gone', '--keep-last', '3'],
    'no number': ['--older-than', '1d', '--keep-last', 'x'],
  }
  for (const [name, argv] of Object.entries(misused)) {
    it(`${name}: USAGE_INVALID`, async () => {
      const ran = await prune(...argv)
      expect([ran.exit, ran.codes(), api.requests]).to.deep.equal([2, ['USAGE_INVALID'], []])
    })
  }
})
