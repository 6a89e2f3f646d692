// A thief who has one of our keys and may write to the trust server. What he publishes is well signed; it is not ours.
import {
  editTargets,
  encodeCanonical,
  newRoot,
  parseRoleName,
  parseTag,
  RELEASES,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type JsonValue,
  type RoleName,
} from '@countersign/tuf'
import { expect } from 'chai'
import { load, publishRelease } from '../support/fakes/rival.ts'
import { signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { app, everybody, World } from '../support/fakes/world.ts'
import { HostileWorld } from '../support/hostile-world.ts'
import { EVIDENCE } from '../support/key-holder.ts'
import { testCertificateKey } from '../support/test-keys.ts'

const SIGNER = parseRoleName('targets/countersign')
const EXPIRES_AT = new Date('2029-01-01T00:00:00Z')
const LAST_VERSION = 2_147_483_647
const EVIL = { kind: 'put', name: parseTag('evil'), sha256: 'e'.repeat(64), length: 9 } as const

describe('a thief of a key', () => {
  let hostile: HostileWorld
  beforeEach(async () => {
    hostile = await HostileWorld.start()
  })
  afterEach(() => hostile.close())

  /** Nothing is signed on what stands there now, and the code is this. */
  async function refused(code: string): Promise<void> {
    const seen = [hostile.uploads(), hostile.signatures()]
    expect(await hostile.sign('next')).to.equal(`failed ${code}`)
    expect([hostile.uploads(), hostile.signatures()]).to.deep.equal(seen)
  }

  async function publishStolen(role: RoleName, key: SigningKey): Promise<void> {
    const { world } = hostile
    const version = world.server.version(app, role) + 1
    const unsigned = editTargets(await load(world, app), role, [EVIL], { version, expiresAt: EXPIRES_AT })
    if (unsigned === undefined) throw new Error('The thief changes nothing.')
    await world.server.publish(app, new Map([[role, signFile(unsigned, [key])]]))
  }

  for (const [role, holder] of [
    [RELEASES, SIGNER],
    [SIGNER, SIGNER],
    [TARGETS, TARGETS],
  ] as const) {
    it(`attack: Stolen delegation key + Notary write rights: an entry in ${role} stops all signing`, async () => {
      await publishStolen(role, await hostile.stealKey(holder))
      await refused('BASE_VERSION_NOT_OURS')
      await refused('REPOSITORY_FROZEN')
      const frozen = hostile.holder.log().find(({ kind }) => kind === 'repository-frozen')
      expect(frozen).to.deep.include({ by: 'key-holder', gun: app, role })
      const reason = 'the thief is known'
      await hostile.holder.operator.call('unfreeze', { gun: app, reason, evidence: EVIDENCE })
      expect(await hostile.sign('after')).to.equal('published')
    })
  }

  for (const [role, holder] of [
    [RELEASES, SIGNER],
    [TARGETS, TARGETS],
  ] as const) {
    it(`attack: Fast-forward / version ceiling: the last version there can be of ${role}, well signed`, async () => {
      const key = await hostile.stealKey(holder)
      hostile.world.server.forge(app, role, {
        edit: (signed) => signed.set('version', LAST_VERSION),
        signers: [key],
      })
      await refused('VERSION_IMPLAUSIBLE')
    })
  }

  it('attack: Several delegations, different digests: a second digest for a tag of ours is not built upon', async () => {
    const key = await hostile.stealKey(SIGNER)
    const { world } = hostile
    const version = world.server.version(app, SIGNER) + 1
    const change = { ...EVIL, name: parseTag('1.0') }
    const unsigned = editTargets(await load(world, app), SIGNER, [change], { version, expiresAt: EXPIRES_AT })
    await world.server.publish(app, new Map([[SIGNER, signFile(unsigned!, [key])]]))
    await refused('BASE_VERSION_NOT_OURS')
  })

  it('attack: One key under two certificates: they count once', async () => {
    const old = await hostile.stealKey(ROOT)
    const targets = await hostile.stealKey(TARGETS)
    const { server } = hostile.world
    const certificates = [1, 2].map((serialNumber) => testCertificateKey('thief', { commonName: app, serialNumber }))
    const unsigned = newRoot({
      version: 1,
      expiresAt: EXPIRES_AT,
      rootKeys: certificates.map(({ publicKey }) => publicKey),
      targetsKeys: [targets.publicKey],
      snapshotKeys: [await server.serverKey(app, SNAPSHOT)],
      timestampKeys: [await server.serverKey(app, TIMESTAMP)],
    })
    const signed = new Map<string, JsonValue>(unsigned.signed).set('version', 2)
    const roles = new Map(signed.get('roles') as ReadonlyMap<string, JsonValue>)
    roles.set(ROOT, new Map(roles.get(ROOT) as ReadonlyMap<string, JsonValue>).set('threshold', 2))
    signed.set('roles', roles)
    const root = { ...unsigned, version: 2, signed, message: encodeCanonical(signed) }
    server.forge(app, ROOT, { mangle: () => signFile(root, [old, ...certificates]) })
    await refused('SIGNATURE_KEY_REPEATED')
  })
})

describe('somebody who shares a role with us', () => {
  it('attack: Shared `targets/releases` lets any signer overwrite others: his tag stays his, and the difference shows', async () => {
    const world = await World.withRepository()
    const ours = world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
    await publishRelease(world, app, [{ ...EVIL, name: parseTag('1.0') }])
    world.registry.push(app, '2.0', 'b')
    await world.sign(`${app}:2.0`)
    expect((await world.found('1.0'))?.sha256, 'we change what was asked for, and nothing else').to.equal(EVIL.sha256)
    const [verification] = await world.services.verifications.verify(everybody, [`${app}:1.0`], {
      compareRegistry: true,
    })
    expect(verification?.verdict).to.equal('digest-differs')
    await world.sign(`${app}:1.0`)
    expect((await world.found('1.0'))?.sha256, 'asked again, it is ours again').to.equal(ours)
    world.close()
  })
})
