// Repositories whose root key the key holder never sees, and next roots that this key signs.
import { attachSignatures, nextRoot, RELEASES, ROOT, type BaseRoleChange } from '@countersign/tuf'
import { EVIDENCE, HeldRepository, initialization, type TestKeyHolder } from './key-holder.ts'
import { RepositoryBuilder } from './repository-builder.ts'
import { signWith, type TestKey } from './test-keys.ts'

/** Ten years behind NOW, as Countersign plans it. */
export const NEXT_ROOT_EXPIRES = new Date('2036-05-29T00:00:00Z')

/** Created by the key holder, but for the root key, which is the builder's `rootKey('root')`; observed once. */
export async function initializeOffline(
  holder: TestKeyHolder,
  gun = 'registry.example.com/team/offline',
): Promise<HeldRepository> {
  const builder = new RepositoryBuilder(gun)
  const repository = new HeldRepository(holder, builder)
  const rootKey = builder.rootKey('root')
  const certificatePem = Buffer.from(rootKey.publicKey.publicValue, 'base64').toString()
  const begun = await repository.service.call('initialize-repository', {
    ...initialization(gun),
    root: { kind: 'offline', certificatePem },
  })
  const { keyId, method, signature } = signWith(rootKey, begun.attachments.get('root.signed')!)
  const signatures = [{ keyId, method, signature: Buffer.from(signature).toString('base64') }]
  const { attachments } = await repository.service.call('complete-initialization', {
    gun,
    signatures,
    evidence: EVIDENCE,
  })
  builder.delegate('targets/countersign').delegate(RELEASES)
  repository.publish(attachments)
  await repository.observe()
  return repository
}

/** A root that follows the published one. */
export function nextRootOf(
  repository: HeldRepository,
  changes: readonly BaseRoleChange[],
  signers: readonly TestKey[] = [repository.builder.rootKey('root')],
  expiresAt = NEXT_ROOT_EXPIRES,
): Uint8Array {
  const base = repository.builder.verify({ now: repository.holder.now }, repository.files())
  const { message } = nextRoot(base, changes, expiresAt)
  return attachSignatures(
    { message },
    signers.map((key) => signWith(key, message)),
  )
}

/** The trust server takes a next root, with what came with it. */
export function publishNextRoot(repository: HeldRepository, files: ReadonlyMap<string, Uint8Array>): void {
  const { builder } = repository
  builder.pastRoots.push(repository.files().get('root.json')!)
  builder.role(ROOT).version++
  repository.publish(files)
}
