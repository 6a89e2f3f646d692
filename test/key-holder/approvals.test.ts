// Approvals by keys that the limits file names, with the daemon played by an attacker: it carries approvals, and can neither make nor move
// them.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { type ApprovedChange, printApproverKey, signApproval } from '../../src/approval-statement.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { type Change, drop, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { imageOf, NOW } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { without } from '../support/without.ts'
import { parseLimits } from '../../src/key-holder/limits.ts'

/** Test keys: nobody else's. */
const keys = Object.fromEntries(
  ['ann', 'bob', 'eve'].map((name) => [name, generateKeyPairSync('ed25519').privateKey] as const),
) as Readonly<Record<'ann' | 'bob' | 'eve', KeyObject>>
const publicOf = (name: 'ann' | 'bob'): string => printApproverKey(keys[name]) ?? ''

const LIMITS = `
repositories:
  - gun: "registry.example.com/team/*"
    initialize: true
    serve: true
    approvals:
      tags: ["v*"]
      required: 2
      approvers: { ann: "${publicOf('ann')}", bob: "${publicOf('bob')}" }
`
const GUN = 'registry.example.com/team/app'
const TOMORROW = new Date(NOW.getTime() + 86_400_000).toISOString()
const statement = (more: Partial<ApprovedChange> = {}): ApprovedChange => ({
  request: 'req-1',
  gun: GUN,
  tag: 'v1',
  put: imageOf('v1'),
  expiresAt: TOMORROW,
  ...more,
})
const by = (name: 'ann' | 'bob' | 'eve', what: ApprovedChange = statement(), as: string = name) => ({
  approver: as,
  expiresAt: what.expiresAt,
  signature: signApproval(keys[name], what),
})
const withApprovals = (change: Change, ...approvals: ReturnType<typeof by>[]): Change => ({ ...change, approvals })
const approve = (change: Change, what: ApprovedChange = statement()) =>
  withApprovals(change, by('ann', what), by('bob', what))

/** What a thief of the daemon tries with approvals that he has, or makes. */
const ATTACKS: readonly (readonly [string, () => Change])[] = [
  ['no approval', () => put('v1')],
  ['one of two', () => withApprovals(put('v1'), by('ann'))],
  ['one person twice', () => withApprovals(put('v1'), by('ann'), by('ann'))],
  ['one person under two names', () => withApprovals(put('v1'), by('ann'), by('ann', statement(), 'bob'))],
  ['a key of his own', () => withApprovals(put('v1'), by('ann'), by('eve'))],
  ['a key of his own under a known name', () => withApprovals(put('v1'), by('ann'), by('eve', statement(), 'bob'))],
  [
    'a name like a property of every object',
    () => withApprovals(put('v1'), by('ann'), by('eve', statement(), 'constructor')),
  ],
  ['approvals of another tag', () => approve(put('v1'), statement({ tag: 'v2' }))],
  ['approvals of another image', () => approve(put('v1', 'other'))],
  ['approvals of another length', () => approve({ ...put('v1'), length: 7 } as Change)],
  ['approvals of another repository', () => approve(put('v1'), statement({ gun: 'registry.example.com/team/other' }))],
  ['approvals of another request', () => approve(put('v1'), statement({ request: 'req-2' }))],
  ['approvals of another start', () => approve(put('v1'), statement({ standing: 'a'.repeat(64) }))],
  ['approvals of a removal', () => approve(put('v1'), gone(statement()))],
  [
    'approvals that have expired',
    () => approve(put('v1'), statement({ expiresAt: new Date(NOW.getTime() - 1).toISOString() })),
  ],
  [
    'approvals for years',
    () => approve(put('v1'), statement({ expiresAt: new Date(NOW.getTime() + 101 * 86_400_000).toISOString() })),
  ],
  [
    'another end than was signed',
    () =>
      withApprovals(
        put('v1'),
        ...['ann', 'bob'].map((name) => ({
          ...by(name as 'ann'),
          expiresAt: new Date(NOW.getTime() + 2 * 86_400_000).toISOString(),
        })),
      ),
  ],
]

