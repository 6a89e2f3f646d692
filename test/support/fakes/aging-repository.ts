// A repository over the real key holder that grows old: both clocks move together, and what expires can be looked at.
import { parseTargets, RELEASES, TARGETS, type RoleName } from '@countersign/tuf'
import type { TestKeyHolder } from '../key-holder.ts'
import type { Scope } from '../scope.ts'
import { startHeldWorld } from './held-world.ts'
import { SIGNER } from './rival.ts'
import { app, type World } from './world.ts'

const DAY_MS = 86_400_000

/** The roles of `app` that are signed here. */
export const OURS: readonly RoleName[] = [TARGETS, RELEASES, SIGNER]

export class AgingRepository {
  readonly holder: TestKeyHolder
  readonly world: World

  private constructor(holder: TestKeyHolder, world: World) {
    this.holder = holder
    this.world = world
  }

  /** `1.0` is signed; `2.0` is in the registry. */
  static async start(scope: Scope, limits?: string): Promise<AgingRepository> {
    const { holder, world } = await startHeldWorld(scope, limits)
    await world.initialize(app)
    world.registry.push(app, '1.0', 'a')
    world.registry.push(app, '2.0', 'b')
    await world.sign(`${app}:1.0`)
    return new AgingRepository(holder, world)
  }

  /** On both clocks. */
  pass(days: number): void {
    this.world.time.advance(days * DAY_MS)
    this.holder.now = new Date(this.world.time.now())
  }

  daysLeft(role: RoleName): number {
    const { expiresAt } = parseTargets(this.world.server.currentFile(app, role)!, role).metadata
    return Math.round((expiresAt.getTime() - this.world.time.now().getTime()) / DAY_MS)
  }
}
