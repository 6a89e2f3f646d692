import { expect } from 'chai'
import { faultsOf, filesOf, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'
import { readFolderFiles } from '../../src/policy/folder-files.ts'
import { MAX_POLICY_FILES, readPolicyFolder } from '../../src/policy/policy-folder.ts'

const people = { 'people.yaml': PEOPLE }
const good = { ...people, 'team.yaml': PROJECT }
const withProject = (change: (text: string) => string) => ({ ...people, 'team.yaml': change(PROJECT) })
const replaced = (from: string, to: string) =>
  withProject((text) => {
    if (!text.includes(from)) throw new Error(`The example does not hold ${from}.`)
    return text.replace(from, to)
  })

/** What is wrong, the files, and what is said of it: file, setting, and words of the message. */
const FAULTS: readonly (readonly [string, Record<string, string>, string, string, RegExp])[] = [
  [
    'a setting that nobody knows',
    replaced('tags: [v*]', 'tags: [v*]\n    tag: [v*]'),
    'team.yaml',
    'policies.release',
    /tag/,
  ],
  ['a default that is no policy', replaced('default: release', 'default: live'), 'team.yaml', 'default', /no policy/],
  [
    'no policy at all',
    withProject(() => 'project: team\nrepositories: [a/*]\npolicies: {}'),
    'team.yaml',
    'policies',
    /1 to 64/,
  ],
  [
    'no submitters',
    replaced('[group:bots, identity:github:repository:*]', '[]'),
    'team.yaml',
    'policies.release.submitters',
    /1/,
  ],
  [
    'a submitter of no known kind',
    replaced('[anyone]', '[everybody]'),
    'team.yaml',
    'policies.test.submitters.0',
    /anyone/,
  ],
  ['a submitter twice', replaced('[anyone]', '[anyone, anyone]'), 'team.yaml', 'policies.test.submitters', /twice/],
  [
    'an approver who is nobody',
    replaced('[group:managers]', '[person:eve]'),
    'team.yaml',
    'policies.release.approvals.from',
    /person:eve/,
  ],
  [
    'an approver by identity',
    replaced('[group:managers]', '["identity:*"]'),
    'team.yaml',
    'policies.release.approvals.from.0',
    /people/,
  ],
  [
    'approvals by anyone',
    replaced('[group:managers]', '[anyone]'),
    'team.yaml',
    'policies.release.approvals.from.0',
    /people/,
  ],
  [
    'more approvals than people',
    replaced('required: 2', 'required: 4'),
    'team.yaml',
    'policies.release.approvals.required',
    /only 3/,
  ],
  ['a tag pattern with a space', replaced('[v*]', '["v *"]'), 'team.yaml', 'policies.release.tags.0', /pattern/],
  [
    'unsign where tags are locked',
    replaced('    moveTags: true\n', ''),
    'team.yaml',
    'policies.test.moveTags',
    /unsign/,
  ],
  [
    'a lifetime without a unit',
    replaced('tags: [v*]', 'tags: [v*]\n    lifetime: 7'),
    'team.yaml',
    'policies.release.lifetime',
    /duration/,
  ],
  [
    'a lifetime out of bounds',
    replaced('tags: [v*]', 'tags: [v*]\n    lifetime: 91d'),
    'team.yaml',
    'policies.release.lifetime',
    /between/,
  ],
  [
    'a time zone that does not exist',
    replaced('tags: [v*]', 'tags: [v*]\n    windows: [{from: "08:00", to: "18:00", zone: Moon/Crater}]'),
    'team.yaml',
    'policies.release.windows.0.zone',
    /zone/,
  ],
  [
    'an hour that does not exist',
    replaced('tags: [v*]', 'tags: [v*]\n    windows: [{from: "25:00", to: "18:00"}]'),
    'team.yaml',
    'policies.release.windows.0.from',
    /HH:MM/,
  ],
  [
    'an origin without repositories',
    replaced('tags: [v*]', 'tags: [v*]\n    origin: {issuers: [https://a.example]}'),
    'team.yaml',
    'policies.release.origin.repositoryIds',
    /array/,
  ],
  [
    'an identity of two people',
    { ...good, 'people.yaml': PEOPLE.replace('[token_cat]', '[token_ann]') },
    'people.yaml',
    'people.cat.identities.0',
    /ann/,
  ],
  [
    'a member who is nobody',
    { ...good, 'people.yaml': PEOPLE.replace('[ann, bob, cat]', '[ann, bob, eve]') },
    'people.yaml',
    'groups.managers.2',
    /nobody/,
  ],
  ['a project twice', { ...good, 'z.yaml': PROJECT.replace('/team/*', '/other/*') }, 'z.yaml', 'project', /team.yaml/],
  [
    'a repository of two projects',
    { ...good, 'z.yaml': PROJECT.replace('project: team', 'project: z').replace('team/*', 't*/app') },
    'z.yaml',
    'repositories',
    /meets/,
  ],
  ['no project', people, '', '', /no project/],
  ['an empty file', { ...good, 'z.yaml': '' }, 'z.yaml', '', /empty/],
  ['what is no YAML', { ...good, 'z.yaml': 'a: [' }, 'z.yaml', '', /line/],
  ['a name twice', replaced('default: release', 'default: release\ndefault: test'), 'team.yaml', '', /DUPLICATE/],
  ['an alias', replaced('[v*]', '&tags [v*]\n    deny: *tags'), 'team.yaml', '', /ALIAS/],
  ['nesting without end', { ...good, 'z.yaml': '['.repeat(5000) }, 'z.yaml', '', /DEEP/],
  ['a large file', { ...good, 'z.yaml': `#${'x'.repeat(256 * 1024)}` }, 'z.yaml', '', /larger/],
]

describe('a policy folder', () => {
  it('is read with every default', () => {
    const read = readPolicyFolder(filesOf(good))
    expect(read.ok).to.equal(true)
    if (read.ok) {
      expect(read.projects[0]?.policies['release']).to.deep.include({
        digest: 'required',
        moveTags: false,
        kinds: ['sign'],
      })
      expect(read.digest).to.match(/^[0-9a-f]{64}$/)
    }
  })

  for (const [what, files, file, path, message] of FAULTS) {
    it(`is refused for ${what}`, () => {
      const faults = faultsOf(files)
      const found = faults.filter((fault) => fault.file === file && fault.path === path)
      expect(found.map((fault) => fault.message).join('\n'), JSON.stringify(faults)).to.match(message)
    })
  }

  it('tells all faults at once', () => {
    const text = PROJECT.replace('[v*]', '["v *"]').replace('[anyone]', '[everybody]')
    expect(faultsOf({ 'team.yaml': text, 'people.yaml': 'people: 1' })).to.have.length(3)
  })

  it('is refused where it holds bytes that are no UTF-8, or too many files', () => {
    const read = readPolicyFolder([{ name: 'team.yaml', bytes: Buffer.from([0xff, 0xfe]) }])
    expect(!read.ok && read.faults[0]?.message).to.equal('is not UTF-8')
    const many = Array.from({ length: MAX_POLICY_FILES + 1 }, (_, index) => ({
      name: `${index}.yaml`,
      bytes: Buffer.from(''),
    }))
    const refused = readPolicyFolder(many)
    expect(!refused.ok && refused.faults[0]?.message).to.match(/more than/)
  })

  it('has a digest over names and bytes, whatever the order', () => {
    const digest = (files: ReturnType<typeof filesOf>) => {
      const read = readPolicyFolder(files)
      return read.ok ? read.digest : undefined
    }
    expect(digest(filesOf(good).reverse())).to.equal(digest(filesOf(good)))
    expect(digest(filesOf({ ...good, 'team.yaml': `${PROJECT}\n# a word` }))).to.not.equal(digest(filesOf(good)))
  })

  it('has a sound example in config/', () => {
    const read = readPolicyFolder(readFolderFiles('config/policies').files)
    expect(read.ok ? [] : read.faults).to.deep.equal([])
  })

  it('may name groups that only tokens and issuers know', () => {
    policyOf(replaced('[group:managers]', '[group:elsewhere]'))
  })
})
