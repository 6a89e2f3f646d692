// With everything remembered, what the trust server serves is judged as if nothing were: stale, forged and expired states end in their
// codes, and a restart, which empties the memory, changes none of them.
import { RELEASES, SNAPSHOT, TARGETS, TIMESTAMP } from '@countersign/tuf'
import { expect } from 'chai'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { replaceOurKeys } from '../support/fakes/rival.ts'
import { newSigningKey } from '../support/fakes/signing-key.ts'
import type { ServerState } from '../support/fakes/trust-server.ts'
import { app, World } from '../support/fakes/world.ts'

const YEAR_MS = 365 * 86_400_000

interface Attack {
  readonly title: string
  readonly code: string
  readonly act: (world: World, earlier: ServerState) => unknown
}

const ATTACKS: readonly Attack[] = [
  {
    title: 'rolled back to a state that is remembered whole',
    code: 'VERSION_ROLLED_BACK',
    act: (world, earlier) => {
      world.server.restore(earlier)
    },
  },
  {
    title: 'a version that was seen, with another content',
    code: 'VERSION_FORKED',
    act: (world) => {
      world.server.forge(app, RELEASES, { edit: (signed) => signed.set('expires', '2029-12-31T00:00:00Z') })
    },
  },
  {
    title: 'expired since it was remembered',
    code: 'ROLE_EXPIRED',
    act: (world) => {
      world.server.freeze()
      world.time.advance(YEAR_MS)
    },
  },
  {
    title: 'a timestamp by a key that is not the server’s',
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: (world) => {
      world.server.forge(app, TIMESTAMP, { edit: (signed) => signed.set('version', 1000), signers: [newSigningKey()] })
    },
  },
  {
    title: 'a remembered file that the snapshot describes otherwise',
    code: 'FILE_HASH_MISMATCH',
    act: (world) => {
      world.server.forge(app, TARGETS, {
        editListed: (meta) => {
          meta.set(
            'hashes',
            new Map([...(meta.get('hashes') as Map<string, string>), ['sha512', `${'A'.repeat(86)}==`]]),
          )
        },
      })
    },
  },
  {
    title: 'a snapshot that has lost a role',
    code: 'SNAPSHOT_ROLE_REMOVED',
    act: (world) => {
      world.server.forge(app, SNAPSHOT, {
        edit: (signed) => {
          const meta = new Map(signed.get('meta') as Map<string, never>)
          meta.delete(RELEASES)
          signed.set('meta', meta)
        },
      })
    },
  },
]

/** `failed CODE`, or the status. */
function outcome({ images }: SigningRequest): string {
  const record = images[0]?.record
  return record?.status === 'failed' ? `failed ${record.error.code}` : (record?.status ?? 'missing')
}

describe('the daemon with warm caches', () => {
  let world: World
  let count = 0

  beforeEach(async () => {
    world = await World.withRepository()
  })
  afterEach(() => {
    world.close()
  })

  async function sign(): Promise<string> {
    const tag = `tag-${++count}`
    world.registry.push(app, tag, 'a')
    return outcome(await world.sign(`${app}:${tag}`))
  }

  for (const { title, code, act } of ATTACKS) {
    it(`refuses ${title}, also after a restart`, async () => {
      expect(await sign()).to.equal('published')
      const earlier = world.server.state()
      expect(await sign()).to.equal('published')
      act(world, earlier)
      expect(await sign()).to.equal(`failed ${code}`)
      await world.restart()
      expect(await sign()).to.equal(`failed ${code}`)
    })
  }

  it('follows a root that was changed meanwhile, and signs no more with keys that it has lost', async () => {
    expect(await sign()).to.equal('published')
    await replaceOurKeys(world, app)
    const after = await sign()
    expect(after).to.match(/^failed /)
    await world.restart()
    expect(await sign()).to.equal(after)
  })

  it('asks for the timestamp each time, and for no file twice', async () => {
    const asked: string[] = []
    const read = world.server.read.bind(world.server)
    world.server.read = (gun, fileName, maxBytes) => {
      asked.push(fileName)
      return read(gun, fileName, maxBytes)
    }
    for (let turn = 0; turn < 3; turn++) expect(await sign()).to.equal('published')
    const hashed = asked.filter((name) => /\.[0-9a-f]{64}\.json$/.test(name))
    expect(hashed.length).to.equal(new Set(hashed).size)
    // Before and after each publication.
    expect(asked.filter((name) => name === 'timestamp.json')).to.have.length(6)
  })
})
