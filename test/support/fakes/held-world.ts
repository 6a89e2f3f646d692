// The services over the real key holder and its socket; trust server and registry are fakes. Both clocks begin with the same moment.
import { SNAPSHOT, TIMESTAMP, type Gun } from '@countersign/tuf'
import type { KeyHolder } from '../../../src/domain/ports.ts'
import type { SigningRequest } from '../../../src/domain/signing-request.ts'
import type { ServiceSettings } from '../../../src/service/dependencies.ts'
import { KeyHolderClient } from '../../../src/holder/client.ts'
import { TestKeyHolder } from '../key-holder.ts'
import type { Scope } from '../scope.ts'
import { World } from './world.ts'

export async function startHeldWorld(
  scope: Scope,
  limits?: string,
  settings: Partial<ServiceSettings> = {},
): Promise<{ readonly holder: TestKeyHolder; readonly world: World }> {
  const holder = await TestKeyHolder.start(scope, limits)
  const client = new KeyHolderClient(holder.config.serviceSocket, { timeoutMs: 15_000 })
  scope.add(() => {
    client.close()
  })
  const world: World = new World(
    { attempts: 8, ...settings },
    undefined,
    knowingServerKeys(client, () => world),
  )
  scope.add(() => {
    world.close()
  })
  world.time.advance(holder.now.getTime() - world.time.now().getTime())
  return { holder, world }
}

/** The key holder also has the keys of a trust server of ours; the fake server signs with its own. */
function knowingServerKeys(client: KeyHolderClient, world: () => World): KeyHolder {
  return new Proxy<KeyHolder>(client, {
    get(target, name) {
      if (name === 'repositoryStatus') {
        return async (gun: Gun) => {
          const custody = await client.repositoryStatus(gun)
          const { otherServer } = world()
          if (!otherServer.takesOlderRoots || !otherServer.sharesKeyHolder) return custody
          const created = [SNAPSHOT, TIMESTAMP].map(async (role) => {
            const { keyType, tufKeyId, canonicalKeyId } = await otherServer.serverKey(gun, role)
            const state = 'active' as const
            return { role, keyType, tufKeyId, canonicalKeyId, custody: 'fake', createdAt: '', state }
          })
          return { ...custody, keys: [...custody.keys, ...(await Promise.all(created))] }
        }
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** How one image of a request ended: its status, with the code of a failure. */
export function outcome({ images }: SigningRequest, position = 0): string {
  const record = images[position]?.record
  return record?.status === 'failed' ? `failed ${record.error.code}` : String(record?.status)
}
