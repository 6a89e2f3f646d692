// The services over the real key holder and its socket; trust server and registry are fakes. Both clocks begin with the same moment.
import type { SigningRequest } from '../../../src/domain/signing-request.ts'
import { KeyHolderClient } from '../../../src/holder/client.ts'
import { TestKeyHolder } from '../key-holder.ts'
import type { Scope } from '../scope.ts'
import { World } from './world.ts'

export async function startHeldWorld(scope: Scope): Promise<{ readonly holder: TestKeyHolder; readonly world: World }> {
  const holder = await TestKeyHolder.start(scope)
  const client = new KeyHolderClient(holder.config.serviceSocket, { timeoutMs: 15_000 })
  scope.add(() => {
    client.close()
  })
  const world = new World({ attempts: 8 }, undefined, client)
  scope.add(() => {
    world.close()
  })
  world.time.advance(holder.now.getTime() - world.time.now().getTime())
  return { holder, world }
}

/** How one image of a request ended: its status, with the code of a failure. */
export function outcome({ images }: SigningRequest, position = 0): string {
  const record = images[position]?.record
  return record?.status === 'failed' ? `failed ${record.error.code}` : String(record?.status)
}
