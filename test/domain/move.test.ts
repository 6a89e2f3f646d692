// What a move may not leave behind: checked against archives as they are read from the old server.
import { RELEASES, SNAPSHOT, TIMESTAMP, verifyArchive, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { checkComplete } from '../../src/domain/move.ts'
import { expectCode } from '../support/expect-code.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'

describe('what goes along in a move', () => {
  let builder: RepositoryBuilder
  const none = new Map<RoleName, { version: number; sha256: string }>()

  beforeEach(() => {
    builder = RepositoryBuilder.withSigner('countersign', 'registry.example.com/team/moving')
    builder.put(RELEASES, '1.0', 'image').nextVersions(RELEASES)
  })
  const archive = () => {
    const files = builder.files()
    return verifyArchive({ gun: builder.gun, pin: { kind: 'tofu' } }, ({ fileName }) =>
      Promise.resolve(files.get(fileName)),
    )
  }

  it('is everything that was seen, as it was seen', async () => {
    const found = await archive()
    const { metadata, sha256 } = found.delegations.get(RELEASES)!
    checkComplete(found, none, NOW)
    checkComplete(found, new Map([[RELEASES, { version: metadata.version, sha256 }]]), NOW)
    checkComplete(found, new Map([[RELEASES, { version: metadata.version - 1, sha256: '00' }]]), NOW)
    expect(metadata.version).to.be.greaterThan(1)
  })

  it('MOVE_NOT_POSSIBLE: an expired delegation, seen or not', async () => {
    builder.role(RELEASES).expiresAt = new Date(NOW.getTime() - 1000)
    const found = await archive()
    expectCode('MOVE_NOT_POSSIBLE', () => {
      checkComplete(found, none, NOW)
    })
  })

  it('MOVE_NOT_POSSIBLE: one that was seen and lacks signatures; never seen, it stays behind', async () => {
    builder.role(RELEASES).threshold = 9
    const found = await archive()
    expect(found.unusable.has(RELEASES)).to.equal(true)
    checkComplete(found, none, NOW)
    expectCode('MOVE_NOT_POSSIBLE', () => {
      checkComplete(found, new Map([[RELEASES, { version: 1, sha256: '00' }]]), NOW)
    })
  })

  it('MOVE_NOT_POSSIBLE: a file that is older than it was seen, or another one', async () => {
    const found = await archive()
    const { version } = found.delegations.get(RELEASES)!.metadata
    for (const seen of [version, version + 1]) {
      expectCode('MOVE_NOT_POSSIBLE', () => {
        checkComplete(found, new Map([[RELEASES, { version: seen, sha256: '00' }]]), NOW)
      })
    }
  })
  it('MOVE_NOT_POSSIBLE: a snapshot or timestamp of the old server that is older than it was seen', async () => {
    const found = await archive()
    for (const role of [SNAPSHOT, TIMESTAMP] as const) {
      const { metadata, sha256 } = role === SNAPSHOT ? found.snapshot : found.timestamp
      checkComplete(found, new Map([[role, { version: metadata.version, sha256 }]]), NOW)
      expectCode('MOVE_NOT_POSSIBLE', () => {
        checkComplete(found, new Map([[role, { version: metadata.version + 1, sha256 }]]), NOW)
      })
    }
  })
})
