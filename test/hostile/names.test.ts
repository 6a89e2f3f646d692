// Names that walk, hide or overflow: refused before any connection is made and before the key holder signs anything.
import { parseGun, parseRoleName, parseTag, TufError } from '@countersign/tuf'
import { expect } from 'chai'
import { DomainError } from '../../src/domain/errors.ts'
import { everybody } from '../support/fakes/world.ts'
import { HostileWorld } from '../support/hostile-world.ts'

const LONG = 'a'.repeat(4096)
const IMAGES = [
  'registry.example.com/../etc/passwd:1',
  'registry.example.com/team/../other:1',
  'registry.example.com/team%2fapp:1',
  'registry.example.com/team/app%00:1',
  'registry.example.com//team/app:1',
  'registry.example.com/team/app/:1',
  'registry.example.com/TEAM/app:1',
  'registry.example.com/team/\u0430pp:1',
  'registry.example.com/team/app\u202e:1',
  'registry.example.com/team/app\n:1',
  'registry.example.com/team/app:..',
  'registry.example.com/team/app:../1',
  'registry.example.com/team/app:1%2f',
  `registry.example.com/team/app:${LONG}`,
  `registry.example.com/${LONG}:1`,
  'http://registry.example.com/team/app:1',
  'user:password@registry.example.com/team/app:1',
  '169.254.169.254/latest/meta-data:1',
  '[::1]:5000/team/app:1',
  '',
  ':',
  '@',
]
const ROLES = [
  'targets/..',
  'targets/../root',
  'targets//a',
  'targets/a%2fb',
  `targets/${LONG}`,
  '../root',
  'Root',
  'targets/ä',
  '',
]
const GUNS = [
  '..',
  '../x',
  'a/../b',
  'registry.example.com/a b',
  'registry.example.com/a\0',
  '',
  LONG + '/'.repeat(4096),
]
const TAGS = ['..', '.', 'a/b', '%2e%2e', 'a\0', LONG, '', '\u0430']

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'accepted'
  } catch (error) {
    if (error instanceof TufError || error instanceof DomainError) return error.code
    throw error
  }
}

describe('attack: Path traversal / odd GUN or role names', () => {
  let hostile: HostileWorld
  before(async () => {
    hostile = await HostileWorld.start()
  })
  after(() => hostile.close())

  for (const image of IMAGES) {
    it(`the image ${JSON.stringify(image.slice(0, 60))}`, async () => {
      const { notary, registry, world } = hostile
      const heard = [notary.heard.length, registry.heard.length]
      const error: unknown = await world.services.requests
        .submit(everybody, { kind: 'sign', images: [image] })
        .catch((reason: unknown) => reason)
      expect(error).to.be.instanceOf(DomainError)
      expect((error as DomainError).code).to.match(/^(IMAGE_|NOT_PERMITTED)/)
      expect([notary.heard.length, registry.heard.length], 'nobody is asked').to.deep.equal(heard)
    })
  }

  it('names of roles', () => {
    for (const role of ROLES)
      expect(
        codeOf(() => parseRoleName(role)),
        role.slice(0, 60),
      ).to.equal('ROLE_NAME_INVALID')
  })

  it('names of repositories', () => {
    for (const gun of GUNS)
      expect(
        codeOf(() => parseGun(gun)),
        gun.slice(0, 60),
      ).to.equal('GUN_INVALID')
  })

  it('tags', () => {
    for (const tag of TAGS)
      expect(
        codeOf(() => parseTag(tag)),
        tag.slice(0, 60),
      ).to.match(/^(TAG|TARGET)_/)
  })

  it('in the key holder', async () => {
    for (const gun of GUNS) {
      const error: unknown = await hostile.holder.service.call('repository-status', { gun }).catch((e: unknown) => e)
      expect((error as { code?: string }).code, gun.slice(0, 60)).to.match(/^(GUN_|OPERATION_MALFORMED|FRAME_)/)
    }
    expect(await hostile.sign('after')).to.equal('published')
  })
})