/** The tag loses its signature. */
function gone(change: ApprovedChange): ApprovedChange {
  return without(change, 'put')
}

describe('approvals by keys', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let app: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope, LIMITS)
    app = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  it('let a change through that enough of them approve, and are in the log with it', async () => {
    await app.sign([approve(put('v1'))])
    expect(app.tags(RELEASES)).to.deep.equal(['v1'])
    const record = holder
      .log()
      .filter(({ kind }) => kind === 'targets-change')
      .at(-1)
    const [change] = record?.['changes'] as { approvals: { approver: string }[] }[]
    expect(change?.approvals.map(({ approver }) => approver)).to.deep.equal(['ann', 'bob'])
  })

  it('are not asked for where the limits file asks for none', async () => {
    await app.sign([put('test-1')])
    expect(app.tags(RELEASES)).to.deep.equal(['test-1'])
  })

  for (const [what, change] of ATTACKS) {
    it(`get nothing signed with ${what}`, async () => {
      await expectCodeAsync('LIMIT_APPROVALS', () => app.change([change()]))
      const kinds = holder.log().map(({ kind }) => kind)
      expect(kinds.filter((kind) => kind === 'targets-change')).to.deep.equal([])
    })
  }

  it('say from what to what, for a tag that moves and a tag that goes', async () => {
    await app.sign([approve(put('v1'))])
    const second = { evidence: { request: 'req-2', principal: 'bot' } }
    const move = { ...put('v1', 'new'), ...second }
    const what = statement({ request: 'req-2', put: imageOf('new') })
    await expectCodeAsync('LIMIT_APPROVALS', () => app.change([approve(move, what)]))
    await app.sign([approve(move, { ...what, standing: imageOf('v1').sha256 })])
    const third = { ...drop('v1'), evidence: { request: 'req-3', principal: 'bot' } } as Change
    await expectCodeAsync('LIMIT_APPROVALS', () => app.change([third]))
    const goes = gone(statement({ request: 'req-3', standing: imageOf('new').sha256 }))
    await app.sign([approve(third, goes)])
    expect(app.tags(RELEASES)).to.deep.equal([])
  })

  it('are good for one publication', async () => {
    await app.sign([approve(put('v1'))])
    const back = { ...drop('v1'), evidence: { request: 'req-2', principal: 'bot' } } as Change
    await app.sign([approve(back, gone(statement({ request: 'req-2', standing: imageOf('v1').sha256 })))])
    await expectCodeAsync('REQUEST_ALREADY_PUBLISHED', () => app.change([approve(put('v1'))]))
  })

  it('may come with a change of several tags, each with its own', async () => {
    await expectCodeAsync('LIMIT_APPROVALS', () => app.change([approve(put('v1')), put('v2')]))
    await app.sign([
      approve(put('v1')),
      approve(put('v2'), statement({ tag: 'v2', put: imageOf('v2') })),
      put('test-1'),
    ])
    expect(app.tags(RELEASES)).to.deep.equal(['test-1', 'v1', 'v2'])
  })
})

describe('approvers in the limits file', () => {
  const limits = (approvers: string, required = 1) =>
    Buffer.from(`repositories: [{ gun: "a/*", approvals: { required: ${required}, approvers: ${approvers} } }]`)

  for (const [what, text, required] of [
    ['nobody', '{}', 1],
    ['fewer than it requires', `{ ann: "${publicOf('ann')}" }`, 2],
    ['one key under two names', `{ ann: "${publicOf('ann')}", bob: "${publicOf('ann')}" }`, 1],
    ['a key of another kind', '{ ann: "rsa:AAAA" }', 1],
    ['a short key', '{ ann: "ed25519:AAAA" }', 1],
  ] as const) {
    it(`are refused where it names ${what}`, () => {
      expectCode('LIMITS_FILE_INVALID', () => parseLimits(limits(text, required)))
    })
  }
})
