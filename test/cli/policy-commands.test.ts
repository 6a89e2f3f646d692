import { mkdirSync } from 'node:fs'
import { expect } from 'chai'
import { PEOPLE, PROJECT } from '../support/policies.ts'
import { FakeApi } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'
import { Workplace } from './support/run-cli.ts'

describe('cli policy', () => {
  let place: Workplace
  let api: FakeApi | undefined

  beforeEach(() => {
    place = new Workplace()
    mkdirSync(place.path('policies'))
    place.file('policies/people.yaml', PEOPLE)
  })
  afterEach(async () => {
    await api?.stop()
    api = undefined
    place.remove()
  })

  it('checks a folder without a server, and shows its policies', async () => {
    place.file('policies/team.yaml', PROJECT)
    const ran = await place.run(['policy', 'check', place.path('policies')])
    expect(ran.exit).to.equal(0)
    expect(ran.stdout).to.match(/team +release \(default\) +v\* .*2 of group:managers/)
    const { valid } = (await place.run(['policy', 'check', place.path('policies'), '--json'])).json() as {
      valid: boolean
    }
    expect(valid).to.equal(true)
  })

  it('names every fault with its file and setting', async () => {
    place.file('policies/team.yaml', PROJECT.replace('[v*]', '[]').replace('[anyone]', '[everybody]'))
    const ran = await place.run(['policy', 'check', place.path('policies')])
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['POLICY_INVALID']])
    expect(ran.stderr).to.include('team.yaml: policies.release.tags')
    expect(ran.stderr).to.include('team.yaml: policies.test.submitters.0')
    expect((await place.run(['policy', 'check', place.path('none')])).codes()).to.deep.equal(['POLICY_INVALID'])
  })

  for (const [outcome, exit] of [
    ['allow', 0],
    ['awaiting-approval', 0],
    ['deny', 3],
  ] as const) {
    it(`explains what would happen, and exits with ${exit} for ${outcome}`, async () => {
      const decision = {
        outcome: outcome === 'deny' ? 'deny' : 'allow',
        reasons: [{ rule: 'tag', code: 'TAG_REFUSED' }],
        project: 'team',
        policy: 'release',
      }
      api = await new FakeApi(() => ({
        status: 200,
        body: { outcome, images: [{ reference: `${GUN}:1`, decision }] },
      })).start()
      const work = new Workplace(api.url)
      const identity = work.file(
        'identity.yaml',
        'id: github:repository:74\ngrants: [{ grant: submit, repositories: ["*"] }]\n',
      )
      const ran = await work.run(['policy', 'explain', `${GUN}:1`, '--policy', 'release', '--identity', identity])
      expect(ran.exit).to.equal(exit)
      expect(ran.stdout).to.match(/tag +TAG_REFUSED/)
      expect(api.requests[0]?.body).to.deep.equal({
        kind: 'sign',
        images: [`${GUN}:1`],
        policy: 'release',
        identity: { id: 'github:repository:74', grants: [{ grant: 'submit', repositories: ['*'] }] },
      })
      const bad = work.file('bad.yaml', '- no')
      expect((await work.run(['policy', 'explain', `${GUN}:1`, '--identity', bad])).exit).to.equal(2)
      work.remove()
    })
  }
})
