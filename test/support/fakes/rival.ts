// Somebody else who holds keys of the repository legitimately, and publishes with them.
import {
  editTargets,
  type Gun,
  newTargets,
  parseRoleName,
  RELEASES,
  type RoleName,
  TARGETS,
  type TargetsChange,
  type TrustedRepository,
  type FileRequest,
  RepositoryVerifier,
} from '@countersign/tuf'
import { newSigningKey, signFile, type SigningKey } from './signing-key.ts'
import type { World } from './world.ts'

const EXPIRES_AT = new Date('2029-01-01T00:00:00Z')
export const SIGNER = parseRoleName('targets/countersign')

export async function load(world: World, gun: Gun): Promise<TrustedRepository> {
  const bytes = world.trustedRoot(gun)
  const verifier = new RepositoryVerifier({ gun, pin: { kind: 'root', bytes }, now: world.time.now() })
  for (let request: FileRequest | undefined = verifier.next(); request !== undefined; request = verifier.next()) {
    verifier.accept(await world.server.read(gun, request.fileName, request.maxBytes))
  }
  return verifier.result()
}

/** Publishes changes in one role, with these keys. */
export async function publishAs(
  world: World,
  gun: Gun,
  role: RoleName,
  changes: readonly TargetsChange[],
  keys: readonly SigningKey[],
): Promise<void> {
  const trusted = await load(world, gun)
  const version = world.server.version(gun, role) + 1
  const unsigned = editTargets(trusted, role, changes, { version, expiresAt: EXPIRES_AT })
  if (unsigned === undefined) throw new Error('The rival changes nothing.')
  await world.server.publish(gun, new Map([[role, signFile(unsigned, keys)]]))
}

/** A rival with the key of `targets/releases` that we hold too. */
export async function publishRelease(world: World, gun: Gun, changes: readonly TargetsChange[]): Promise<void> {
  await publishAs(world, gun, RELEASES, changes, [world.keyHolder.key(gun, SIGNER)])
}

/** A rival with the repository's targets key. */
export async function publishTargets(world: World, gun: Gun, changes: readonly TargetsChange[]): Promise<void> {
  await publishAs(world, gun, TARGETS, changes, [world.keyHolder.key(gun, TARGETS)])
}

/** The owner gives `targets/alice` a key of her own, and `targets/releases` too where asked; the other delegations stay. */
export async function addAlice(world: World, gun: Gun, paths: readonly string[] = ['']): Promise<SigningKey> {
  const alice = newSigningKey()
  const ours = world.keyHolder.key(gun, SIGNER).publicKey
  const trusted = await load(world, gun)
  const version = trusted.targets.metadata.version + 1
  const unsigned = newTargets({
    role: TARGETS,
    version,
    expiresAt: EXPIRES_AT,
    delegations: [
      { name: parseRoleName('targets/alice'), keys: [alice.publicKey], paths: [''], threshold: 1 },
      { name: SIGNER, keys: [ours], paths, threshold: 1 },
      { name: RELEASES, keys: [ours, alice.publicKey], paths, threshold: 1 },
    ],
  })
  await world.server.publish(gun, new Map([[TARGETS, signFile(unsigned, [world.keyHolder.key(gun, TARGETS)])]]))
  return alice
}

/** The owner takes our roles away from us: both now need a key that we do not have. */
export async function replaceOurKeys(world: World, gun: Gun): Promise<void> {
  const { publicKey } = newSigningKey()
  const trusted = await load(world, gun)
  const unsigned = newTargets({
    role: TARGETS,
    version: trusted.targets.metadata.version + 1,
    expiresAt: EXPIRES_AT,
    delegations: [SIGNER, RELEASES].map((name) => ({ name, keys: [publicKey], paths: [''], threshold: 1 })),
  })
  await world.server.publish(gun, new Map([[TARGETS, signFile(unsigned, [world.keyHolder.key(gun, TARGETS)])]]))
}
