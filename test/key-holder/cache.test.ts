// The key holder's memory of parsed files spares work and decides nothing: with a warm cache every stale, forged or expired base is
// refused with its code, before and after a restart.
import { RELEASES, ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import type { KeyHolderErrorCode } from '../../src/key-holder-protocol/errors.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'

interface Attack {
  readonly title: string
  readonly code: KeyHolderErrorCode
  readonly reason?: string
  /** Brings the repository, and all that the key holder has read of it, into the state that must be refused. */
  readonly act: (repository: HeldRepository, earlier: Map<string, Uint8Array>) => Map<string, Uint8Array>
}

const ATTACKS: readonly Attack[] = [
  {
    title: 'a base that was good before the last publication',
    code: 'BASE_OLDER_THAN_KNOWN',
    act: (_, earlier) => earlier,
  },
  {
    title: 'a version that was seen, with another content',
    code: 'BASE_DIFFERS_FROM_KNOWN',
    act: ({ builder }) => {
      // Signed by the trust server's own key: only the memory of the hash shows it.
      builder.role('snapshot').expiresAt = new Date(NOW.getTime() + 86_400_000)
      delete builder.role('snapshot').mangle
      delete builder.role('timestamp').mangle
      return builder.files()
    },
  },
  {
    title: 'a base of which everything is remembered, after the timestamp has expired',
    code: 'BASE_NOT_VERIFIED',
    reason: 'ROLE_EXPIRED',
    act: ({ holder, builder }) => {
      const files = builder.files()
      holder.now = new Date(builder.role('timestamp').expiresAt.getTime() + 1000)
      return files
    },
  },
  {
    title: 'a remembered file under a role whose key the root has replaced',
    code: 'BASE_NOT_VERIFIED',
    reason: 'SIGNATURE_BELOW_THRESHOLD',
    act: ({ builder }) => {
      const pinned = builder.files().get('root.json')!
      builder.role(ROOT).mangle = () => pinned
      builder.nextRoot().role(TARGETS).keys = [testKey('another')]
      builder.nextVersions()
      return builder.files()
    },
  },
  {
    title: 'a file whose bytes are not those that are listed and remembered',
    code: 'BASE_NOT_VERIFIED',
    reason: 'FILE_HASH_MISMATCH',
    act: ({ builder }) => {
      const files = builder.files()
      const name = [...files.keys()].find((one) => one.startsWith('targets.') && one !== 'targets.json')!
      return files.set(name, Buffer.concat([files.get(name)!.subarray(0, -1), Buffer.from(' ')]))
    },
  },
]

describe('the key holder with a warm cache', () => {
  let scope: Scope
  let holder: TestKeyHolder

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  /** Signed and observed twice, so that everything is remembered; others own root, targets and the trust server. */
  async function warm(): Promise<{ repository: HeldRepository; earlier: Map<string, Uint8Array> }> {
    const repository = await HeldRepository.pin(holder, new RepositoryBuilder('registry.example.com/team/adopted'), [])
    await repository.sign([put('1.0')])
    await repository.observe()
    const earlier = new Map(repository.files())
    await repository.sign([put('1.1')])
    await repository.observe()
    await repository.observe()
    return { repository, earlier }
  }

  for (const { title, code, reason, act } of ATTACKS) {
    it(`refuses ${title}, also after a restart`, async () => {
      const { repository, earlier } = await warm()
      const files = act(repository, earlier)
      const attempt = async (): Promise<unknown> => {
        const request = repository.request([put('forged')], { files })
        return holder.service.call('change-targets', request, files)
      }
      const refusal = await expectCodeAsync(code, attempt)
      if (reason !== undefined) expect(refusal.facts['reason']).to.equal(reason)
      await holder.stop()
      await holder.start()
      // Now with an empty cache: the same answer.
      expect((await expectCodeAsync(code, attempt)).facts).to.deep.equal(refusal.facts)
    })
  }

  it('goes on from what it remembers, in each role', async () => {
    const { repository } = await warm()
    await repository.sign([put('1.2')])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0', '1.1', '1.2'])
    expect(repository.tags('targets/countersign')).to.deep.equal(['1.0', '1.1', '1.2'])
  })
})
